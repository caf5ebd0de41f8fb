package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documentation returns the text of docs/jaeger.md.
func documentation(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/jaeger.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The pictures of docs/jaeger.md are parts of those that Jaeger is compared with: each of
// its rows, and each attribute beside it, is there too, in this order.
func TestDocumentedPictures(t *testing.T) {
	_, text, _ := strings.Cut(documentation(t), "\n## Four pictures\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, row := range []struct{ title, file string }{
		{"Retried, then successful", "retried"},
		{"Rejected by an open breaker", "rejected"},
		{"Held back by a rate limit", "waited"},
		{"Hedged", "hedged"},
		{"A call that is no HTTP request", "git"},
	} {
		t.Run(row.file, func(t *testing.T) {
			_, part, found := strings.Cut(text, "\n### "+row.title+"\n")
			part, _, _ = strings.Cut(part, "\n### ")
			full, err := os.ReadFile(filepath.Join("testdata", "jaeger", row.file+".txt"))
			if err != nil || !found {
				t.Fatalf("the part is found: %v; %v", found, err)
			}
			rows := 0
			left := strings.Split(strings.TrimRight(string(full), "\n"), "\n")
			for line := range strings.SplitSeq(part, "\n") {
				if shown, ok := strings.CutPrefix(line, "    "); ok {
					rows++
					left = checkRow(t, shown, left)
				}
			}
			if rows < 3 {
				t.Errorf("the picture has %d rows", rows)
			}
		})
	}
}

// checkRow expects a row of a picture in the full one and returns what follows its first line.
func checkRow(t *testing.T, shown string, full []string) []string {
	t.Helper()
	name, rest, _ := strings.Cut(strings.TrimLeft(shown, " "), "  ")
	want := strings.Repeat(" ", len(shown)-len(strings.TrimLeft(shown, " "))) + name
	if event, ok := strings.CutPrefix(name, "· "); ok {
		want = strings.Repeat(" ", strings.Index(shown, "·")+2) + "* tidegate." + event
	}
	fields := strings.Fields(rest)
	if len(fields) > 0 && (fields[0] == "internal" || fields[0] == "client") {
		want += " (" + fields[0] + ")"
		if len(fields) > 1 && fields[1] == "red" {
			want += " red"
		}
	}
	for len(full) > 0 && full[0] != want {
		full = full[1:]
	}
	if len(full) == 0 {
		t.Errorf("%q is missing, or in another place", want)
		return nil
	}
	for _, field := range fields {
		if key, value, ok := strings.Cut(field, "="); ok && !hasAttribute(full[1:], key, value) {
			t.Errorf("%q has no %s", want, field)
		}
	}
	return full[1:]
}

// hasAttribute looks in the lines of attributes that come first.
func hasAttribute(lines []string, key, value string) bool {
	for _, line := range lines {
		k, v, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok {
			return false
		}
		if (k == key || k == "tidegate."+key) && (v == value || v == "SECONDS" || v == "TRACE") {
			return true
		}
	}
	return false
}
