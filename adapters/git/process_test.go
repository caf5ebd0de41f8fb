//go:build unix

package git

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A witness is a pipe that every process of a stub holds open, so that its end
// shows that all of them have gone, whoever reaps them.
type witness struct {
	path  string
	r, w  *os.File
	lines *bufio.Reader
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{path: filepath.Join(t.TempDir(), "witness")}
	if err := syscall.Mkfifo(w.path, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.r, err = os.OpenFile(w.path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	if w.w, err = os.OpenFile(w.path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.r.Close(); w.w.Close() })
	if err := w.r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // a bound for a broken client
		t.Fatal(err)
	}
	w.lines = bufio.NewReader(w.r)
	return w
}

// line waits for the next line that a process writes.
func (w *witness) line(t *testing.T) string {
	t.Helper()
	s, err := w.lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

// gone waits until no process holds the pipe, and returns what they wrote until
// then.
func (w *witness) gone(t *testing.T) string {
	t.Helper()
	w.w.Close()
	b, err := io.ReadAll(w.lines)
	if err != nil {
		t.Fatalf("a process of the group lives on: %v", err)
	}
	return string(b)
}

func TestG6NoProcessSurvives(t *testing.T) {
	for _, row := range []struct {
		name  string
		lines []string
		grace time.Duration
		says  string // what a process says at its end
	}{
		{
			name:  "ends when asked, with its helper",
			lines: []string{`trap 'echo asked >&3; exit 143' TERM`, `(trap 'sleep 0.2; echo asked too >&3; exit 1' TERM; echo ready >&3; while :; do sleep 0.01; done) &`, `wait`},
			grace: 30 * time.Second,
			says:  "asked too",
		},
		{
			name:  "git ends at once, its helper does not",
			lines: []string{`trap 'exit 143' TERM`, `(trap '' TERM; echo ready >&3; exec sleep 1000) &`, `wait`},
			grace: 50 * time.Millisecond,
		},
		{
			name:  "nothing listens",
			lines: []string{`trap '' TERM`, `sleep 1000 &`, `echo ready >&3`, `wait`},
			grace: 50 * time.Millisecond,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWitness(t)
			s := newStub(t, append([]string{`exec 3>` + w.path, `echo $$ >&3`}, row.lines...)...)
			c := s.config()
			c.Grace = row.grace
			client := newClient(t, nil, c)
			ctx, cancel := context.WithCancel(bounded(t))
			defer cancel()
			returned := make(chan error, 1)
			go func() {
				_, err := client.LsRemote(ctx, "https://example.com/a")
				returned <- err
			}()
			leader, err := strconv.Atoi(w.line(t))
			if err != nil {
				t.Fatal(err)
			}
			if w.line(t) != "ready" {
				t.Fatal("the stub is not ready")
			}
			if group, err := syscall.Getpgid(leader); err != nil || group != leader {
				t.Errorf("git's group is %d, %v, want its own, %d", group, err, leader)
			}
			cancel()
			err = <-returned
			if e := failure(t, err, KindCanceled); !errors.Is(err, context.Canceled) || strings.Contains(e.Error(), "signal") {
				t.Errorf("got %v", err)
			}
			if said := w.gone(t); !strings.Contains(said, row.says) {
				t.Errorf("the processes said %q, want %q: they were not asked first", said, row.says)
			}
		})
	}
}

// After a normal end too, nothing of the group is left and nobody waits for what
// it holds open.
func TestG6SweepAfterNormalEnd(t *testing.T) {
	w := newWitness(t)
	s := newStub(t, `exec 3>`+w.path, `sleep 1000 &`, `printf 'aaaa\tHEAD\n'`)
	refs, err := newClient(t, nil, s.config()).LsRemote(bounded(t), "https://example.com/a")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "refs", refs, []Ref{{Name: "HEAD", ID: "aaaa"}})
	w.gone(t)
}

