//go:build unix

package git

import (
	"path/filepath"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// Every operation works on a repository whose object ids are of SHA-256.
func TestRepositoriesOfSHA256(t *testing.T) {
	origin := t.TempDir()
	gittest.Git(t, origin, "init", "-q", "-b", "main", "--object-format=sha256")
	first := gittest.Commit(t, origin, "first")
	s := gittest.NewServer(t, origin)
	client, ctx, parent := newClient(t, retry(), Config{}), bounded(t), t.TempDir()
	cloned, synced, again := filepath.Join(parent, "cloned"), filepath.Join(parent, "synced"), filepath.Join(parent, "again")
	if got, err := client.Clone(ctx, s.Repo, cloned, CloneOptions{}); err != nil || got.Commit != first {
		t.Fatalf("clone: got %+v, %v", got, err)
	}
	for dir, ref := range map[string]string{synced: "main", again: first} {
		if got, err := client.Sync(ctx, s.Repo, dir, ref); err != nil || got.Commit != first || !got.Changed {
			t.Fatalf("sync %s: got %+v, %v", ref, got, err)
		}
		gittest.Whole(t, dir, first)
	}
	work := pusher(t, s)
	second := advance(t, work, "second")
	if got, err := client.Sync(ctx, s.Repo, synced, "main"); err != nil || got.Commit != second {
		t.Fatalf("sync: got %+v, %v", got, err)
	}
	if got, err := client.Fetch(ctx, cloned, FetchOptions{}); err != nil || len(got.Updated) != 1 || got.Updated[0].New != second {
		t.Fatalf("fetch: got %+v, %v", got, err)
	}
	if got, err := client.Pull(ctx, cloned, PullOptions{}); err != nil || got.Commit != second {
		t.Fatalf("pull: got %+v, %v", got, err)
	}
	third := advance(t, work, "third")
	write(t, cloned, "mine", "mine")
	committed, err := client.CommitAndPush(ctx, cloned, CommitOptions{Message: "Add mine"})
	if err != nil || committed.Pushes != 2 || gittest.Git(t, cloned, "rev-parse", "HEAD^") != third {
		t.Fatalf("commit and push: got %+v, %v", committed, err)
	}
	leases := map[string]string{"refs/heads/main": committed.Commit}
	if got, err := client.Push(ctx, cloned, PushOptions{Refspecs: []string{first + ":refs/heads/main"}, Leases: leases}); err != nil || got.Refs[0].Status != "forced" {
		t.Fatalf("push: got %+v, %v", got, err)
	}
	if got, err := client.Checkout(ctx, cloned, first, CheckoutOptions{}); err != nil || got.Commit != first {
		t.Fatalf("checkout: got %+v, %v", got, err)
	}
	if got, err := client.Submodules(ctx, cloned, SubmoduleOptions{}); err != nil || len(got.Submodules) != 0 {
		t.Fatalf("submodules: got %+v, %v", got, err)
	}
}
