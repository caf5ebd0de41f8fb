package gogit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// install is Install for one test.
func install(t *testing.T, tr transport.Transport) {
	t.Helper()
	if err := Install(tr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		installed.Store(false)
		client.InstallProtocol("http", githttp.DefaultClient)
		client.InstallProtocol("https", githttp.DefaultClient)
	})
}

// posts answers the first POSTs with a status.
func posts(code, times int) gittest.Fault {
	return func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		if r.Method != http.MethodPost || times <= 0 {
			h.ServeHTTP(w, r)
			return
		}
		times--
		gittest.Answer(code)(w, r, h)
	}
}

// A base that is the test's own, so that no connection outlives it.
func base(t *testing.T) *http.Transport {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestG18PoliciesOfRequests(t *testing.T) {
	var seen verdicts
	install(t, NewHTTP(base(t), retry(&seen)))
	s := gittest.NewServer(t, gittest.NewRepository(t))

	// Reads are repeated, the POST of a clone too.
	s.Always(posts(503, 1))
	dir := filepath.Join(t.TempDir(), "app")
	repo, err := git.PlainCloneContext(bounded(t), dir, false, &git.CloneOptions{URL: s.Repo})
	if err != nil {
		t.Fatal(err)
	}
	gittest.Whole(t, dir, s.Head(t))
	var classes []middleware.Class
	for _, v := range seen.seen {
		classes = append(classes, v.Class)
	}
	if len(classes) != 3 || classes[1] != middleware.Failure || seen.op.Name != "git-upload-pack" || seen.op.Key != s.Listener.Addr().String() {
		t.Errorf("got %v for %+v, want GET, POST, POST", classes, seen.op) // G15
	}

	// The POST of a push is not.
	gittest.Commit(t, dir, "second")
	s.Always(posts(503, 9))
	seen.seen = nil
	err = repo.PushContext(bounded(t), &git.PushOptions{})
	if KindOf(err) != KindServer || len(seen.seen) != 2 || seen.seen[1].Retry || seen.op.Name != "git-receive-pack" {
		t.Errorf("got %v after %+v for %+v", err, seen.seen, seen.op)
	}
}

func TestG16ForbiddenIsThrottledInRequests(t *testing.T) {
	var seen verdicts
	install(t, NewHTTP(base(t), middleware.NewChain("http", &seen)))
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After", "9")
		http.Error(w, "slow down", http.StatusForbidden)
	})
	_, err := New(nil, Config{}).LsRemote(bounded(t), s.Repo, nil)
	if KindOf(err) != KindAuth || len(seen.seen) != 1 || seen.seen[0].Class != middleware.Throttled || seen.seen[0].After != 9*time.Second {
		t.Errorf("got %v after %+v", err, seen.seen)
	}
}

func TestG18NeverPoliciesTwice(t *testing.T) {
	var outer, inner verdicts
	install(t, NewHTTP(base(t), retry(&inner)))
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(gittest.Answer(503))
	if _, err := New(retry(&outer), Config{}).LsRemote(bounded(t), s.Repo, nil); KindOf(err) != KindServer {
		t.Errorf("got %v", err)
	}
	if s.Served() != 3 || len(outer.seen) != 3 || len(inner.seen) != 0 {
		t.Errorf("%d requests, %d attempts outside and %d inside, want 3, 3 and none", s.Served(), len(outer.seen), len(inner.seen))
	}
	// A Client without policies leaves them to the requests.
	s.Script()
	if _, err := New(nil, Config{}).LsRemote(bounded(t), s.Repo, nil); KindOf(err) != KindServer {
		t.Errorf("got %v", err)
	}
	if s.Served() != 3 || len(inner.seen) != 3 {
		t.Errorf("%d requests, %d attempts inside, want 3 and 3", s.Served(), len(inner.seen))
	}
}

func TestG18RejectionInARequestIsFound(t *testing.T) {
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	install(t, NewHTTP(base(t), middleware.NewChain("http", breaker)))
	_, err := New(nil, Config{}).LsRemote(bounded(t), "http://127.0.0.1:1/a", nil)
	if v := Classify(err); !Is(err, middleware.ErrOpen) || v.Class != middleware.Ignored || v.Retry {
		t.Errorf("got %v, %+v", err, v)
	}
}

// What go-git would refuse with a word about types, or panic at, is refused with
// what to do.
func TestG18OptionsOfTheOperation(t *testing.T) {
	install(t, NewHTTP(base(t), nil))
	s, repo, dir := cloned(t)
	gittest.Commit(t, dir, "second")
	c := New(retry(), Config{})
	for name, call := range map[string]func() error{
		"InsecureSkipTLS": func() error {
			_, err := c.LsRemote(bounded(t), s.Repo, &git.ListOptions{InsecureSkipTLS: true})
			return err
		},
		"CABundle": func() error {
			_, err := c.Fetch(bounded(t), repo, &git.FetchOptions{CABundle: []byte("x")})
			return err
		},
		"ClientCert": func() error {
			_, err := c.Push(bounded(t), repo, &git.PushOptions{ClientCert: []byte("x"), ClientKey: []byte("x")})
			return err
		},
		"ProxyOptions": func() error {
			_, err := c.Clone(bounded(t), filepath.Join(t.TempDir(), "app"), true, &git.CloneOptions{URL: s.Repo, ProxyOptions: transport.ProxyOptions{URL: "http://127.0.0.1:1"}})
			return err
		},
	} {
		if err := call(); KindOf(err) != KindUsage || !errors.Is(err, errOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if s.Served() != 0 {
		t.Errorf("%d requests, want none", s.Served())
	}
}

func TestG18InstallOnce(t *testing.T) {
	install(t, NewHTTP(nil, nil))
	if err := Install(NewHTTP(nil, nil)); KindOf(err) != KindUsage {
		t.Errorf("a second time: got %v", err)
	}
	if err := Install(nil); KindOf(err) != KindUsage {
		t.Errorf("nil: got %v", err)
	}
}

// The page of a web server in an error is cut, and cannot change how it is shown.
func TestErrorsAreTidy(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		http.Error(w, "\x1b[31m"+user+" é"+strings.Repeat("é", 5000), http.StatusForbidden)
	}))
	defer s.Close()
	for name, auth := range map[string]transport.AuthMethod{
		"a token as the name":   &githttp.BasicAuth{Username: canary},
		"a token in the header": &githttp.TokenAuth{Token: canary},
		"nothing":               nil,
		"nil":                   (*githttp.BasicAuth)(nil),
	} {
		_, err := New(nil, Config{}).LsRemote(bounded(t), s.URL+"/a.git", &git.ListOptions{Auth: auth})
		if !errors.Is(err, transport.ErrAuthorizationFailed) || KindOf(err) != KindAuth {
			t.Errorf("%s: got %v", name, err)
		}
		if text := err.Error(); len(text) > maxText+10 || strings.ContainsAny(text, "\x1b\uFFFD") || strings.Contains(text, canary) {
			t.Errorf("%s: the text is %q", name, text)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A page of an error that has no end is not read to its end.
func TestG12EndlessPage(t *testing.T) {
	install(t, NewHTTP(base(t), nil))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		for page := make([]byte, 1<<10); ; {
			if _, err := w.Write(page); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	if _, err := New(nil, Config{}).LsRemote(bounded(t), s.URL+"/a.git", nil); KindOf(err) != KindAuth {
		t.Errorf("got %v", err)
	}
}
