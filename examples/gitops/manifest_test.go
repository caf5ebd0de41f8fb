package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReadManifest(t *testing.T) {
	for _, row := range []struct {
		text string
		want manifest // nil: an error
	}{
		{"", manifest{}},
		{"web 2\n\n db  0 \n", manifest{"web": 2, "db": 0}},
		{"web 2", manifest{"web": 2}},
		{"web\n", nil},
		{"web two\n", nil},
		{"web -1\n", nil},
		{"web 1 2\n", nil},
	} {
		path := filepath.Join(t.TempDir(), "manifest")
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readManifest(path)
		if (err != nil) != (row.want == nil) || !maps.Equal(got, row.want) {
			t.Errorf("%q: got %v, %v, want %v", row.text, got, err, row.want)
		}
	}
	if _, err := readManifest(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error without a file")
	}
}

func TestChanges(t *testing.T) {
	got := changes(manifest{"same": 1, "more": 1, "gone": 2}, manifest{"same": 1, "more": 3, "new": 1})
	if want := []string{"gone 2 -> 0", "more 1 -> 3", "new 0 -> 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
