//go:build unix

package git

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestParseProgress(t *testing.T) {
	for _, row := range []struct {
		line string
		want Progress
		ok   bool
	}{
		{"Receiving objects:  12% (3/25), 1.50 MiB | 3.00 MiB/s", Progress{Phase: "Receiving objects", Done: 3, Total: 25, Percent: 12, Bytes: 3 << 19}, true},
		{"Receiving objects: 100% (25/25), 12.34 KiB | 1.00 KiB/s, done.", Progress{Phase: "Receiving objects", Done: 25, Total: 25, Percent: 100, Bytes: 12636}, true},
		{"Receiving objects: 100% (2/2), 208 bytes | 208.00 KiB/s, done.", Progress{Phase: "Receiving objects", Done: 2, Total: 2, Percent: 100, Bytes: 208}, true},
		{"Writing objects:  50% (1/2), 2.00 GiB | 9.00 MiB/s", Progress{Phase: "Writing objects", Done: 1, Total: 2, Percent: 50, Bytes: 2 << 30}, true},
		{"remote: Counting objects: 100% (3/3), done.        ", Progress{Phase: "Counting objects", Remote: true, Done: 3, Total: 3, Percent: 100}, true},
		{"remote: Enumerating objects: 77, done.", Progress{Phase: "Enumerating objects", Remote: true, Done: 77, Percent: -1}, true},
		{"Resolving deltas:   0% (0/9)", Progress{Phase: "Resolving deltas", Total: 9}, true},
		{"Updating files:  42% (5/12)", Progress{Phase: "Updating files", Done: 5, Total: 12, Percent: 42}, true},
		{line: ""},
		{line: "fatal: early EOF"},
		{line: "remote: Total 3 (delta 0), reused 0 (delta 0), pack-reused 0"},
		{line: "Cloning into 'Receiving objects: 12% (3/25)'..."},
		{line: "error: RPC failed: 100% (1/1)"},
		{line: "Receiving objects: 12% (3/25) fatal: no"},
		{line: "Receiving objects: 120% (3/2)"},
		{line: "remote: Receiving objects: 5% (3/2)"},
		{line: "Receiving objects: 99999999999999999999% (1/2)"},
		{line: "Receiving objects: 1% (1/99999999999999999999)"},
		{line: "Receiving objects: 1% (1/100), 99999999999999 GiB | x"},
	} {
		got, ok := parseProgress(row.line)
		if ok != row.ok || ok && got != row.want {
			t.Errorf("%q: got %+v, %v, want %+v, %v", row.line, got, ok, row.want, row.ok)
		}
	}
}

func FuzzProgress(f *testing.F) {
	f.Add("Receiving objects:  12% (3/25), 1.50 MiB | 3.00 MiB/s")
	f.Add("remote: Counting objects: 7, done.\r")
	f.Add("Receiving objects: 101% (3/2), 4294967295.99 GiB")
	f.Add("a\r\nUpdating files: 1% (1/100)\r\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		told := 0
		m := &meter{ctx: t.Context(), op: "x", tell: func(_ context.Context, p Progress) {
			told++
			if p.Percent < -1 || p.Percent > 100 || p.Done < 0 || p.Total < 0 || p.Bytes < 0 || p.Phase == "" || p.Op != "x" || p.Percent >= 0 && p.Done > p.Total {
				t.Errorf("%q: got %+v", text, p)
			}
		}}
		stderr := transcript{progress: m}
		_, _ = stderr.Write([]byte(text))
		stderr.end()
		for _, line := range stderr.lines() {
			if _, ok := parseProgress(line); ok {
				t.Errorf("%q: progress is kept: %q", text, line)
			}
		}
		if most := strings.Count(text, "\r") + strings.Count(text, "\n") + 1; told > most {
			t.Errorf("%q: told %d times, want %d at the most", text, told, most)
		}
	})
}

func TestProgressOfRealGit(t *testing.T) {
	type key struct{ op, phase string }
	var mu sync.Mutex
	seen := map[key][]Progress{}
	type mark struct{}
	client := newClient(t, middleware.NewChain("git", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.Do(context.WithValue(ctx, mark{}, "attempt"))
	})), Config{Progress: func(ctx context.Context, p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Value(mark{}) != "attempt" {
			t.Error("the context is not that of the attempt")
		}
		seen[key{p.Op, p.Phase}] = append(seen[key{p.Op, p.Phase}], p)
	}})
	ctx := bounded(t)
	s, dir := behind(t)
	fetched, err := client.Fetch(ctx, dir, FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Clone(ctx, s.Repo, filepath.Join(t.TempDir(), "app"), CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	gittest.Git(t, dir, "checkout", "-q", "--orphan", "other")
	gittest.Git(t, dir, "reset", "-q", "--hard")
	gittest.Commit(t, dir, "other")
	many(t, filepath.Join(dir, ".git"), 2)
	if _, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"main:refs/heads/more"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		key
		remote, bytes bool
	}{
		{key{"fetch", "Enumerating objects"}, true, false},
		{key{"fetch", "Counting objects"}, true, false},
		{key{"fetch", "Receiving objects"}, false, true},
		{key{"clone", "Counting objects"}, true, false},
		{key{"clone", "Receiving objects"}, false, true},
		{key{"push", "Writing objects"}, false, true},
	} {
		all := seen[want.key]
		if len(all) == 0 || len(all) > 110 {
			t.Errorf("%v: told %d times; all: %v", want.key, len(all), len(seen))
			continue
		}
		last, most := all[len(all)-1], Progress{Percent: -1}
		for _, p := range all {
			if p.Remote != want.remote || p.Percent > 100 || p.Percent < most.Percent || p.Done < most.Done || p.Bytes < most.Bytes {
				t.Errorf("%v: %+v after %+v", want.key, p, most)
			}
			most = p
		}
		if last.Total > 0 && (last.Percent != 100 || last.Done != last.Total || last.Total < 2) {
			t.Errorf("%v: it ends with %+v", want.key, last)
		}
		if want.bytes != (last.Bytes > 0) {
			t.Errorf("%v: it ends with %d bytes", want.key, last.Bytes)
		}
	}
	// Git counts what it has received, up to a hundredth of a KiB and the index of it.
	all := seen[key{"fetch", "Receiving objects"}]
	if got := all[len(all)-1].Bytes; got < fetched.Bytes*9/10 || got > fetched.Bytes*11/10 {
		t.Errorf("progress says %d bytes, the result %d", got, fetched.Bytes)
	}
}

