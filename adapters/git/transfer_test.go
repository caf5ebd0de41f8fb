//go:build unix

package git

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// many adds a commit on main with 300 files that do not compress well: git keeps
// what it receives as a pack, and counts it.
func many(t *testing.T, bare string, seed uint64) {
	t.Helper()
	var in bytes.Buffer
	random := rand.New(rand.NewPCG(1, seed))
	in.WriteString("commit refs/heads/main\ncommitter T <t@example.com> 0 +0000\ndata 4\nmany\nfrom refs/heads/main^0\n")
	for i := range 300 {
		b := make([]byte, 1000)
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		text := hex.EncodeToString(b)
		fmt.Fprintf(&in, "M 644 inline many/%d/%d\ndata %d\n%s\n", i%7, i, len(text), text)
	}
	cmd := exec.CommandContext(bounded(t), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = bare, &in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// behind returns a server of a repository with some hundred objects, and a clone
// that lacks them.
func behind(t *testing.T) (*gittest.Server, string) {
	t.Helper()
	s, dir := cloned(t)
	many(t, s.Bare, 1)
	return s, dir
}

// hangInPack sends half of a pack, calls f and sends no more.
func hangInPack(f func()) gittest.Fault {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !bytes.Contains(body, []byte("command=fetch")) {
			git.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		git.ServeHTTP(recorded, r)
		maps.Copy(w.Header(), recorded.Header())
		_, _ = w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2])
		w.(http.Flusher).Flush()
		f()
		<-r.Context().Done()
	}
}

// until waits for what another goroutine is about to do.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	ctx := bounded(t)
	for !reached() {
		if ctx.Err() != nil {
			t.Fatalf("%s: does not happen", what)
		}
		runtime.Gosched()
	}
}

func sizeOf(t *testing.T, pattern string) int64 {
	t.Helper()
	var size int64
	paths, _ := filepath.Glob(pattern)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func TestBytesAreThoseOfTheObjects(t *testing.T) {
	s, dir := cloned(t)
	client := newClient(t, nil, Config{})
	ctx := bounded(t)

	// A few objects are files of their own.
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	gittest.Commit(t, work, "second")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	loose := filepath.Join(dir, ".git", "objects", "??", "*")
	had := sizeOf(t, loose)
	got, err := client.Fetch(ctx, dir, FetchOptions{})
	if want := sizeOf(t, loose) - had; err != nil || got.Bytes != want || want == 0 {
		t.Errorf("few: got %d, %v, want %d", got.Bytes, err, want)
	}
	if got, err = client.Fetch(ctx, dir, FetchOptions{}); err != nil || got.Bytes != 0 {
		t.Errorf("none: got %d, %v", got.Bytes, err)
	}

	// Many are a pack.
	many(t, s.Bare, 1)
	packs := filepath.Join(dir, ".git", "objects", "pack", "*.pack")
	had = sizeOf(t, packs)
	got, err = client.Fetch(ctx, dir, FetchOptions{})
	if want := sizeOf(t, packs) - had; err != nil || got.Bytes != want || want < 100_000 {
		t.Errorf("many: got %d, %v, want %d", got.Bytes, err, want)
	}

	// A linked work tree has its objects elsewhere.
	linked := filepath.Join(t.TempDir(), "linked")
	gittest.Git(t, dir, "worktree", "add", "-q", "-b", "linked", linked)
	gittest.Commit(t, work, "third")
	gittest.Git(t, work, "pull", "-q", "--rebase", "-X", "theirs", "origin", "main")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	had = sizeOf(t, loose)
	got, err = client.Fetch(ctx, linked, FetchOptions{})
	if want := sizeOf(t, loose) - had; err != nil || got.Bytes != want || want == 0 {
		t.Errorf("linked: got %d, %v, want %d", got.Bytes, err, want)
	}

	for name, o := range map[string]CloneOptions{"all": {}, "shallow": {Depth: 1}} {
		clone := filepath.Join(t.TempDir(), "clone")
		made, err := client.Clone(ctx, s.Repo, clone, o)
		if want := sizeOf(t, filepath.Join(clone, ".git", "objects", "pack", "*.pack")); err != nil || made.Bytes != want || want < 100_000 {
			t.Errorf("clone %s: got %d, %v, want %d", name, made.Bytes, err, want)
		}
	}
	// What is sent is as git says it.
	write(t, dir, "noise", noise())
	sent, err := client.CommitAndPush(ctx, dir, CommitOptions{Message: "Noise", Author: bot, Branch: "noise"})
	if err != nil || sent.Bytes < 128<<10 || sent.Bytes > 129<<10 {
		t.Errorf("commit: got %+v, %v", sent, err)
	}
	write(t, dir, "noise", noise())
	gittest.Git(t, dir, "commit", "-qam", "more")
	pushed, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"HEAD:refs/heads/noise"}})
	if err != nil || pushed.Bytes < 128<<10 || pushed.Bytes > 129<<10 {
		t.Errorf("push: got %+v, %v", pushed, err)
	}
	// What was there is not counted, nor what is half a pack.
	o := objectsOf(dir)
	for path, size := range map[string]int{"pack/tmp_pack_x": 1, "pack/tmp_x.pack": 1, "ab/tmp_obj_x": 1, "pack/pack-x.idx": 1, "info/packs": 1, "pack/pack-x.pack": 10, "ab/cdef": 100} {
		path = filepath.Join(dir, ".git", "objects", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.added() != 110 {
		t.Errorf("got %d, want 110", o.added())
	}
}
