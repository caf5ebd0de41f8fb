//go:build real && unix

package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

func TestRealSSH(t *testing.T) {
	s := newSSHServer(t)
	for _, row := range []struct {
		name string
		ssh  SSH
	}{
		{"a key", SSH{PrivateKey: s.key, KnownHosts: s.hosts}},
		{"a key with a passphrase, without the last line break", SSH{PrivateKey: strings.TrimSpace(s.locked), Passphrase: canary, KnownHosts: strings.TrimSpace(s.hosts)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			url, dir := s.url(t, s.address), filepath.Join(t.TempDir(), "app")
			work := filepath.Join(t.TempDir(), "work")
			gittest.Git(t, "", "clone", "-q", s.bare, work)
			temporary(t)
			c := s.config()
			c.SSH = row.ssh
			c.Env = append(c.Env, "SSH_ASKPASS=/nowhere")
			t.Setenv("GIT_SSH_COMMAND", "false")
			client := newClient(t, retry(), c)
			ctx := bounded(t)

			refs, err := client.LsRemote(ctx, url, "refs/heads/main")
			if err != nil || len(refs) != 1 {
				t.Fatalf("got %v, %v", refs, err)
			}
			got, err := client.Clone(ctx, url, dir, CloneOptions{})
			if err != nil {
				t.Fatal(err)
			}
			gittest.Whole(t, dir, got.Commit)
			id := gittest.Commit(t, work, row.name)
			gittest.Git(t, work, "push", "-q", "origin", "main")
			fetched, err := client.Fetch(ctx, dir, FetchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "updated", fetched.Updated, []RefUpdate{{"refs/remotes/origin/main", got.Commit, id}})
			gittest.Git(t, dir, "reset", "-q", "--hard", "origin/main")
			id = gittest.Commit(t, dir, row.name+" pushed")
			pushed, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"main"}})
			if err != nil || pushed.Refs[0].Status != "updated" {
				t.Fatalf("got %+v, %v", pushed, err)
			}
			if head := gittest.Git(t, s.bare, "rev-parse", "main"); head != id {
				t.Errorf("main is %s, want %s", head, id)
			}
			gittest.Git(t, dir, "config", "--get-regexp", "remote.*")
			silentTree(t, dir)
			if _, err := os.Stat(filepath.Join(s.client, "shared")); err == nil {
				t.Error("a connection is shared, and lives on with the key")
			}
		})
	}
	s.hush(t, "the arguments of ssh", s.read(t, "client/argv"))
}

// While ssh is connected, no process has a secret among its arguments, and the
// files are there for the user alone.
func TestRealSSHSecretsOfOneProcess(t *testing.T) {
	s := newSSHServer(t)
	temporary(t)
	g := s.valve(t)
	c := s.config()
	c.SSH = SSH{PrivateKey: s.locked, Passphrase: canary, KnownHosts: s.hosts}
	client := newClient(t, nil, c)
	returned := make(chan error, 1)
	go func() {
		_, err := client.LsRemote(bounded(t), s.url(t, s.address))
		returned <- err
	}()
	g.line(t)
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	connected := 0
	for _, path := range paths {
		b, _ := os.ReadFile(path) // the process may be gone
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if strings.Contains(line, "git-upload-pack '"+s.bare) {
			connected++
		}
		s.hush(t, "the process list", line)
	}
	if len(paths) > 0 && connected == 0 {
		t.Error("the process list lacks ssh: it was not looked at")
	}
	dirs := names(t, os.TempDir())
	if len(dirs) != 1 {
		t.Fatalf("there are the directories %q, want one", dirs)
	}
	for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "key": 0o600, "known_hosts": 0o600, "askpass": 0o700} {
		if info, err := os.Stat(filepath.Join(os.TempDir(), dirs[0], name)); err != nil || info.Mode() != want {
			t.Errorf("%q: %v, %v, want the mode %v", name, info, err, want)
		}
	}
	g.pass(t)
	if err := <-returned; err != nil {
		t.Error(err)
	}
}

