//go:build unix

package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

var (
	stale = Credentials{Password: "stale-" + canary}
	fresh = Credentials{Password: "fresh-" + canary}
)

// asks lets nobody into s without the fresh credentials.
func asks(s *gittest.Server) {
	s.Ask(gittest.Login{Username: defaultUsername, Password: fresh.Password})
}

// renews returns a Config whose Renew gives the fresh credentials and counts.
func renews(count *atomic.Int32) Config {
	return Config{Credentials: stale, Renew: func(context.Context) (Credentials, error) {
		count.Add(1)
		return fresh, nil
	}}
}

func TestRenewInsideOfOneAttempt(t *testing.T) {
	for _, row := range []struct {
		name string
		call func(ctx context.Context, t *testing.T, c *Client, s *gittest.Server, dir string) error
	}{
		{"ls-remote", func(ctx context.Context, _ *testing.T, c *Client, s *gittest.Server, _ string) error {
			_, err := c.LsRemote(ctx, s.Repo)
			return err
		}},
		{"clone", func(ctx context.Context, t *testing.T, c *Client, s *gittest.Server, _ string) error {
			parent := t.TempDir()
			_, err := c.Clone(ctx, s.Repo, filepath.Join(parent, "new"), CloneOptions{})
			silentTree(t, parent)
			return err
		}},
		{"fetch", func(ctx context.Context, _ *testing.T, c *Client, _ *gittest.Server, dir string) error {
			_, err := c.Fetch(ctx, dir, FetchOptions{})
			return err
		}},
		{"push", func(ctx context.Context, t *testing.T, c *Client, s *gittest.Server, dir string) error {
			id := gittest.Commit(t, dir, "second")
			_, err := c.Push(ctx, dir, PushOptions{Refspecs: []string{"main"}})
			if s.Head(t) != id {
				t.Error("nothing was pushed")
			}
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, dir := cloned(t)
			asks(s)
			watch(t, s)
			var count atomic.Int32
			var seen verdicts
			client := newClient(t, retry(&seen), renews(&count))
			if err := row.call(bounded(t), t, client, s, dir); err != nil {
				t.Fatal(err)
			}
			if count.Load() != 1 || len(seen.seen) != 1 {
				t.Errorf("renewed %d times in %d attempts, want once in one", count.Load(), len(seen.seen))
			}
			silentTree(t, dir)
			// Later calls begin with them.
			refused := 0
			s.Look(func(r *http.Request) {
				if _, password, ok := r.BasicAuth(); ok && password != fresh.Password {
					refused++
				}
			})
			if _, err := client.LsRemote(bounded(t), s.Repo); err != nil || count.Load() != 1 || refused != 0 {
				t.Errorf("later: %v, renewed %d times, %d requests with the old ones", err, count.Load(), refused)
			}
		})
	}
	// Without it a refusal is the error.
	s := gittest.NewServer(t, gittest.NewRepository(t))
	asks(s)
	_, err := newClient(t, retry(), Config{Credentials: stale}).LsRemote(bounded(t), s.Repo)
	failure(t, err, KindAuth)
	// A client that begins without any gets its first ones.
	var count atomic.Int32
	c := renews(&count)
	c.Credentials = Credentials{}
	if _, err := newClient(t, nil, c).LsRemote(bounded(t), s.Repo); err != nil || count.Load() != 1 {
		t.Errorf("got %v, renewed %d times", err, count.Load())
	}
}

// together starts calls which need the renewal, the first of which runs Renew;
// the others wait for it.
func together(t *testing.T, client *Client, url string, running <-chan struct{}, calls int) []<-chan error {
	t.Helper()
	call := func() error {
		_, err := client.LsRemote(bounded(t), url)
		return err
	}
	ends := []<-chan error{start(call)}
	select {
	case <-running:
	case err := <-ends[0]:
		t.Fatalf("Renew is not asked: %v", err)
	}
	for range calls - 1 {
		ends = append(ends, start(call))
	}
	until(t, "waiting for Renew", func() bool {
		client.renewal.turn.mu.Lock()
		defer client.renewal.turn.mu.Unlock()
		return client.renewal.turn.held[""].used == calls
	})
	return ends
}

