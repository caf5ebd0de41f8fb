//go:build unix

package git

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

var secretForms = []string{canary, base64.StdEncoding.EncodeToString([]byte("ann:" + canary))}

// silent asserts that s has no secret in it.
func silent(t *testing.T, what, s string) {
	t.Helper()
	for _, form := range secretForms {
		if strings.Contains(s, form) {
			t.Errorf("%s shows the secret: %.300s", what, s)
		}
	}
}

// silentTree asserts that no file under dir has a secret in it.
func silentTree(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		silent(t, path, string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// watch looks at the arguments of all processes during each request, when git
// and its helpers are alive.
func watch(t *testing.T, s *gittest.Server) {
	var once sync.Once
	s.Look(func(*http.Request) {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil || len(lines) == 0 {
			once.Do(func() { t.Log("no /proc: the arguments of processes are not looked at") })
			return
		}
		helpers := 0
		for _, path := range lines {
			b, _ := os.ReadFile(path) // the process may be gone
			line := strings.ReplaceAll(string(b), "\x00", " ")
			if strings.Contains(line, "remote-http") && strings.Contains(line, "/repo.git") {
				helpers++
			}
			silent(t, "the process list", line)
		}
		if helpers == 0 {
			t.Error("the process list lacks git's helper: it was not looked at")
		}
	})
}

func TestG10CredentialsReachTheServerAlone(t *testing.T) {
	for _, row := range []struct {
		name  string
		given Credentials
		in    string // the URL
		asked Credentials
	}{
		{"by value", Credentials{Username: "ann", Password: canary}, "", Credentials{Username: "ann", Password: canary}},
		{"a token by value", Credentials{Password: canary}, "", Credentials{Username: "x-access-token", Password: canary}},
		{"in the URL", Credentials{}, "ann:" + canary + "@", Credentials{Username: "ann", Password: canary}},
		{"escaped in the URL", Credentials{}, "ann:%25%2f" + canary + "%40@", Credentials{Username: "ann", Password: "%/" + canary + "@"}},
		{"the user in the URL", Credentials{Password: canary}, "ann@", Credentials{Username: "ann", Password: canary}},
		{"the URL goes first", Credentials{Username: "bob", Password: "other"}, "ann:" + canary + "@", Credentials{Username: "ann", Password: canary}},
		{"with shell in it", Credentials{Username: `$(id)"'`, Password: canary + "`id`;'\"\\n%s"}, "", Credentials{Username: `$(id)"'`, Password: canary + "`id`;'\"\\n%s"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			repository := gittest.NewRepository(t)
			s := gittest.NewServer(t, repository)
			s.Ask(gittest.Login(row.asked))
			watch(t, s)
			url := strings.Replace(s.Repo, "http://", "http://"+row.in, 1)
			client := newClient(t, nil, Config{Credentials: row.given})
			ctx := bounded(t)

			if _, err := client.LsRemote(ctx, url); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "app")
			if _, err := client.Clone(ctx, url, dir, CloneOptions{}); err != nil {
				t.Fatal(err)
			}
			if stored := gittest.Git(t, dir, "config", "remote.origin.url"); stored != s.Repo {
				t.Errorf("the clone has the URL %q, want %q", stored, s.Repo)
			}
			// As another program may have stored it.
			gittest.Git(t, dir, "config", "remote.origin.url", url)
			if _, err := client.Fetch(ctx, dir, FetchOptions{}); err != nil {
				t.Error(err)
			}
			id := gittest.Commit(t, dir, "second")
			if _, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"main"}}); err != nil {
				t.Error(err)
			}
			if s.Head(t) != id {
				t.Error("nothing was pushed")
			}
			gittest.Git(t, dir, "config", "remote.origin.url", s.Repo)
			silentTree(t, dir)
		})
	}
}

// A URL in the place of a remote's name gets no nearer to an argument.
func TestG10URLAsTheNameOfARemote(t *testing.T) {
	id := strings.Repeat("a", 40)
	s := newStub(t, `case " $* " in
*" rev-parse "*) printf '`+id+`\n';;
*" push "*) printf 'To https://example.com/a\n=\t`+id+`:refs/heads/x\t[up to date]\nDone\n';;
esac`)
	client, dir := newClient(t, nil, s.config()), t.TempDir()
	url := "https://ann:" + canary + "@example.com/a.git"
	_, _ = client.Fetch(bounded(t), dir, FetchOptions{Remote: url})
	_, _ = client.Push(bounded(t), dir, PushOptions{Remote: url, Refspecs: []string{"HEAD:refs/heads/x"}})
	runs := s.runs(t, ".argv")
	asked := 0
	for _, argv := range runs {
		silent(t, "an argument", strings.Join(argv, " "))
		if strings.Contains(strings.Join(argv, " "), "https://example.com/a.git") {
			asked++
		}
	}
	if asked != 2 {
		t.Errorf("git was asked %d times for the remote, want a fetch and a push: %q", asked, runs)
	}
}

