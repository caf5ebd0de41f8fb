package gogit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

const canary = "canary-5eCr3t-0123456789"

// An sshServer runs git for whoever knows the password, on loopback.
type sshServer struct {
	address string
	key     ssh.PublicKey
	mu      sync.Mutex
	faults  []func(net.Conn) bool // of the connections, in order; false ends them
	count   int
	git     func(ssh.Channel) // nil: git itself
	stop    func()
}

func newSSH(t *testing.T, faults ...func(net.Conn) bool) *sshServer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if string(password) != canary {
			return nil, errors.New("wrong")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshServer{address: l.Addr().String(), key: signer.PublicKey(), faults: faults}
	var running sync.WaitGroup
	s.stop = func() { l.Close(); running.Wait() }
	t.Cleanup(s.stop)
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer c.Close(); s.serve(c, config) })
		}
	})
	return s
}

func (s *sshServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *sshServer) serve(c net.Conn, config *ssh.ServerConfig) {
	s.mu.Lock()
	s.count++
	var fault func(net.Conn) bool
	if s.count <= len(s.faults) {
		fault = s.faults[s.count-1]
	}
	s.mu.Unlock()
	if fault != nil && !fault(c) {
		return
	}
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			if r.Type != "exec" {
				r.Reply(r.Type == "env", nil)
				continue
			}
			r.Reply(true, nil)
			if s.git != nil {
				s.git(channel)
				channel.Close()
				continue
			}
			line := string(r.Payload[4:])
			name, path, _ := strings.Cut(line, " ")
			cmd := exec.Command("git", strings.TrimPrefix(name, "git-"), strings.Trim(path, "'"))
			in, _ := cmd.StdinPipe()
			cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
			status := byte(0)
			if err := cmd.Start(); err == nil {
				go func() { io.Copy(in, channel); in.Close() }()
				if cmd.Wait() != nil {
					status = 1
				}
			}
			channel.SendRequest("exit-status", false, []byte{0, 0, 0, status})
			channel.Close()
		}
	}
}

func (s *sshServer) url(bare string) string { return "ssh://git@" + s.address + bare }

func (s *sshServer) auth(password string) transport.AuthMethod {
	a := &gitssh.Password{User: "git", Password: password}
	a.HostKeyCallback = ssh.FixedHostKey(s.key)
	return a
}

// silent never says a word.
func silent(c net.Conn) bool {
	io.Copy(io.Discard, c)
	return false
}

func closed(net.Conn) bool { return false }

func bareOf(t *testing.T) string {
	t.Helper()
	bare := filepath.Join(t.TempDir(), "repo.git")
	gittest.Git(t, "", "clone", "-q", "--bare", gittest.NewRepository(t), bare)
	return bare
}

func TestSSH(t *testing.T) {
	bare := bareOf(t)
	s := newSSH(t, closed, closed)
	var seen verdicts
	client := New(retry(&seen), Config{})
	dir := filepath.Join(t.TempDir(), "app")
	repo, err := client.Clone(bounded(t), dir, false, &git.CloneOptions{URL: s.url(bare), Auth: s.auth(canary)})
	if err != nil {
		t.Fatal(err)
	}
	gittest.Whole(t, dir, gittest.Git(t, bare, "rev-parse", "main"))
	if len(seen.seen) != 3 || seen.seen[0] != (middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "transfer"}) {
		t.Errorf("the verdicts are %+v", seen.seen)
	}
	if seen.op != (middleware.Operation{Name: "clone", Key: s.address}) { // G15
		t.Errorf("the operation is %+v", seen.op)
	}
	id := gittest.Commit(t, dir, "second")
	if changed, err := client.Push(bounded(t), repo, &git.PushOptions{Auth: s.auth(canary)}); err != nil || !changed {
		t.Errorf("push: got %v, %v", changed, err)
	}
	if got := gittest.Git(t, bare, "rev-parse", "main"); got != id {
		t.Errorf("the remote has %s, want %s", got, id)
	}
	if changed, err := client.Fetch(bounded(t), repo, &git.FetchOptions{Auth: s.auth(canary)}); err != nil || changed {
		t.Errorf("fetch: got %v, %v", changed, err)
	}
}

func TestSSHErrors(t *testing.T) {
	s := newSSH(t)
	stranger := &gitssh.Password{User: "git", Password: canary}
	stranger.HostKeyCallback = ssh.FixedHostKey(newSSH(t).key)
	for _, row := range []struct {
		name string
		auth transport.AuthMethod
		path string
		kind Kind
	}{
		{"wrong password", s.auth("no"), bareOf(t), KindAuth},
		{"another host key", stranger, bareOf(t), KindHostKey},
		{"no such repository", s.auth(canary), "/nowhere", KindNotFound},
	} {
		var seen verdicts
		_, err := New(retry(&seen), Config{}).LsRemote(bounded(t), s.url(row.path), &git.ListOptions{Auth: row.auth})
		if KindOf(err) != row.kind || len(seen.seen) != 1 {
			t.Errorf("%s: got %v, %s after %+v, want %s", row.name, err, KindOf(err), seen.seen, row.kind)
		}
		if strings.Contains(fmt.Sprint(err), canary) {
			t.Errorf("the secret is shown: %v", err)
		}
	}
}