func TestRealSSHFailures(t *testing.T) {
	s := newSSHServer(t)
	for _, row := range []struct {
		name     string
		change   func(c *Config)
		url      string
		kind     Kind
		attempts int
		says     string
	}{
		{name: "a key that is not let in", change: func(c *Config) { c.SSH.PrivateKey = s.other }, kind: KindAuth, attempts: 1, says: "Permission denied (publickey)"},
		{name: "a damaged key", change: func(c *Config) { c.SSH.PrivateKey = strings.Replace(s.key, s.key[80:90], "", 1) }, kind: KindAuth, attempts: 1, says: "error in libcrypto"},
		{name: "no passphrase", change: func(c *Config) { c.SSH.PrivateKey = s.locked }, kind: KindAuth, attempts: 1, says: "Permission denied (publickey)"},
		{name: "a wrong passphrase", change: func(c *Config) { c.SSH = SSH{s.locked, "not " + canary, s.hosts} }, kind: KindAuth, attempts: 1, says: "Permission denied (publickey)"},
		{name: "an unknown host", change: func(c *Config) { c.SSH.KnownHosts = "example.com " + s.read(t, "host.pub") }, kind: KindHostKey, attempts: 1, says: "Host key verification failed"},
		{name: "a host whose key has changed", change: func(c *Config) { c.SSH.KnownHosts = "[127.0.0.1]:* " + s.read(t, "other.pub") }, kind: KindHostKey, attempts: 1, says: "REMOTE HOST IDENTIFICATION HAS CHANGED"},
		{name: "a revoked host key", change: func(c *Config) { c.SSH.KnownHosts = "@revoked " + s.hosts }, kind: KindHostKey, attempts: 1, says: "Host key verification failed"},
		// With a passphrase ssh can ask, and gets no for an answer.
		{name: "a host unknown to the user", change: func(c *Config) { c.SSH = SSH{PrivateKey: s.locked, Passphrase: canary} }, kind: KindHostKey, attempts: 1, says: "Host key verification failed"},
		{name: "a host unknown to the user, without a passphrase", change: func(c *Config) { c.SSH = SSH{PrivateKey: s.key} }, kind: KindHostKey, attempts: 1, says: "Host key verification failed"},
		{name: "a host unknown to the user, without anything", change: func(c *Config) { c.SSH = SSH{} }, kind: KindHostKey, attempts: 1, says: "Host key verification failed"},
		{name: "no kind of host key in common", url: strings.Replace(s.url(t, s.address), "127.0.0.1", "choosy", 1), kind: KindHostKey, attempts: 1, says: "no matching host key type found"},
		{name: "no ssh", change: func(c *Config) { c.Env = []string{"PATH=/nowhere"} }, kind: KindUsage, attempts: 1, says: "not found"},
		{name: "no such repository", url: s.url(t, s.address) + ".none", kind: KindNotFound, attempts: 1, says: "does not appear to be a git repository"},
		{name: "nobody listens", url: s.url(t, freeAddress(t)), kind: KindConnect, attempts: 3, says: "Connection refused"},
		{name: "no such host", url: "ssh://git@no-such-host.invalid/a", kind: KindDNS, attempts: 3, says: "Could not resolve hostname"},
	} {
		t.Run(row.name, func(t *testing.T) {
			parent := t.TempDir()
			temporary(t)
			c := s.config()
			if row.change != nil {
				row.change(&c)
			}
			if row.url == "" {
				row.url = s.url(t, s.address)
			}
			var seen verdicts
			_, err := newClient(t, retry(&seen), c).Clone(bounded(t), row.url, filepath.Join(parent, "app"), CloneOptions{})
			e := failure(t, err, row.kind)
			if len(seen.seen) != row.attempts {
				t.Errorf("%d attempts, want %d", len(seen.seen), row.attempts)
			}
			if !strings.Contains(e.Stderr, row.says) {
				t.Errorf("stderr lacks %q:\n%s", row.says, e.Stderr)
			}
			s.hush(t, "the error", e.Error()+e.Stderr)
			equal(t, "left behind", names(t, parent), nil)
		})
	}
	s.hush(t, "the arguments of ssh", s.read(t, "client/argv"))
}

func TestRealSSHTooManyWrongKeys(t *testing.T) {
	s := newSSHServer(t, "MaxAuthTries 1")
	c := s.config()
	c.SSH.PrivateKey = s.other
	var seen verdicts
	_, err := newClient(t, retry(&seen), c).LsRemote(bounded(t), s.url(t, s.address))
	if e := failure(t, err, KindAuth); len(seen.seen) != 1 || !strings.Contains(e.Stderr, "Too many authentication failures") {
		t.Errorf("%d attempts, want 1:\n%s", len(seen.seen), e.Stderr)
	}
}

// Without [Config.SSH] all but the connection is up to the user's configuration.
func TestRealSSHOfTheUser(t *testing.T) {
	s := newSSHServer(t)
	s.file(t, filepath.Join(s.client, "known_hosts"), s.hosts, 0o600, nil)
	s.file(t, filepath.Join(s.client, "config"), "IdentityFile "+s.dir+"/key\nUserKnownHostsFile "+s.client+"/known_hosts\n", 0o600, nil)
	c := s.config()
	c.SSH = SSH{}
	if _, err := newClient(t, nil, c).LsRemote(bounded(t), s.url(t, s.address)); err != nil {
		t.Fatal(err)
	}
	argv := s.read(t, "client/argv")
	if strings.Contains(argv, "HostKey") || strings.Contains(argv, "KnownHosts") || !strings.Contains(argv, "-o BatchMode=yes") {
		t.Errorf("the arguments of ssh are %q", argv)
	}
}

// Ways for a proxy to end.
const (
	silence = "silence" // it carries nothing more
	cut     = "cut"     // it says that the server has ended
	damage  = "damage"  // it changes a byte and goes on
)