func TestG10CredentialsRefused(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Ask(gittest.Login{Username: "ann", Password: "right"})
	watch(t, s)
	for name, url := range map[string]string{
		"wrong password": strings.Replace(s.Repo, "http://", "http://ann:"+canary+"@", 1),
		"a bare token":   strings.Replace(s.Repo, "http://", "http://"+canary+"@", 1),
		"nothing":        s.Repo,
	} {
		var seen verdicts
		client := newClient(t, retry(&seen), Config{})
		dir := t.TempDir()
		_, err := client.Clone(bounded(t), url, filepath.Join(dir, "app"), CloneOptions{})
		e := failure(t, err, KindAuth)
		if len(seen.seen) != 1 {
			t.Errorf("%s: %d attempts", name, len(seen.seen))
		}
		silent(t, name, e.Error()+e.Stderr)
		silentTree(t, dir)
	}
}

func TestG10CredentialsDoNotFollowARedirect(t *testing.T) {
	var mu sync.Mutex
	var leaked []string
	other := gittest.NewServer(t, gittest.NewRepository(t))
	other.Ask(gittest.Login{Username: "ann", Password: canary})
	other.Look(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		leaked = append(leaked, r.Header.Get("Authorization"))
	})
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusFound)
	})
	for _, asked := range []Credentials{{}, {"ann", canary}} { // before it redirects
		s.Ask(gittest.Login(asked))
		_, err := newClient(t, nil, Config{Credentials: Credentials{"ann", canary}}).LsRemote(bounded(t), s.Repo)
		failure(t, err, KindAuth)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(leaked) == 0 || slices.ContainsFunc(leaked, func(h string) bool { return h != "" }) {
		t.Errorf("the other server got %q, want requests without credentials", leaked)
	}
}

func TestG10CredentialsOfTwoSources(t *testing.T) {
	for _, row := range []struct{ url, config, want Credentials }{
		{Credentials{}, Credentials{}, Credentials{}},
		{Credentials{}, Credentials{"ann", "a"}, Credentials{"ann", "a"}},
		{Credentials{"ann", ""}, Credentials{"", "a"}, Credentials{"ann", "a"}},
		{Credentials{"ann", ""}, Credentials{"ann", "a"}, Credentials{"ann", "a"}},
		{Credentials{"ann", ""}, Credentials{"bob", "b"}, Credentials{"ann", ""}},
		{Credentials{"ann", "a"}, Credentials{"bob", "b"}, Credentials{"ann", "a"}},
	} {
		if got := row.url.over(row.config); got.Username != row.want.Username || got.Password != row.want.Password {
			t.Errorf("%q over %q: got %q", row.url.Password, row.config.Password, got.Password)
		}
	}
}

func TestG10CredentialsDoNotShow(t *testing.T) {
	c := Config{Credentials: Credentials{Username: "ann", Password: canary}, Env: []string{"A=" + canary, "B=", canary}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "credentials", c.Credentials, "env", c.Env)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "credentials", c.Credentials, "env", c.Env)
	b, err := json.Marshal(c) //nolint:musttag // as it is logged by accident
	if err != nil {
		t.Fatal(err)
	}
	silent(t, "printed", fmt.Sprintf("%v %+v %#v %s %q %d %x", c, c, c, c.Credentials, c.Credentials, c.Credentials, c.Credentials)+log.String()+string(b))
	if got := fmt.Sprint(Credentials{}, c.Credentials, c.Env); got != "none *** A=*** B=*** =***" {
		t.Errorf("got %q", got)
	}
	c.Env = []string{"A=" + canary}
	c.SSH.PrivateKey = "-----BEGIN " + canary
	client := newClient(t, nil, c)
	client.renewal.current = &c.Credentials
	silent(t, "a client", fmt.Sprintf("%v %+v %#v %+v", client, client, client, struct{ git *Client }{client}))
	c.Credentials.Password += "\nhost=evil"
	if err := c.Validate(); err == nil {
		t.Error("a line break in the password is accepted")
	} else {
		silent(t, "the validation", err.Error())
	}
}

// A filter of the user's that downloads files, as that of Git LFS, has the
// credentials of the remote.
func TestFiltersHaveTheCredentialsOfTheRemote(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	host, _, _ := strings.Cut(strings.TrimPrefix(s.Repo, "http://"), "/")
	script := filepath.Join(t.TempDir(), "smudge")
	lines := "#!/bin/sh\ncat >/dev/null\nprintf 'protocol=http\\nhost=" + host + "\\n\\n' | git credential fill | sed -n s/^password=//p\n"
	gittest.WriteScript(t, script, lines)
	client := newClient(t, nil, Config{
		Credentials: Credentials{Password: canary},
		Settings:    []string{"filter.ask.smudge=" + script, "filter.ask.required=true"},
	})
	synced, pulled, work := filepath.Join(t.TempDir(), "app"), filepath.Join(t.TempDir(), "app"), pusher(t, s)
	if _, err := client.Clone(bounded(t), s.Repo, pulled, CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	write(t, work, ".gitattributes", "asked filter=ask\n")
	write(t, work, "asked", "what stands for the file")
	gittest.Git(t, work, "add", ".")
	advance(t, work, "asked")
	_, failed := client.Sync(bounded(t), s.Repo, synced, "main")
	_, err := client.Pull(bounded(t), pulled, PullOptions{})
	if err = errors.Join(failed, err); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{synced, pulled} {
		if b, err := os.ReadFile(filepath.Join(dir, "asked")); string(b) != canary+"\n" {
			t.Errorf("%s: the filter got %q, %v", dir, b, err)
		}
	}
}
