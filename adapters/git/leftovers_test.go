//go:build linux

package git

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// A layout is a repository as a call finds it.
type layout struct{ dir, own, common string }

var layouts = []struct {
	name string
	make func(t *testing.T) layout
}{
	{"a work tree", func(t *testing.T) layout {
		dir := gittest.NewRepository(t)
		return layout{dir, dir + "/.git", dir + "/.git"}
	}},
	{"a path through a link", func(t *testing.T) layout {
		dir := gittest.NewRepository(t)
		link := filepath.Join(t.TempDir(), "link")
		symlink(t, dir, link)
		return layout{link, dir + "/.git", dir + "/.git"}
	}},
	{"a link to its git directory", func(t *testing.T) layout {
		dir := gittest.NewRepository(t)
		away := filepath.Join(t.TempDir(), "away")
		if err := os.Rename(dir+"/.git", away); err != nil {
			t.Fatal(err)
		}
		symlink(t, away, dir+"/.git")
		return layout{dir, away, away}
	}},
	{"a bare repository", func(t *testing.T) layout {
		dir := filepath.Join(t.TempDir(), "[a]*.git")
		gittest.Git(t, "", "clone", "-q", "--bare", gittest.NewRepository(t), dir)
		return layout{dir, dir, dir}
	}},
	{"a linked work tree", func(t *testing.T) layout {
		main := gittest.NewRepository(t)
		dir := filepath.Join(t.TempDir(), "linked")
		gittest.Git(t, main, "worktree", "add", "-q", "-b", "other", dir)
		return layout{dir, main + "/.git/worktrees/linked", main + "/.git"}
	}},
	{"a git directory elsewhere", func(t *testing.T) layout {
		dir, away := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "away")
		gittest.Git(t, "", "clone", "-q", "--separate-git-dir="+away, gittest.NewRepository(t), dir)
		return layout{dir, away, away}
	}},
}

