//go:build unix

package git

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRunOutput(t *testing.T) {
	dir := gittest.NewRepository(t)
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen() // it passes no policy
	client := newClient(t, middleware.NewChain("git", breaker), Config{})
	var out strings.Builder
	if err := client.Run(bounded(t), dir, &out, "log", "--format=%s"); err != nil || out.String() != "first\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := client.Run(bounded(t), dir, nil, "status"); err != nil {
		t.Error(err)
	}
	// More than the client itself would read.
	var size int64
	s := newStub(t, `head -c 70000000 /dev/zero`)
	count := writerFunc(func(b []byte) (int, error) { size += int64(len(b)); return len(b), nil })
	if err := newClient(t, nil, s.config()).Run(bounded(t), dir, count, "log"); err != nil || size != 70_000_000 {
		t.Errorf("%d bytes, %v", size, err)
	}
	argv := strings.Join(s.only(t, ".argv"), " ")
	if !strings.HasSuffix(argv, "-c protocol.ext.allow=never log") || !strings.Contains(argv, "gc.auto=0") || !strings.Contains(argv, "core.hooksPath=/dev/null") {
		t.Errorf("the arguments are %q", argv)
	}
	env := strings.Join(s.only(t, ".env"), "\n")
	for _, v := range []string{"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir)} {
		if !strings.Contains(env, v) {
			t.Errorf("the environment lacks %s", v)
		}
	}
}

func TestRunGetsNoCredentials(t *testing.T) {
	s := newStub(t)
	c := s.config()
	c.Credentials = Credentials{Username: "ann", Password: canary}
	if err := newClient(t, nil, c).Run(bounded(t), t.TempDir(), nil, "fetch"); err != nil {
		t.Fatal(err)
	}
	silent(t, "what git gets", strings.Join(append(s.only(t, ".argv"), s.only(t, ".env")...), "\n"))
}

func TestG12RunStreams(t *testing.T) {
	s := newStub(t, `echo one; read x < "$STUB/go"; echo two`)
	fifo := filepath.Join(s.notes, "go")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	out := writerFunc(func(b []byte) (int, error) {
		got = append(got, string(b))
		if len(got) == 1 { // git goes on when it has come
			return len(b), os.WriteFile(fifo, []byte("go\n"), 0o600)
		}
		return len(b), nil
	})
	if err := newClient(t, nil, s.config()).Run(bounded(t), t.TempDir(), out, "log"); err != nil {
		t.Error(err)
	}
	equal(t, "output", got, []string{"one\n", "two\n"})
}

func TestRunWriterThatFails(t *testing.T) {
	full := errors.New("the disk is full")
	for _, row := range []struct {
		name, script string
		out          io.Writer
		is           error
	}{
		{"git goes on writing", `exec yes`, writerFunc(func([]byte) (int, error) { return 0, full }), full},
		{"git has ended well", `echo little`, writerFunc(func([]byte) (int, error) { return 0, full }), full},
		{"git fails too", `echo little; exit 3`, writerFunc(func([]byte) (int, error) { return 0, full }), full},
		{"it takes less", `exec yes`, writerFunc(func(b []byte) (int, error) { return len(b) - 1, nil }), io.ErrShortWrite},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStub(t, row.script)
			err := newClient(t, nil, s.config()).Run(bounded(t), t.TempDir(), row.out, "log")
			e := failure(t, err, KindUnknown)
			if !errors.Is(err, row.is) || e.Op != "log" || e.Attempt != 1 || !strings.Contains(e.Error(), "writing its output") {
				t.Errorf("got %v (%+v)", err, e)
			}
		})
	}
}

func TestRunCancelled(t *testing.T) {
	w := newWitness(t)
	s := newStub(t, `exec 3>`+w.path, `trap '' TERM`, `sleep 1000 &`, `echo ready >&3`, `wait`)
	c := s.config()
	c.Grace = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(bounded(t))
	client := newClient(t, nil, c)
	end := start(func() error { return client.Run(ctx, t.TempDir(), nil, "log") })
	if w.line(t) != "ready" {
		t.Fatal("the stub is not ready")
	}
	cancel()
	err := <-end
	if failure(t, err, KindCanceled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.gone(t)
}

func TestRunArguments(t *testing.T) {
	dir := gittest.NewRepository(t)
	client := newClient(t, nil, Config{})
	for _, row := range []struct {
		name string
		dir  string
		args []string
		kind Kind
		code int
	}{
		{"no command", dir, nil, KindUsage, 0},
		{"an empty command", dir, []string{""}, KindUsage, 0},
		{"an option for a command", dir, []string{"--exec-path=/tmp", "log"}, KindUsage, 0},
		{"a setting for a command", dir, []string{"-c", "core.pager=id", "log"}, KindUsage, 0},
		{"a line break in the command", dir, []string{"log\n"}, KindUsage, 0},
		{"a NUL", dir, []string{"log", "a\x00b"}, KindUsage, 0},
		{"no directory", "", []string{"log"}, KindUsage, 0},
		{"an option for a directory", "-C", []string{"log"}, KindUsage, 0},
		{"a directory that is none", filepath.Join(dir, "file"), []string{"log"}, KindUsage, -1},
		{"no repository", t.TempDir(), []string{"log"}, KindNoRepository, 128},
		{"an unknown command", dir, []string{"frob"}, KindUsage, 1},
		{"an unknown option", dir, []string{"commit", "--frob"}, KindUsage, 129},
		{"a no", dir, []string{"merge-base", "--is-ancestor", "HEAD", "HEAD^{tree}"}, KindUnknown, 128},
		{"no such file", dir, []string{"add", "nope"}, KindUsage, 128},
		{"a conflict", dir, []string{"merge", "--ff-only", "v1"}, "", 0},
	} {
		err := client.Run(bounded(t), row.dir, nil, row.args...)
		if row.kind == "" {
			if err != nil {
				t.Errorf("%s: got %v", row.name, err)
			}
			continue
		}
		if e := failure(t, err, row.kind); e.ExitCode != row.code {
			t.Errorf("%s: got %+v, want the exit status %d", row.name, e, row.code)
		}
	}
	// What comes after the command is git's: an empty argument too.
	s := newStub(t)
	if err := newClient(t, nil, s.config()).Run(bounded(t), dir, nil, "commit", "--allow-empty-message", "-m", "", "--", "-x"); err != nil {
		t.Fatal(err)
	}
	argv := s.only(t, ".argv")
	equal(t, "the arguments", argv[len(argv)-6:], []string{"commit", "--allow-empty-message", "-m", "", "--", "-x"})
}

func TestRunWriterThatPanics(t *testing.T) {
	for name, row := range map[string]struct {
		stop func()
		want any
	}{"panic": {func() { panic("oh") }, "oh"}, "goexit": {runtime.Goexit, nil}} {
		w := newWitness(t)
		s := newStub(t, `exec 3>`+w.path, `trap '' TERM`, `echo line`, `exec sleep 1000`)
		c := s.config()
		c.Grace = 20 * time.Millisecond
		client := newClient(t, nil, c)
		over, got := make(chan struct{}), any(nil)
		go func() {
			defer close(over)
			defer func() { got = recover() }()
			err := client.Run(bounded(t), t.TempDir(), writerFunc(func([]byte) (int, error) { row.stop(); return 0, nil }), "log")
			t.Errorf("%s: returned %v", name, err)
		}()
		<-over
		if got != row.want {
			t.Errorf("%s: recovered %v", name, got)
		}
		w.gone(t)
	}
}