// A process that has left the group, as a shared ssh connection does, may live
// on but not hold the call back.
func TestG6OutputHeldElsewhere(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no setsid")
	}
	w := newWitness(t)
	s := newStub(t, `exec 3>`+w.path, `setsid sh -c 'echo $$ >&3; exec sleep 1000' &`, `read x < `+w.path+`.go`)
	if err := syscall.Mkfifo(w.path+".go", 0o600); err != nil {
		t.Fatal(err)
	}
	returned := make(chan error, 1)
	go func() {
		_, err := newClient(t, nil, s.config()).LsRemote(bounded(t), "https://example.com/a")
		returned <- err
	}()
	other, err := strconv.Atoi(w.line(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path+".go", []byte("go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-returned; err != nil {
		t.Errorf("got %v", err)
	}
	if err := syscall.Kill(other, syscall.SIGKILL); err != nil {
		t.Errorf("the process outside of the group: %v", err)
	}
	w.gone(t)
}

func TestG12OutputIsBounded(t *testing.T) {
	s := newStub(t, `exec yes "aaaa	refs/heads/x"`)
	_, err := newClient(t, nil, s.config()).LsRemote(bounded(t), "https://example.com/a")
	if failure(t, err, KindUnknown); !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("got %v", err)
	}
	s = newStub(t,
		`i=0; while [ $i -lt 3000 ]; do echo "warning: line $i of many, of which most are left out"; i=$((i+1)); done >&2`,
		`printf 'Receiving objects:  10%%\rReceiving objects:  20%%\rReceiving objects: 100%%, done.\n' >&2`,
		`echo "fatal: early EOF" >&2; exit 128`)
	_, err = newClient(t, nil, s.config()).LsRemote(bounded(t), "https://example.com/a")
	e := failure(t, err, KindTransfer)
	if len(e.Stderr) > 4<<10 || !strings.HasPrefix(e.Stderr, "warning: line 0 of") || !strings.HasSuffix(e.Stderr, "line 2999 of many, of which most are left out\nReceiving objects: 100%, done.\nfatal: early EOF") {
		t.Errorf("%d bytes of stderr:\n%s", len(e.Stderr), e.Stderr)
	}
	if e.Error() != "git ls-remote: fatal: early EOF (transfer, exit status 128)" {
		t.Errorf("the error is %q", e)
	}
}

// A relative path names one program, not one of each repository.
func TestRelativePathIsNotLookedUpInTheRepository(t *testing.T) {
	s := newStub(t, `printf 'aaaa\tHEAD\n'`)
	t.Chdir(filepath.Dir(s.path))
	c := s.config()
	c.Path = "./git"
	client := newClient(t, nil, c)
	t.Chdir(t.TempDir())
	if _, err := client.LsRemote(bounded(t), "https://example.com/a"); err != nil {
		t.Error(err)
	}
	if len(s.runs(t, ".argv")) != 1 {
		t.Error("another program ran")
	}
}

func TestFetchDoesNotHangAfterTheEndOfTheContext(t *testing.T) {
	w := newWitness(t)
	s := newStub(t, `case " $* " in
*" config "*) printf 'https://example.com/a.git\0';;
*" fetch "*) exec 3>`+w.path+`; echo fetching >&3; exec sleep 1000;;
*" for-each-ref "*) [ -e "$STUB/asked" ] && exec sleep 1000; touch "$STUB/asked";;
esac`)
	c := s.config()
	c.Grace = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(bounded(t))
	go func() {
		w.line(t)
		cancel()
	}()
	_, err := newClient(t, nil, c).Fetch(ctx, t.TempDir(), FetchOptions{}) // bounded fails the test if it hangs
	failure(t, err, KindCanceled)
}

func TestG13NoGit(t *testing.T) {
	var seen verdicts
	for name, want := range map[string]error{"no-such-git-anywhere": exec.ErrNotFound, t.TempDir() + "/git": os.ErrNotExist, t.TempDir(): os.ErrPermission} {
		chain := retry(&seen)
		seen.seen = nil
		_, err := newClient(t, chain, Config{Path: name}).LsRemote(bounded(t), "http://127.0.0.1:1/a")
		failure(t, err, KindNoGit)
		if !errors.Is(err, want) {
			t.Errorf("%v is not %v", err, want)
		}
		if len(seen.seen) != 1 || seen.seen[0] != (middleware.Verdict{Class: middleware.Ignored, Reason: "no_git"}) {
			t.Errorf("the verdicts are %+v", seen.seen)
		}
	}
	_, err := newClient(t, nil, Config{}).Fetch(bounded(t), "no/such/directory", FetchOptions{})
	failure(t, err, KindUsage)
	_, err = newClient(t, nil, Config{}).Fetch(bounded(t), t.TempDir(), FetchOptions{})
	failure(t, err, KindNoRepository)
}

// What git itself gets: the secret is in one variable, and nowhere else.
func TestG10SecretsOfOneProcess(t *testing.T) {
	for _, url := range []string{"https://ann:" + canary + "@example.com/a.git", "https://example.com/a.git"} {
		s := newStub(t, `echo "fatal: unable to access '$TIDEGATE_GIT_PASSWORD' https://ann:$TIDEGATE_GIT_PASSWORD@example.com/: The requested URL returned error: 503" >&2; exit 128`)
		c := s.config()
		c.Credentials = Credentials{Username: "ann", Password: canary}
		_, err := newClient(t, nil, c).LsRemote(bounded(t), url)
		e := failure(t, err, KindServer)
		silent(t, "the error", e.Error()+e.Stderr)
		if e.Stderr != "fatal: unable to access '***' https://***@example.com/: The requested URL returned error: 503" {
			t.Errorf("stderr is %q", e.Stderr)
		}
		silent(t, "argv", strings.Join(s.only(t, ".argv"), " "))
		found := 0
		for _, v := range s.only(t, ".env") {
			if v == "TIDEGATE_GIT_PASSWORD="+canary {
				found++
				continue
			}
			silent(t, "the environment", v)
		}
		if found != 1 {
			t.Errorf("the password is in %d variables, want 1", found)
		}
	}
}