func TestRenewIsSharedByConcurrentCalls(t *testing.T) {
	cause := errors.New("the vault is sealed")
	s := gittest.NewServer(t, gittest.NewRepository(t))
	asks(s)
	for _, fails := range []bool{false, true} {
		var count atomic.Int32
		running, done := make(chan struct{}), make(chan struct{})
		client := newClient(t, nil, Config{Credentials: stale, Renew: func(context.Context) (Credentials, error) {
			if count.Add(1) == 1 {
				close(running)
				<-done
			}
			if fails {
				return Credentials{}, cause
			}
			return fresh, nil
		}})
		ends := together(t, client, s.Repo, running, 5)
		close(done)
		for _, end := range ends {
			if err := <-end; !fails && err != nil || fails && !errors.Is(err, cause) {
				t.Errorf("got %v", err)
			}
		}
		if count.Load() != 1 {
			t.Errorf("failing %v: Renew ran %d times, want once", fails, count.Load())
		}
		// What failed is tried again by the next call.
		_, err := client.LsRemote(bounded(t), s.Repo)
		if want := map[bool]int32{false: 1, true: 2}[fails]; count.Load() != want || fails != (err != nil) {
			t.Errorf("failing %v: Renew ran %d times, want %d, %v", fails, count.Load(), want, err)
		}
		if len(client.renewal.turn.held) != 0 {
			t.Error("the turn is still held")
		}
	}
}