// through returns the address of a proxy that carries that many bytes from the
// server and then ends in that way.
func (s *sshServer) through(t *testing.T, bytes int64, way string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	over := make(chan struct{})
	t.Cleanup(func() {
		close(over)
		l.Close()
		group.Wait()
	})
	carry := func(client, server net.Conn) {
		defer client.Close()
		defer server.Close()
		group.Go(func() {
			io.Copy(server, client)
			server.(*net.TCPConn).CloseWrite()
		})
		io.CopyN(client, server, bytes)
		switch way {
		case silence:
			<-over
		case cut:
			client.(*net.TCPConn).CloseWrite() // as a whole it would be reset
			<-over
		case damage:
			next := []byte{0}
			io.ReadFull(server, next)
			next[0] ^= 1
			client.Write(next)
			io.Copy(client, server)
		}
	}
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Error(err)
				client.Close()
				continue
			}
			group.Go(func() { carry(client, server) })
		}
	})
	return l.Addr().String()
}

// A connection that falls silent ends without any timeout of the chain, and one
// that breaks is known for it, at every stage.
func TestRealSSHBrokenConnections(t *testing.T) {
	s := newSSHServer(t)
	for _, row := range []struct {
		name  string
		bytes int64
		way   string
		stall time.Duration
		kind  Kind
		says  string
	}{
		{"silent from the beginning", 0, silence, time.Second, KindConnect, "Connection timed out during banner exchange"},
		{"silent in the exchange of keys", 60, silence, 5 * time.Second, KindSlow, "timed out"},
		{"silent in the middle of a pack", 500_000, silence, 5 * time.Second, KindSlow, "Timeout, server 127.0.0.1 not responding"},
		{"cut at the beginning", 0, cut, 10 * time.Second, KindConnect, "kex_exchange_identification: Connection closed by remote host"},
		{"cut in the exchange of keys", 60, cut, 10 * time.Second, KindTransfer, "Connection closed by 127.0.0.1"},
		{"cut in the login", 2500, cut, 10 * time.Second, KindTransfer, "Connection closed by 127.0.0.1"},
		{"cut in the middle of a pack", 500_000, cut, 10 * time.Second, KindTransfer, "early EOF"},
		{"damaged in the middle of a pack", 500_000, damage, 10 * time.Second, KindTransfer, "message authentication code incorrect"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			c := s.config()
			c.Stall = row.stall
			_, err := newClient(t, nil, c).Clone(bounded(t), s.url(t, s.through(t, row.bytes, row.way)), filepath.Join(parent, "app"), CloneOptions{})
			e := failure(t, err, row.kind)
			if v := middleware.VerdictOf(err); v.Class != middleware.Failure || !v.Retry {
				t.Errorf("the verdict is %+v", v)
			}
			if !strings.Contains(e.Stderr, row.says) {
				t.Errorf("stderr lacks %q:\n%s", row.says, e.Stderr)
			}
			s.hush(t, "the error", e.Error()+e.Stderr)
			equal(t, "left behind", names(t, parent), nil)
		})
	}
}

// A server that ends while it is at work, before any of git's own messages.
func TestRealSSHSessionEnds(t *testing.T) {
	s := newSSHServer(t)
	g := s.valve(t)
	returned := make(chan error, 1)
	go func() {
		_, err := newClient(t, nil, s.config()).LsRemote(bounded(t), s.url(t, s.address))
		returned <- err
	}()
	session, err := strconv.Atoi(g.line(t))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", session))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no /proc")
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	parent, err := strconv.Atoi(strings.Fields(rest)[1]) // the sshd of the session
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(parent, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := failure(t, <-returned, KindTransfer)
	if !strings.Contains(e.Stderr, "closed by remote host") {
		t.Errorf("stderr is %q", e.Stderr)
	}
}

func TestRealSSHCanceled(t *testing.T) {
	s := newSSHServer(t)
	temporary(t)
	g := s.valve(t)
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	parent := t.TempDir()
	client := newClient(t, nil, s.config())
	returned := make(chan error, 1)
	go func() {
		_, err := client.Clone(ctx, s.url(t, s.address), filepath.Join(parent, "app"), CloneOptions{})
		returned <- err
	}()
	g.line(t)
	id, _, _ := strings.Cut(s.read(t, "client/argv"), " ")
	pid, err := strconv.Atoi(id)
	if err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("the process %q is not that of ssh: %v", id, err)
	}
	cancel()
	err = <-returned
	if failure(t, err, KindCanceled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	equal(t, "left behind", names(t, parent), nil)
	// A killed process may still be waiting for somebody to take notice.
	for limit := bounded(t); ; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, state, _ := strings.Cut(string(stat), ") "); err != nil || strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X") {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-limit.Done():
			t.Fatalf("ssh lives on: %s", stat)
		}
	}
}