func symlink(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

// ours are the files that a git leaves when it is killed.
func (l layout) ours() []string {
	files := []string{l.own + "/index.lock", l.own + "/HEAD.lock", l.own + "/FETCH_HEAD.lock", l.own + "/next-index-77.lock", l.own + "/refs/bisect/x.lock"}
	for _, name := range []string{
		"shallow.lock", "packed-refs.lock", "config.lock", "refs/remotes/origin/x.lock", "refs/heads/deep/er/x.lock",
		"objects/pack/tmp_pack_x", "objects/pack/tmp_idx_x", "objects/pack/.tmp-7-pack-x.pack", "objects/ab/tmp_obj_x", "objects/info/commit-graph.lock",
	} {
		files = append(files, l.common+"/"+name)
	}
	return files
}

// others are files that look like them and are none.
func (l layout) others() []string {
	return []string{l.dir + "/yarn.lock", l.dir + "/sub/index.lock", l.own + "/deploy.lock", l.common + "/hooks/x.lock", l.common + "/refs/heads/x.locked", l.common + "/objects/pack/pack-x.keep"}
}

func touch(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(f), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// files returns those under the directories of the repository.
func (l layout) files(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, top := range []string{from("", l.dir), l.own, l.common} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// A fetcher is a stub whose first fetch makes files, tells it and hangs; later
// ones fail when they meet one of them.
type fetcher struct {
	*stub
	w *witness
}

func newFetcher(t *testing.T, files []string) fetcher {
	t.Helper()
	f := fetcher{w: newWitness(t)}
	f.stub = newStub(t,
		`case " $* " in`,
		`*" config "*) printf 'https://example.com/a.git\0'; exit;;`,
		`*" fetch "*) ;;`,
		`*) exit;;`,
		`esac`,
		`if [ ! -e "$STUB/fetched" ]; then`,
		`touch "$STUB/fetched"`,
		`exec 3>`+f.w.path,
		`trap '' TERM`,
		`while read -r f; do mkdir -p "${f%/*}"; echo x > "$f"; done < "$STUB/files"`,
		`echo ready >&3`,
		`exec sleep 1000`,
		`fi`,
		`while read -r f; do if [ -e "$f" ]; then echo "fatal: Unable to create '$f': File exists." >&2; exit 128; fi; done < "$STUB/files"`,
		`exit 0`)
	if err := os.WriteFile(filepath.Join(f.notes, "files"), []byte(strings.Join(append(slices.Clip(files), ""), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fetcher) config() Config {
	c := f.stub.config()
	c.Grace = 20 * time.Millisecond
	return c
}

// hanging waits until the first fetch hangs.
func (f fetcher) hanging() { _, _ = f.w.lines.ReadString('\n') }

// endFirst ends the first attempt with the cause when the function returns.
func endFirst(cause error, when func()) middleware.Policy {
	first := true
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if !first {
			return next.Do(ctx)
		}
		first = false
		ctx, cancel := context.WithCancelCause(ctx)
		var over sync.WaitGroup
		over.Go(func() {
			when()
			cancel(cause)
		})
		defer over.Wait()
		return next.Do(ctx)
	})
}

func TestG8NothingIsLeftThatWasNotThere(t *testing.T) {
	for _, row := range layouts {
		for _, end := range []string{"cancelled", "timed out"} {
			if end == "cancelled" && row.name != "a work tree" {
				continue // the other end shows more
			}
			t.Run(row.name+", "+end, func(t *testing.T) {
				l := row.make(t)
				touch(t, l.dir+"/yarn.lock")
				before := l.files(t)
				f := newFetcher(t, l.ours())
				if end == "cancelled" {
					ctx, cancel := context.WithCancel(bounded(t))
					_, err := newClient(t, retry(endFirst(nil, func() { f.hanging(); cancel() })), f.config()).Fetch(ctx, l.dir, FetchOptions{})
					if e := failure(t, err, KindCanceled); e.ExitCode != -1 || e.Attempt != 1 {
						t.Errorf("got %+v", e)
					}
				} else {
					// The second attempt meets no lock.
					if _, err := newClient(t, retry(endFirst(middleware.ErrTimeout, f.hanging)), f.config()).Fetch(bounded(t), l.dir, FetchOptions{}); err != nil {
						t.Error(err)
					}
				}
				equal(t, "files", l.files(t), before)
				f.w.gone(t)
			})
		}
	}
}

func TestG8WhatWasThereStays(t *testing.T) {
	for _, row := range layouts[3:5] {
		t.Run(row.name, func(t *testing.T) {
			l := row.make(t)
			touch(t, append(l.ours(), l.others()...)...)
			before := l.files(t)
			f := newFetcher(t, l.ours())
			_, err := newClient(t, retry(endFirst(middleware.ErrTimeout, f.hanging)), f.config()).Fetch(bounded(t), l.dir, FetchOptions{})
			failure(t, err, KindLock) // of the second attempt
			equal(t, "files", l.files(t), before)
		})
	}
}

// A file with such a name that another program makes during the call is its own.
func TestG8OtherFilesStay(t *testing.T) {
	for _, row := range layouts[3:5] {
		t.Run(row.name, func(t *testing.T) {
			l := row.make(t)
			f := newFetcher(t, l.others())
			_, err := newClient(t, retry(endFirst(middleware.ErrTimeout, f.hanging)), f.config()).Fetch(bounded(t), l.dir, FetchOptions{})
			failure(t, err, KindLock)
			for _, path := range l.others() {
				if !isFile(path) {
					t.Errorf("%s is gone", path)
				}
			}
		})
	}
}

// Where there is no repository, nothing is git's.
func TestG8NoRepositoryIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	files := []string{dir + "/yarn.lock", dir + "/index.lock", dir + "/HEAD.lock", dir + "/objects/pack/tmp_pack_x", dir + "/refs/heads/x.lock"}
	f := newFetcher(t, files)
	_, err := newClient(t, retry(endFirst(middleware.ErrTimeout, f.hanging)), f.config()).Fetch(bounded(t), dir, FetchOptions{})
	failure(t, err, KindLock)
	equal(t, "files", layout{dir, dir, dir}.files(t), slices.Sorted(slices.Values(files)))
}

func TestG8LivingOwnerKeepsItsFiles(t *testing.T) {
	for _, row := range []struct {
		name string
		at   int // of the layouts
		live func(t *testing.T, l layout, files []string)
	}{
		{"it has them open", 2, func(t *testing.T, _ layout, files []string) {
			for _, path := range files {
				file, err := os.OpenFile(path, os.O_RDWR, 0) // this process is another than git
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { file.Close() })
			}
		}},
		{"a git in the repository", 4, func(t *testing.T, l layout, _ []string) { gitAlive(t, l.dir) }},
		{"a git in the git directory", 2, func(t *testing.T, l layout, _ []string) { gitAlive(t, l.own+"/refs") }},
		{"a git in the main work tree", 4, func(t *testing.T, l layout, _ []string) {
			gitAlive(t, strings.TrimSuffix(l.common, "/.git"))
		}},
		{"a git in another work tree", 4, func(t *testing.T, l layout, _ []string) {
			other := filepath.Join(t.TempDir(), "third")
			gittest.Git(t, l.common, "worktree", "add", "-q", "-b", "third", other)
			gitAlive(t, other)
		}},
	} {
		t.Run(row.name+", "+layouts[row.at].name, func(t *testing.T) {
			l := layouts[row.at].make(t)
			files := []string{l.own + "/index.lock", l.common + "/refs/heads/x.lock", l.common + "/objects/pack/tmp_pack_x", l.common + "/objects/pack/.tmp-7-pack-x.pack"}
			touch(t, l.own+"/refs/keep")
			f := newFetcher(t, files)
			var seen verdicts
			chain := retry(&seen, endFirst(middleware.ErrTimeout, func() {
				f.hanging()
				row.live(t, l, files)
			}))
			_, err := newClient(t, chain, f.config()).Fetch(bounded(t), l.dir, FetchOptions{})
			failure(t, err, KindLock)
			if last := seen.seen[len(seen.seen)-1]; len(seen.seen) < 2 || !seen.seen[1].Retry || last.Class != middleware.Ignored {
				t.Errorf("the verdicts are %+v, want transient contention", seen.seen)
			}
			for _, path := range files {
				if !isFile(path) {
					t.Errorf("%s is gone", path)
				}
			}
		})
	}
}

// gitAlive runs a process called git-x in dir until the test ends.
func gitAlive(t *testing.T, dir string) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Error(err)
		return
	}
	link := filepath.Join(t.TempDir(), "git-x")
	if err := os.Symlink(shell, link); err != nil {
		t.Error(err)
		return
	}
	cmd := exec.Command(link, "-c", "echo ready; read x")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Error(err)
		return
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Error(err)
	}
}

// A git that ends by itself has removed its locks: those that are there are
// another's. Parts of packs it does not remove.
func TestG8GitThatFailsByItself(t *testing.T) {
	l := layouts[0].make(t)
	locks := []string{l.own + "/index.lock", l.own + "/shallow.lock", l.common + "/refs/heads/x.lock"}
	part := l.common + "/objects/pack/tmp_pack_x"
	s := newStub(t, `case " $* " in`,
		`*" config "*) printf 'https://example.com/a.git\0';;`,
		`*" fetch "*) touch `+strings.Join(append(slices.Clip(locks), part), " ")+`; echo 'fatal: early EOF' >&2; exit 128;;`,
		`esac`)
	_, err := newClient(t, nil, s.config()).Fetch(bounded(t), l.dir, FetchOptions{})
	failure(t, err, KindTransfer)
	for _, path := range locks {
		if !isFile(path) {
			t.Errorf("%s is gone", path)
		}
	}
	if isFile(part) {
		t.Error("the part of a pack is left")
	}
}
