package gittest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
)

// historyFiles is how many files a history changes in turn.
const historyFiles = 500

// NewHistory returns the path of a bare repository with so many commits on main.
// Each changes one of 500 files to a content of that many bytes, which no
// compression makes smaller. It is the same at every time.
func NewHistory(t testing.TB, commits, size int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "history.git")
	Git(t, "", "init", "-q", "--bare", "-b", "main", dir)
	cmd := exec.CommandContext(t.Context(), "git", "-c", "pack.compression=0", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--depth=0")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(in, 1<<20)
	content := rand.NewChaCha8([32]byte{})
	for i := range commits {
		message := fmt.Sprintf("change %d", i)
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter Tests <tests@example.com> %d +0000\ndata %d\n%s\n", 1_700_000_000+i, len(message), message)
		fmt.Fprintf(w, "M 100644 inline %02d/%03d\ndata %d\n", i%historyFiles/10, i%historyFiles, size)
		_, _ = io.CopyN(w, content, int64(size))
		fmt.Fprint(w, "\n")
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("git fast-import: %v", err)
	}
	return dir
}