func TestProgressIsNotInTheError(t *testing.T) {
	s, dir := behind(t)
	s.Always(gittest.Cut("command=fetch"))
	for name, tell := range map[string]func(context.Context, Progress){"told": func(context.Context, Progress) {}, "nobody": nil} {
		_, err := newClient(t, nil, Config{Progress: tell}).Fetch(bounded(t), dir, FetchOptions{})
		if e := failure(t, err, KindTransfer); strings.Contains(e.Stderr, "%") || strings.Contains(e.Stderr, "objects: ") || !strings.Contains(e.Stderr, "early EOF") {
			t.Errorf("%s: stderr is %q", name, e.Stderr)
		}
	}
}

// What git has said is told at once, not when it says the next thing.
func TestProgressIsToldAtOnce(t *testing.T) {
	s := newStub(t, `case " $* " in`,
		`*" config "*) printf 'https://example.com/a.git\0';;`,
		`*" fetch "*) printf 'Receiving objects:  10%% (1/10)\r' >&2; read x < "$STUB/go"; printf 'Receiving objects: 100%% (10/10), done.\n' >&2;;`,
		`esac`)
	fifo := filepath.Join(s.notes, "go")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []int
	c := s.config()
	c.Progress = func(_ context.Context, p Progress) {
		got = append(got, p.Percent)
		if p.Percent == 10 {
			if err := os.WriteFile(fifo, []byte("go\n"), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := newClient(t, nil, c).Fetch(bounded(t), t.TempDir(), FetchOptions{}); err != nil {
		t.Error(err)
	}
	equal(t, "percentages", got, []int{10, 100})
}

// A callback that does not return is no reason to leave anything.
func TestProgressThatPanics(t *testing.T) {
	s, dir := behind(t)
	s.Always(nil)
	breaks := true
	for _, row := range []struct {
		name string
		stop func()
		want any
	}{
		{"panic", func() { panic("oh") }, "oh"},
		{"goexit", runtime.Goexit, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			breaks = true
			bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
			client := newClient(t, middleware.NewChain("git", bulkhead), Config{Progress: func(_ context.Context, p Progress) {
				if breaks && p.Phase == "Receiving objects" {
					row.stop()
				}
			}})
			parent := t.TempDir()
			packs := names(t, filepath.Join(dir, ".git", "objects", "pack"))
			for name, call := range map[string]func() error{
				"clone": func() error {
					_, err := client.Clone(bounded(t), s.Repo, filepath.Join(parent, "app"), CloneOptions{})
					return err
				},
				"fetch": func() error {
					_, err := client.Fetch(bounded(t), dir, FetchOptions{})
					return err
				},
			} {
				returned, got := false, any(nil)
				over := make(chan struct{})
				go func() { // the goroutine of the caller
					defer close(over)
					defer func() { got = recover() }()
					_ = call()
					returned = true
				}()
				<-over
				if returned || got != row.want {
					t.Errorf("%s: returned %v, recovered %v", name, returned, got)
				}
				nobody(t)
			}
			equal(t, "beside the clone", names(t, parent), nil)
			equal(t, "packs", names(t, filepath.Join(dir, ".git", "objects", "pack")), packs)
			breaks = false
			if _, err := client.Clone(bounded(t), s.Repo, filepath.Join(parent, "app"), CloneOptions{}); err != nil {
				t.Errorf("the permit is not back: %v", err)
			}
		})
	}
}

func TestProgressThatPanicsLeavesNoProcess(t *testing.T) {
	for name, row := range map[string]struct {
		stop func()
		want any
	}{"panic": {func() { panic("oh") }, "oh"}, "goexit": {runtime.Goexit, nil}} {
		w := newWitness(t)
		s := newStub(t, `case " $* " in`,
			`*" config "*) printf 'https://example.com/a.git\0'; exit;;`,
			`*" fetch "*) ;;`,
			`*) exit;;`,
			`esac`,
			`exec 3>`+w.path, `trap '' TERM`, `sleep 1000 &`, `printf 'Receiving objects:  10%% (1/10)\r' >&2`, `while :; do sleep 1000; done`)
		c := s.config()
		c.Grace = 20 * time.Millisecond
		c.Progress = func(context.Context, Progress) { row.stop() }
		client := newClient(t, nil, c)
		over, got := make(chan struct{}), any(nil)
		go func() {
			defer close(over)
			defer func() { got = recover() }()
			_, err := client.Fetch(bounded(t), t.TempDir(), FetchOptions{})
			t.Errorf("%s: returned %v", name, err)
		}()
		<-over
		if got != row.want {
			t.Errorf("%s: recovered %v", name, got)
		}
		w.gone(t)
		nobody(t)
	}
}
