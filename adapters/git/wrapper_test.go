//go:build unix

package git

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// A wrapper is a script before git, which notes the commands and may do something
// else in their place.
type wrapper struct {
	path, log string
	witness   *witness
}

// newWrapper returns a wrapper that runs the given lines of shell, in which FIFO
// is the path of its witness, and then git.
func newWrapper(t *testing.T, lines ...string) *wrapper {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &wrapper{path: filepath.Join(dir, "git"), log: filepath.Join(dir, "log"), witness: newWitness(t)}
	script := "#!/bin/sh\necho \"$*\" >> '" + w.log + "'\n" + strings.ReplaceAll(strings.Join(lines, "\n"), "FIFO", w.witness.path) + "\nexec '" + git + "' \"$@\"\n"
	gittest.WriteScript(t, w.path, script)
	return w
}

// wait waits for a line from the witness, also outside of the test's goroutine.
func (w *wrapper) wait(t *testing.T) {
	if _, err := w.witness.lines.ReadString('\n'); err != nil {
		t.Error(err)
	}
}

// count returns how many commands had the word.
func (w *wrapper) count(t *testing.T, word string) int {
	t.Helper()
	b, err := os.ReadFile(w.log)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if strings.Contains(" "+strings.TrimSpace(line)+" ", " "+word+" ") {
			n++
		}
	}
	return n
}

// noCanary fails the test when a file below dir shows the secret.
func noCanary(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b)+path, canary) {
			t.Errorf("%s shows the secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
