//go:build real && linux

package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// A disk that is full, here or at the server: what was there is whole, what was
// begun is gone, and nothing is tried again.
func TestRealFullDisk(t *testing.T) {
	source := gittest.NewRepository(t)
	s := gittest.NewServer(t, source)
	app := filepath.Join(t.TempDir(), "app")
	gittest.Git(t, "", "clone", "-q", s.Repo, app)
	first := s.Head(t)
	for i := range 6 { // less than what git sends in pieces, which net/http/cgi does not take
		write(t, source, fmt.Sprintf("big%d", i), noise())
	}
	gittest.Git(t, source, "add", "-A")
	gittest.Git(t, source, "commit", "-qm", "big")
	gittest.Git(t, source, "push", "-q", s.Bare, "main")
	client := newClient(t, retry(), Config{})
	ctx := bounded(t)

	disk := smallDisk(t, "640k")
	if err := os.CopyFS(filepath.Join(disk, "app"), os.DirFS(app)); err != nil {
		t.Fatal(err)
	}
	before := leftIn(t, disk)
	for name, call := range map[string]func() error{
		"clone": func() error {
			_, err := client.Clone(ctx, s.Repo, filepath.Join(disk, "new"), CloneOptions{})
			return err
		},
		"sync":  func() error { _, err := client.Sync(ctx, s.Repo, filepath.Join(disk, "new"), "main"); return err },
		"fetch": func() error { _, err := client.Fetch(ctx, filepath.Join(disk, "app"), FetchOptions{}); return err },
		"pull":  func() error { _, err := client.Pull(ctx, filepath.Join(disk, "app"), PullOptions{}); return err },
	} {
		s.Script()
		e := failure(t, call(), KindDisk)
		if !strings.Contains(e.Stderr, "No space left on device") {
			t.Errorf("%s: git says %s", name, e.Stderr)
		}
		if s.Served() > 2 { // Sync asks and fetches
			t.Errorf("%s: %d calls, want no repeat", name, s.Served())
		}
		equal(t, name+" leaves", names(t, disk), []string{"app"})
		equal(t, name+" leaves in the repository", leftIn(t, disk), before)
	}
	gittest.Whole(t, filepath.Join(disk, "app"), first)

	// The server's disk is its own fault: the push is repeated, and in vain.
	full := smallDisk(t, "640k")
	there := gittest.NewServer(t, app)
	moved := filepath.Join(full, "repo.git")
	if err := os.CopyFS(moved, os.DirFS(there.Bare)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(there.Bare); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moved, there.Bare); err != nil {
		t.Fatal(err)
	}
	_, err := client.Push(ctx, source, PushOptions{Remote: there.Repo, Refspecs: []string{"main"}})
	failure(t, err, KindServer)
	if there.Served() != 3 || there.Head(t) != first {
		t.Errorf("%d attempts, the branch is %s, want 3 and %s", there.Served(), there.Head(t), first)
	}
}

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("only root may mount a small disk here: TestFaults shows a write that fails") // a right, not a server
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
