//go:build unix

package git

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// A stub is a script in place of git, which notes how it is called.
type stub struct{ path, notes string }

// newStub returns a stub that goes on with the given lines of shell.
func newStub(t *testing.T, lines ...string) *stub {
	t.Helper()
	dir := t.TempDir()
	s := &stub{path: filepath.Join(dir, "git"), notes: filepath.Join(dir, "notes")}
	if err := os.Mkdir(s.notes, 0o700); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
if [ "$1" = version ]; then echo git version 2.39.5; exit; fi
n=$(ls "$STUB" | wc -l | tr -d ' ')
printf '%s\0' "$@" > "$STUB/$n.argv"
env -0 > "$STUB/$n.env"
` + strings.Join(lines, "\n") + "\n"
	gittest.WriteScript(t, s.path, script)
	return s
}

func (s *stub) config() Config {
	return Config{Path: s.path, Env: []string{"STUB=" + s.notes}, Schemes: knownSchemes}
}

// runs returns what was noted under the given ending, run by run.
func (s *stub) runs(t *testing.T, ending string) [][]string {
	t.Helper()
	var runs [][]string
	entries, err := os.ReadDir(s.notes)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ending) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s.notes, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"))
	}
	return runs
}

func (s *stub) only(t *testing.T, ending string) []string {
	t.Helper()
	runs := s.runs(t, ending)
	if len(runs) != 1 {
		t.Fatalf("git ran %d times, want once: %q", len(runs), runs)
	}
	return runs[0]
}

func TestG1Arguments(t *testing.T) {
	id := strings.Repeat("a", 40)
	answers := `case " $* " in
*" config "*core.sshCommand*) exit 1;;
*" config "*) printf 'https://example.com/stored.git\0';;
*" rev-parse "*refs/tags/*) exit 1;;
*" rev-parse --symbolic"*) echo refs/heads/main;;
*" rev-parse "*) echo ` + id + `;;
esac`
	for _, row := range []struct {
		name string
		call func(ctx context.Context, c *Client, dir string) error
		want string // how the arguments end
	}{
		{"ls-remote", func(ctx context.Context, c *Client, _ string) error {
			_, err := c.LsRemote(ctx, "https://example.com/a.git", "refs/heads/*")
			return err
		}, "ls-remote -- https://example.com/a.git refs/heads/*"},
		{"clone", func(ctx context.Context, c *Client, dir string) error {
			_, err := c.Clone(ctx, "user@example.com:a.git", filepath.Join(dir, "new"), CloneOptions{Branch: "x", Depth: 2})
			return err
		}, "clone --progress --origin=origin --branch=x --depth=2 -- user@example.com:a.git DIR/new.tmp-"},
		{"fetch", func(ctx context.Context, c *Client, dir string) error {
			_, err := c.Fetch(ctx, dir, FetchOptions{Refspecs: []string{"+refs/heads/*:refs/remotes/origin/*"}, Prune: true, Depth: 1})
			return err
		}, "fetch --progress --recurse-submodules=no --depth=1 --prune -- origin +refs/heads/*:refs/remotes/origin/*"},
		{"push", func(ctx context.Context, c *Client, dir string) error {
			_, err := c.Push(ctx, dir, PushOptions{Remote: "up", Refspecs: []string{"main", ":refs/heads/old"}, Leases: map[string]string{"refs/heads/old": id}})
			return err
		}, "push --porcelain --progress --no-follow-tags --recurse-submodules=no --atomic --force-with-lease=refs/heads/old:" + id + " -- up " + id + ":refs/heads/main :refs/heads/old"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, dir := newStub(t, answers), t.TempDir()
			if err := row.call(bounded(t), newClient(t, nil, s.config()), dir); err != nil {
				t.Fatal(err)
			}
			for i, argv := range s.runs(t, ".argv") {
				line := strings.Join(argv, " ")
				for _, setting := range []string{"-c gc.auto=0 -c maintenance.auto=false ", "-c protocol.ext.allow=never "} { // G5
					if !strings.Contains(line, setting) {
						t.Errorf("no %q in %q", setting, line)
					}
				}
				env := s.runs(t, ".env")[i]
				offline := !slices.Contains(argv, row.name) && slices.Contains(env, "GIT_ALLOW_PROTOCOL=")
				if !offline && !slices.Contains(env, "GIT_ALLOW_PROTOCOL=https:ssh:http:git:file") || !slices.Contains(env, "GIT_PROTOCOL_FROM_USER=0") {
					t.Errorf("the allowed protocols are missing in %q", env)
				}
				if slices.Contains(argv, row.name) && !strings.Contains(line, " never "+strings.ReplaceAll(row.want, "DIR", dir)) && !strings.Contains(line, "=never "+strings.ReplaceAll(row.want, "DIR", dir)) {
					t.Errorf("the arguments are\n%s\nwant at the end\n%s", line, row.want)
				}
			}
			if all := s.runs(t, ".argv"); !slices.ContainsFunc(all, func(argv []string) bool { return slices.Contains(argv, row.name) }) {
				t.Errorf("git %s was not run: %q", row.name, all)
			}
		})
	}
}

func TestG1Refused(t *testing.T) {
	id := strings.Repeat("a", 40)
	s := newStub(t, `case " $* " in *" config "*) exit 1;; *" rev-parse "*) echo `+id+`;; esac`)
	c := s.config()
	c.Schemes = nil // https and ssh
	client, err := New(retry(), c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const good = "https://example.com/a.git"
	ctx := bounded(t)
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%q is not refused", what)
			return
		}
		if e := failure(t, err, KindUsage); e.ExitCode != 0 || e.Err == nil {
			t.Errorf("%q: got %+v", what, e)
		}
	}
	for _, bad := range []string{
		"", "-", "--upload-pack=touch x", "-oProxyCommand=x", "https://example.com/a\nb", "https://example.com/a\x00b", "https://example.com/\x7f", "\xff",
		"ext::sh -c id", "ext::https://example.com", "fd::3", "::x", "transport::https://example.com/x",
		"http://example.com/a.git", "git://example.com/a", "file:///etc", "/etc", "a", "./a", "../a:b", "ftp://example.com/a", "HTTP://example.com/a",
		"https://", "https:///a", "https://-example.com/a", "https://exa mple.com/a", "https://example.com:port/a", "https://a:b@/x",
		"ssh://-oProxyCommand=x/a", "ssh://-oProxyCommand=x@example.com/a", "ssh://example.com", "ssh://user:" + canary + "@example.com/a", "ssh://exa$(id)mple.com/a", "ssh://%2doProxyCommand=x/a",
		"-oProxyCommand=x:a", "user@-oProxyCommand=x:a", "example.com:-a", "example.com:", ":a", "-x@example.com:a", "exa`id`mple.com:a", "a;b:c", "user:" + canary + "@example.com:a",
		"https://user:" + canary + "@exa mple.com/", "http://user:" + canary + "@example.com/",
		"https://example.com/a?private_token=" + canary, "https://example.com/a#" + canary,
	} {
		_, err := client.LsRemote(ctx, bad)
		refused("the URL "+bad, err)
		_, err = client.Clone(ctx, bad, filepath.Join(dir, "new"), CloneOptions{})
		refused("the URL "+bad, err)
		if bad != "" {
			_, err = client.Fetch(ctx, dir, FetchOptions{Remote: bad})
			refused("the remote "+bad, err)
			_, err = client.Push(ctx, dir, PushOptions{Remote: bad, Refspecs: []string{":refs/heads/x"}})
			refused("the remote "+bad, err)
		}
	}
	for _, bad := range []string{"", "-x", "--upload-pack=x", "a\nb", "a\x00"} {
		_, err := client.LsRemote(ctx, good, bad)
		refused("the pattern "+bad, err)
		if bad != "" {
			_, err = client.Clone(ctx, good, filepath.Join(dir, "new"), CloneOptions{Branch: bad})
			refused("the branch "+bad, err)
		}
		_, err = client.Clone(ctx, good, bad, CloneOptions{})
		refused("the directory "+bad, err)
		_, err = client.Fetch(ctx, bad, FetchOptions{})
		refused("the directory "+bad, err)
		_, err = client.Fetch(ctx, dir, FetchOptions{Refspecs: []string{bad}})
		refused("the refspec "+bad, err)
		_, err = client.Push(ctx, dir, PushOptions{Refspecs: []string{bad}})
		refused("the refspec "+bad, err)
		_, err = client.Checkout(ctx, dir, bad, CheckoutOptions{})
		refused("the revision "+bad, err)
		_, err = client.CommitAndPush(ctx, dir, CommitOptions{Message: "x", Branch: "x", Paths: []string{bad}})
		refused("the path "+bad, err)
		err = client.Run(ctx, dir, nil, bad)
		refused("the command "+bad, err)
		_, err = client.Submodules(ctx, bad, SubmoduleOptions{})
		refused("the directory "+bad, err)
		if bad == "" { // stands for a default
			continue
		}
		_, err = client.Sync(ctx, good, filepath.Join(dir, "new"), bad)
		refused("the ref "+bad, err)
		_, err = client.Pull(ctx, dir, PullOptions{Branch: bad})
		refused("the branch "+bad, err)
		_, err = client.Pull(ctx, dir, PullOptions{Branch: "x", Remote: bad})
		refused("the remote "+bad, err)
		_, err = client.CommitAndPush(ctx, dir, CommitOptions{Message: "x", Branch: bad})
		refused("the branch "+bad, err)
		_, err = client.CommitAndPush(ctx, dir, CommitOptions{Message: "x", Branch: "x", Remote: bad})
		refused("the remote "+bad, err)
	}
	for _, bad := range []string{"a..b", "a:b", "a b", "a*", "a@{1}", "refs/heads/a^", "a.lock", "/a", "a//b"} {
		_, err := client.Sync(ctx, good, filepath.Join(dir, "new"), bad)
		refused("the ref "+bad, err)
		_, err = client.Pull(ctx, dir, PullOptions{Branch: bad})
		refused("the branch "+bad, err)
		_, err = client.CommitAndPush(ctx, dir, CommitOptions{Message: "x", Branch: bad})
		refused("the branch "+bad, err)
	}
	for name, o := range map[string]PushOptions{
		"none":                   {},
		"forced":                 {Refspecs: []string{"+main"}},
		"a pattern":              {Refspecs: []string{"refs/heads/*:refs/heads/*"}},
		"an option":              {Refspecs: []string{"main:-x"}},
		"no name":                {Refspecs: []string{"main:"}},
		"a short name to delete": {Refspecs: []string{":main"}},
		"twice":                  {Refspecs: []string{":refs/heads/x", ":refs/heads/x"}},
		"a lease for another":    {Refspecs: []string{":refs/heads/x"}, Leases: map[string]string{"refs/heads/y": id}},
		"a lease on a name":      {Refspecs: []string{":refs/heads/x"}, Leases: map[string]string{"refs/heads/x": "main"}},
	} {
		_, err := client.Push(ctx, dir, o)
		refused("push "+name, err)
	}
	for _, argv := range s.runs(t, ".argv") {
		for _, command := range []string{"ls-remote", "clone", "fetch", "push", "checkout", "add", "commit", "merge", "submodule"} {
			if slices.Contains(argv, command) {
				t.Errorf("git was run: %q", argv)
			}
		}
	}
}

func TestG2Environment(t *testing.T) {
	for _, v := range []string{"GIT_ATTR_SOURCE", "GIT_GLOB_PATHSPECS", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_TRACE", "GIT_TRACE_CURL", "GIT_CONFIG_PARAMETERS", "GIT_OBJECT_DIRECTORY"} {
		t.Setenv(v, "inherited")
	}
	t.Setenv("GIT_ASKPASS", "/bin/inherited")
	t.Setenv("SSH_ASKPASS", "/bin/inherited")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("LANGUAGE", "de")
	t.Setenv("KEPT", "kept")
	s := newStub(t, `if [ -t 0 ] || [ -n "$(cat)" ]; then echo input >&2; exit 1; fi`)
	c := s.config()
	c.Env = append(c.Env, "MORE=more", "KEPT=changed", "LC_ALL=fr", "GIT_ALLOW_PROTOCOL=ext")
	c.Settings = []string{"core.hooksPath=/dev/null"}
	if _, err := newClient(t, nil, c).LsRemote(bounded(t), "https://example.com/a.git"); err != nil {
		t.Fatal(err)
	}
	env := s.only(t, ".env")
	for _, want := range []string{
		"LC_ALL=C", "LANGUAGE=", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GCM_INTERACTIVE=never", "GIT_OPTIONAL_LOCKS=0",
		"GIT_ALLOW_PROTOCOL=https:ssh:http:git:file", "GIT_DIR=/dev/null", "MORE=more", "KEPT=changed", "GIT_CONFIG_NOSYSTEM=1",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment lacks %s", want)
		}
	}
	for _, v := range env {
		if strings.Contains(v, "inherited") {
			t.Errorf("the environment has %s", v)
		}
	}
	if argv := s.only(t, ".argv"); !slices.Contains(argv, "core.hooksPath=/dev/null") {
		t.Errorf("the setting is missing in %q", argv)
	}
}

func TestG3SSH(t *testing.T) {
	t.Setenv("GIT_SSH_VARIANT", "plink")
	const ours = "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o ConnectTimeout=9 -o ServerAliveInterval=3 -o ServerAliveCountMax=3"
	configured := `case " $* " in *core.sshCommand*) echo mine; exit;; esac`
	absent := `case " $* " in *core.sshCommand*) exit 1;; esac`
	for _, row := range []struct {
		name, url, script string
		env               []string
		want              string
	}{
		{name: "ours", url: "ssh://git@example.com/a", script: absent, want: ours},
		{name: "a short URL", url: "git@example.com:a", script: absent, want: ours},
		{name: "the user's variable", url: "git@example.com:a", script: absent, env: []string{"GIT_SSH_COMMAND=mine"}, want: "GIT_SSH_COMMAND=mine"},
		{name: "the user's program", url: "git@example.com:a", script: absent, env: []string{"GIT_SSH=mine"}},
		{name: "the user's configuration", url: "git@example.com:a", script: configured},
		{name: "not ssh", url: "https://example.com/a", script: absent},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newStub(t, row.script)
			c := s.config()
			c.Stall = 9 * time.Second
			c.Env = append(c.Env, row.env...)
			if _, err := newClient(t, nil, c).LsRemote(bounded(t), row.url); err != nil {
				t.Fatal(err)
			}
			runs := s.runs(t, ".env")
			got := ""
			for _, v := range runs[len(runs)-1] {
				if strings.HasPrefix(v, "GIT_SSH_COMMAND=") {
					got = v
				}
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			// What is inherited for another program is not for ours.
			if is := slices.Contains(runs[len(runs)-1], "GIT_SSH_VARIANT=ssh"); is != (got == ours) {
				t.Errorf("the variant is that of ssh: %v", is)
			}
		})
	}
}

func TestG4StallSettings(t *testing.T) {
	for stall, want := range map[time.Duration]string{math.MaxInt64: "http.lowSpeedTime=2147483", 0: "http.lowSpeedTime=30", time.Millisecond: "http.lowSpeedTime=1", 90 * time.Second: "http.lowSpeedTime=90", -1: ""} {
		s := newStub(t)
		c := s.config()
		c.Stall = stall
		if _, err := newClient(t, nil, c).LsRemote(bounded(t), "https://example.com/a"); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, a := range s.only(t, ".argv") {
			if strings.HasPrefix(a, "http.lowSpeedTime=") {
				got = a
			}
		}
		if got != want {
			t.Errorf("Stall %s gives %q, want %q", stall, got, want)
		}
	}
}
