package gittest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// WriteScript writes a program that is about to be run, in a directory that need not be there. No process is started meanwhile: it
// would have the file open for writing until it is the program that it will be, and then
// nobody can run the file ("text file busy").
func WriteScript(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
}