// A server that accepts and says nothing does not hold a call for ever, and
// nothing of the call is left.
func TestG18SSHCallsEnd(t *testing.T) {
	stop := errors.New("the operator said stop")
	limit := policies.NewTimeout(policies.TimeoutConfig{Limit: 200 * time.Millisecond})
	for _, row := range []struct {
		name   string
		chain  *middleware.Chain
		stall  time.Duration
		cancel bool
		is     error
		kind   Kind
		tries  int
	}{
		{"cancelled", retry(), 0, true, stop, KindCanceled, 1},
		{"a timeout of the chain", retry(limit), 0, false, middleware.ErrTimeout, KindTimeout, 2},
		{"silence", retry(), 100 * time.Millisecond, false, os.ErrDeadlineExceeded, KindSlow, 2}, // G17
	} {
		t.Run(row.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			ctx, cancel := context.WithCancelCause(bounded(t))
			defer cancel(nil)
			hang := func(c net.Conn) bool {
				if row.cancel {
					cancel(stop)
				}
				return silent(c)
			}
			s := newSSH(t, hang, hang, hang)
			client := New(row.chain, Config{Stall: row.stall})
			_, err := client.LsRemote(ctx, s.url("/repo.git"), &git.ListOptions{Auth: s.auth(canary)})
			if !errors.Is(err, row.is) {
				t.Errorf("got %v (%T), %s, want %v", err, err, KindOf(err), row.is)
			}
			if KindOf(err) != row.kind {
				t.Errorf("the kind of %v is %s, want %s", err, KindOf(err), row.kind)
			}
			if s.connections() != row.tries {
				t.Errorf("%d connections, want %d", s.connections(), row.tries)
			}
			s.stop()
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
		})
	}
}

// A call that is cancelled in the middle of the exchange ends too.
func TestG18SSHCancelledAfterTheHandshake(t *testing.T) {
	bare := bareOf(t)
	hung := make(chan struct{})
	s := newSSH(t)
	s.git = func(channel ssh.Channel) { // instead of git
		close(hung)
		io.Copy(io.Discard, channel)
	}
	ctx, cancel := context.WithCancel(bounded(t))
	defer context.AfterFunc(bounded(t), cancel)()
	go func() { <-hung; cancel() }()
	_, err := New(retry(), Config{}).LsRemote(ctx, s.url(bare), &git.ListOptions{Auth: s.auth(canary)})
	if !errors.Is(err, context.Canceled) || KindOf(err) != KindCanceled {
		t.Errorf("got %v, %s", err, KindOf(err))
	}
}

// The proxy of the user is used.
func TestSSHThroughProxy(t *testing.T) {
	bare := bareOf(t)
	s := newSSH(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() { // SOCKS 5, as far as it takes
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 2)
		io.ReadFull(c, b)
		io.ReadFull(c, make([]byte, b[1]))
		c.Write([]byte{5, 0})
		head := make([]byte, 10)
		io.ReadFull(c, head)
		asked <- fmt.Sprintf("%s:%d", net.IP(head[4:8]), int(head[8])<<8|int(head[9]))
		c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		there, err := net.Dial("tcp", s.address)
		if err != nil {
			return
		}
		defer there.Close()
		running.Go(func() { io.Copy(there, c); there.Close() })
		io.Copy(c, there)
	})
	refs, err := New(retry(), Config{}).LsRemote(bounded(t), s.url(bare), &git.ListOptions{
		Auth: s.auth(canary), ProxyOptions: transport.ProxyOptions{URL: "socks5://" + l.Addr().String()},
	})
	if err != nil || len(refs) == 0 {
		t.Fatalf("got %v, %v", refs, err)
	}
	if got := <-asked; got != s.address {
		t.Errorf("the proxy was asked for %s, want %s", got, s.address)
	}
	_, err = New(nil, Config{}).LsRemote(bounded(t), s.url(bare), &git.ListOptions{
		Auth: s.auth(canary), ProxyOptions: transport.ProxyOptions{URL: "odd://" + canary + "@host"},
	})
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v", err)
	}
}

func TestDialWith(t *testing.T) {
	bare := bareOf(t)
	s := newSSH(t, closed)
	var kept transport.ProxyOptions
	list := func(ctx context.Context, o transport.ProxyOptions) error {
		_, err := git.NewRemote(nil, remoteConfig(s.url(bare))).ListContext(ctx, &git.ListOptions{Auth: s.auth(canary), ProxyOptions: o})
		return err
	}
	err := New(retry(), Config{}).Do(bounded(t), Op{Name: "list", Key: s.address, Repeatable: true}, func(ctx context.Context) error {
		proxy, end := DialWith(ctx, transport.ProxyOptions{})
		defer end()
		kept = proxy
		return list(ctx, proxy)
	})
	if err != nil {
		t.Error(err)
	}
	if err := list(bounded(t), kept); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("options of a call that has ended: got %v", err)
	}
	count := 0
	dials.Range(func(any, any) bool { count++; return true })
	if count != 0 {
		t.Errorf("%d dials are left", count)
	}
}

func remoteConfig(url string) *config.RemoteConfig {
	return &config.RemoteConfig{Name: "origin", URLs: []string{url}}
}
