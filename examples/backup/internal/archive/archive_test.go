package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder returns a folder with some of everything that an archive keeps.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	for _, f := range []struct {
		path string
		mode fs.FileMode
		data string
	}{
		{"a.txt", 0o644, "hello"},
		{"deep/er/b.sh", 0o755, "#!/bin/sh\n"},
		{"deep/read-only", 0o444, "fixed"},
		{"empty", 0o600, ""},
		{"random.bin", 0o640, string(random)},
	} {
		path := filepath.Join(dir, filepath.FromSlash(f.path))
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(f.data), 0o600), os.Chmod(path, f.mode))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("deep/er/b.sh", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPackAndUnpack(t *testing.T) {
	source, target := folder(t), t.TempDir()
	var packed, again bytes.Buffer
	want, err := Pack(&packed, source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(&again, source); err != nil || !bytes.Equal(packed.Bytes(), again.Bytes()) {
		t.Errorf("two archives of one folder differ (%v)", err)
	}
	scanned, err := Scan(source)
	if err != nil || len(scanned) != 6 || scanned.Size() != 5+10+5+1<<20 {
		t.Errorf("scanned %d files, %d bytes, %v", len(scanned), scanned.Size(), err)
	}
	if err := want.Compare(scanned); err != nil {
		t.Error("packed and scanned:", err)
	}
	if err := Unpack(target, &packed); err != nil {
		t.Fatal(err)
	}
	got, err := Scan(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Compare(got); err != nil {
		t.Error("restored:", err)
	}
}

func TestOneFlippedBitIsFound(t *testing.T) {
	var packed bytes.Buffer
	want, err := Pack(&packed, folder(t))
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	packed.Bytes()[packed.Len()/2] ^= 1 // in random.bin
	if err := Unpack(target, &packed); !errors.Is(err, gzip.ErrChecksum) {
		t.Errorf("got %v, want %v", err, gzip.ErrChecksum)
	}
	got, err := Scan(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Compare(got); err == nil || !strings.HasPrefix(err.Error(), "random.bin differs: ") {
		t.Errorf("got %v, want an error that names random.bin", err)
	}
}

func TestCompare(t *testing.T) {
	a, b := File{Path: "a", SHA256: [32]byte{1}}, File{Path: "b"}
	other, locked := a, b
	other.SHA256[31] = 1
	locked.Mode = 0o400
	for _, row := range []struct {
		name      string
		want, got Manifest
		err       string
	}{
		{"equal", Manifest{a, b}, Manifest{a, b}, ""},
		{"missing", Manifest{a, b}, Manifest{a}, "b is missing"},
		{"one more", Manifest{a}, Manifest{a, b}, "b was not in the archive"},
		{"other content", Manifest{a, b}, Manifest{other, b}, "a differs"},
		{"other mode", Manifest{a, b}, Manifest{a, locked}, "b is"},
		{"everything", Manifest{a}, Manifest{b}, "a is missing\nb was not"},
	} {
		err := row.want.Compare(row.got)
		if (err == nil) != (row.err == "") || err != nil && !strings.HasPrefix(err.Error(), row.err) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.err)
		}
	}
}

func TestUnpackStaysInside(t *testing.T) {
	for _, name := range []string{"../outside", "/outside", "link/outside"} {
		var packed bytes.Buffer
		zipped := gzip.NewWriter(&packed)
		w := tar.NewWriter(zipped)
		for _, h := range []*tar.Header{
			{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."},
			{Name: name, Typeflag: tar.TypeReg, Mode: 0o600},
		} {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), zipped.Close()); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(dir, &packed); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(filepath.Join(parent, "outside")); err == nil {
			t.Errorf("%s was written outside of the folder", name)
		}
	}
}
