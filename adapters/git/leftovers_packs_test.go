//go:build linux

package git

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

func TestG8PackCutInTheMiddle(t *testing.T) {
	s, dir := behind(t)
	pack := filepath.Join(dir, ".git", "objects", "pack")
	had := names(t, pack)
	theirs := filepath.Join(pack, "tmp_pack_theirs")
	cut := gittest.Cut("command=fetch")
	var during []string
	s.Always(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodPost {
			if file, err := os.OpenFile(theirs, os.O_CREATE|os.O_RDWR, 0o600); err == nil { // as another git receives
				t.Cleanup(func() { file.Close() })
			}
		}
		cut(w, r, git)
	})
	parts := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		during = append(during, names(t, pack)...)
		return err
	})
	_, err := newClient(t, retry(parts), Config{}).Fetch(bounded(t), dir, FetchOptions{})
	e := failure(t, err, KindTransfer)
	if e.Attempt != 3 {
		t.Errorf("attempt %d, want the third", e.Attempt) // G11
	}
	equal(t, "after each attempt", slices.Compact(slices.Sorted(slices.Values(during))), slices.Sorted(slices.Values(append(had, "tmp_pack_theirs"))))

	// The same by git alone: there is something to remove.
	cmd := exec.CommandContext(bounded(t), "git", "fetch", "-q")
	cmd.Dir = dir
	if err := cmd.Run(); err == nil || len(names(t, pack)) <= len(had)+1 {
		t.Errorf("git alone: %v, left %q: the test shows nothing", err, names(t, pack))
	}
	s.Always(nil)
	if _, err := newClient(t, nil, Config{}).Fetch(bounded(t), dir, FetchOptions{}); err != nil {
		t.Error(err)
	}
	gittest.Git(t, dir, "fsck", "--full", "--strict")
}

// A git that is killed in the middle of a pack does no harm.
func TestG8KilledInTheMiddleOfAPack(t *testing.T) {
	s, dir := behind(t)
	l := layout{dir, dir + "/.git", dir + "/.git"}
	before := l.files(t)
	ctx, cancel := context.WithCancel(bounded(t))
	s.Always(hangInPack(cancel))
	client := newClient(t, retry(), Config{Grace: time.Nanosecond})
	_, err := client.Fetch(ctx, dir, FetchOptions{})
	if e := failure(t, err, KindCanceled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v", e)
	}
	after := slices.DeleteFunc(l.files(t), func(path string) bool { return path == l.own+"/FETCH_HEAD" })
	equal(t, "files", after, before)
	gittest.Git(t, dir, "fsck", "--full", "--strict")
	s.Always(nil)
	if got, err := client.Fetch(bounded(t), dir, FetchOptions{}); err != nil || len(got.Updated) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	gittest.Git(t, dir, "fsck", "--full", "--strict")
}