// Renew runs with the context of one of the calls: when that one has gone, the
// others do not fail with it.
func TestRenewOfACallThatHasGone(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	asks(s)
	var count atomic.Int32
	running := make(chan struct{})
	client := newClient(t, nil, Config{Credentials: stale, Renew: func(ctx context.Context) (Credentials, error) {
		if count.Add(1) > 1 {
			return fresh, nil
		}
		close(running)
		<-ctx.Done()
		return Credentials{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(bounded(t))
	gone := start(func() error {
		_, err := client.LsRemote(ctx, s.Repo)
		return err
	})
	<-running
	other := start(func() error {
		_, err := client.LsRemote(bounded(t), s.Repo)
		return err
	})
	until(t, "waiting for Renew", func() bool {
		client.renewal.turn.mu.Lock()
		defer client.renewal.turn.mu.Unlock()
		return client.renewal.turn.held[""].used == 2
	})
	// One that waits and whose context ends does not wait on.
	late, stop := context.WithCancel(bounded(t))
	third := start(func() error {
		_, err := client.LsRemote(late, s.Repo)
		return err
	})
	until(t, "waiting for Renew", func() bool {
		client.renewal.turn.mu.Lock()
		defer client.renewal.turn.mu.Unlock()
		return client.renewal.turn.held[""].used == 3
	})
	stop()
	if err := <-third; KindOf(err) != KindAuth && KindOf(err) != KindCanceled {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-other; err != nil || count.Load() != 2 {
		t.Errorf("got %v, Renew ran %d times", err, count.Load())
	}
}

func TestRenewIsNotAsked(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	asks(s)
	forbidden := gittest.NewServer(t, gittest.NewRepository(t))
	forbidden.Always(gittest.Answer(403))
	missing := gittest.NewServer(t, gittest.NewRepository(t))
	missing.Always(gittest.Answer(404))
	for _, row := range []struct {
		name, url string
		env       []string
		kind      Kind
	}{
		{name: "forbidden", url: forbidden.Repo, kind: KindAuth},
		{name: "not found", url: missing.Repo, kind: KindNotFound},
		{name: "a login in the URL", url: strings.Replace(s.Repo, "http://", "http://ann:"+canary+"@", 1), kind: KindAuth},
		{name: "a user in the URL", url: strings.Replace(s.Repo, "http://", "http://ann@", 1), kind: KindAuth},
		{name: "ssh", url: "git@example.com:a", env: []string{"GIT_SSH_COMMAND=echo 'git@example.com: Permission denied (publickey).' >&2; exit 255;"}, kind: KindAuth},
		{name: "ssh by URL", url: "ssh://example.com/a", env: []string{"GIT_SSH_COMMAND=echo 'example.com: Permission denied (publickey).' >&2; exit 255;"}, kind: KindAuth},
	} {
		var count atomic.Int32
		c := renews(&count)
		c.Env, c.Schemes = row.env, []string{"http", "ssh"}
		client := newClient(t, retry(), c)
		var sent sync.Map // of passwords
		s.Look(func(r *http.Request) {
			_, password, _ := r.BasicAuth()
			sent.Store(password, true)
		})
		_, err := client.LsRemote(bounded(t), row.url)
		e := failure(t, err, row.kind)
		silent(t, row.name, e.Error()+e.Stderr)
		if count.Load() != 0 {
			t.Errorf("%s: Renew is asked", row.name)
		}
		// Who has a login of its own does not get the client's.
		_, own := sent.Load(canary)
		_, lent := sent.Load(stale.Password)
		if strings.Contains(row.url, canary) && (!own || lent) {
			t.Errorf("%s: the server got the URL's password: %t, the client's: %t", row.name, own, lent)
		}
	}
}

func TestRenewThatFails(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	asks(s)
	cause := errors.New("sealed")
	for _, row := range []struct {
		name  string
		renew func() (Credentials, error)
		shows string
		is    error
	}{
		{"an error", func() (Credentials, error) {
			return Credentials{}, fmt.Errorf("%w: https://ann:%s@vault.example.com/ answered no to %s", cause, canary, stale.Password)
		}, "sealed: https://***@vault.example.com/ answered no to ***", cause},
		{"a control character", func() (Credentials, error) { return Credentials{Password: canary + "\nhost=evil"}, nil }, "control character", nil},
	} {
		calls := 0
		var seen verdicts
		client := newClient(t, retry(&seen), Config{Credentials: stale, Renew: func(context.Context) (Credentials, error) {
			calls++
			return row.renew()
		}})
		_, err := client.LsRemote(bounded(t), s.Repo)
		e := failure(t, err, KindAuth)
		if !strings.Contains(e.Error(), "could not be renewed: ") || !strings.Contains(e.Error(), row.shows) || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: got %q", row.name, e)
		}
		silent(t, row.name, e.Error()+e.Stderr)
		if calls != 1 || len(seen.seen) != 1 || seen.seen[0].Retry {
			t.Errorf("%s: %d runs, verdicts %+v", row.name, calls, seen.seen)
		}
		if client.login() != stale {
			t.Errorf("%s: the credentials have changed", row.name)
		}
	}
}

// Renewed ones that are refused too are the end of the call.
func TestRenewIsDoneOnce(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Ask(gittest.Login{Username: "ann", Password: "another"})
	var mu sync.Mutex
	given := map[string]int{}
	s.Look(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if _, password, ok := r.BasicAuth(); ok {
			given[password]++
		}
	})
	var count atomic.Int32
	var seen verdicts
	client := newClient(t, retry(&seen), renews(&count))
	_, err := client.LsRemote(bounded(t), s.Repo)
	e := failure(t, err, KindAuth)
	silent(t, "the error", e.Error()+e.Stderr)
	if count.Load() != 1 || len(seen.seen) != 1 || len(given) != 2 || given[stale.Password] != 1 || given[fresh.Password] != 1 {
		t.Errorf("%d renewals, %d attempts, %d logins", count.Load(), len(seen.seen), len(given))
	}
}

// A Renew that panics holds nobody up.
func TestRenewThatPanics(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	asks(s)
	first := true
	client := newClient(t, nil, Config{Credentials: stale, Renew: func(context.Context) (Credentials, error) {
		if first {
			first = false
			panic("oh")
		}
		return fresh, nil
	}})
	func() {
		defer func() {
			if r := recover(); r != "oh" {
				t.Errorf("recovered %v", r)
			}
		}()
		_, err := client.LsRemote(bounded(t), s.Repo)
		t.Errorf("no panic but %v", err)
	}()
	if _, err := client.LsRemote(bounded(t), s.Repo); err != nil {
		t.Error(err)
	}
}
