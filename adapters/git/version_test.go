//go:build unix

package git

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// newVersion returns a stub that runs the script when it is asked for its version.
func newVersion(t *testing.T, script string) *stub {
	t.Helper()
	s := newStub(t)
	text := "#!/bin/sh\nif [ \"$1\" = version ]; then\necho asked >> \"$STUB/asked\"\n" + script + "\nexit\nfi\necho run >> \"$STUB/run\"\nprintf 'aaaa\\tHEAD\\n'\n"
	gittest.WriteScript(t, s.path, text)
	return s
}

// noted returns how many times the stub has noted something.
func (s *stub) noted(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.notes, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func TestG13VersionIsAskedOnce(t *testing.T) {
	const url = "https://example.com/a"
	s := newVersion(t, "echo git version 2.39.5")
	client := freshClient(t, nil, s.config())
	if s.noted(t, "asked") != 0 {
		t.Error("git runs before it is needed")
	}
	for range 3 {
		if _, err := client.LsRemote(bounded(t), url); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.noted(t, "asked"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}

	// Those that begin together may each ask, later ones do not.
	s = newVersion(t, "echo git version 2.39.5")
	client = freshClient(t, nil, s.config())
	var ends []<-chan error
	for range 8 {
		ends = append(ends, start(func() error {
			_, err := client.LsRemote(bounded(t), url)
			return err
		}))
	}
	for _, end := range ends {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	asked := s.noted(t, "asked")
	if _, err := client.LsRemote(bounded(t), url); err != nil || asked < 1 || asked > 8 || s.noted(t, "asked") != asked || s.noted(t, "run") != 9 {
		t.Errorf("%v: asked %d times, then %d, run %d", err, asked, s.noted(t, "asked"), s.noted(t, "run"))
	}
}

func TestG13Versions(t *testing.T) {
	for i, row := range []struct {
		said string
		ok   bool
	}{
		{"git version 2.31.0", true},
		{"git version 2.31", true},
		{"git version 2.39.5 (Apple Git-154)", true},
		{"git version 2.47.1.windows.2", true},
		{"git version 2.45.GIT", true},
		{"git version 2.50-rc1", true},
		{"git version 3.0.0", true},
		{"git version 10.1", true},
		{"git version 2.30.9", false},
		{"git version 2.4.11", false},
		{"git version 1.99.0", false},
		{"git version 2", false},
		{"git version two.one", false},
		{"git version 99999999999999999999.1", false},
		{"hub version 2.14.2", false},
		{"", false},
		{"token=" + canary, false},
		{strings.Repeat("long ", 9000), false},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			s := newVersion(t, "echo '"+row.said+"'")
			var seen verdicts
			_, err := freshClient(t, retry(&seen), s.config()).LsRemote(bounded(t), "https://example.com/a")
			if row.ok {
				if err != nil || s.noted(t, "run") != 1 {
					t.Errorf("%q: got %v", row.said, err)
				}
				return
			}
			e := failure(t, err, KindNoGit)
			if len(e.Error()) > maxStderr+500 || !strings.Contains(e.Error(), "2.31") || !strings.Contains(e.Error(), s.path) || e.Attempt != 1 {
				t.Errorf("the error is %q", e)
			}
			silent(t, "the error", e.Error())
			if s.noted(t, "run") != 0 || s.noted(t, "asked") != 1 || len(seen.seen) != 1 || seen.seen[0] != (middleware.Verdict{Class: middleware.Ignored, Reason: "no_git"}) {
				t.Errorf("%d runs, the verdicts are %+v", s.noted(t, "run"), seen.seen)
			}
		})
	}
}

// A git that could not answer, or that has been replaced since, is asked again.
func TestG13GitThatWorksLater(t *testing.T) {
	s := newVersion(t, `if [ $(wc -l < "$STUB/asked") = 1 ]; then echo "fatal: oh" >&2; exit 3; fi
if [ $(wc -l < "$STUB/asked") = 2 ]; then echo git version 2.1.0; exit; fi
echo git version 2.39.5`)
	client := freshClient(t, nil, s.config())
	for i, want := range []Kind{KindUnknown, KindNoGit, "", ""} {
		_, err := client.LsRemote(bounded(t), "https://example.com/a")
		if KindOf(err) != want {
			t.Errorf("call %d: got %v, want the kind %q", i, err, want)
		}
	}
	if s.noted(t, "asked") != 3 || s.noted(t, "run") != 2 {
		t.Errorf("asked %d times, %d runs", s.noted(t, "asked"), s.noted(t, "run"))
	}

	// One that was not there.
	path := filepath.Join(t.TempDir(), "git")
	c := s.config()
	c.Path = path
	client = freshClient(t, nil, c)
	_, err := client.LsRemote(bounded(t), "https://example.com/a")
	failure(t, err, KindNoGit)
	if err := os.Symlink(s.path, path); err != nil {
		t.Fatal(err)
	}
	if _, err := client.LsRemote(bounded(t), "https://example.com/a"); err != nil {
		t.Error(err)
	}
}

// freshClient returns a client that has not asked for git's version.
func freshClient(t *testing.T, chain *middleware.Chain, c Config) *Client {
	t.Helper()
	client := newClient(t, chain, c)
	client.checked.Store(false)
	return client
}
