package gittest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// canary is a secret that must be seen nowhere.
const canary = "canary-5eCr3t-9876543210"

// A Backend is what the suite calls of an adapter.
type Backend struct {
	LsRemote func(ctx context.Context, url string) (ids map[string]string, err error)
	Clone    func(ctx context.Context, url, dir string) (head string, err error)
	Fetch    func(ctx context.Context, dir string) (changed bool, err error)
	Push     func(ctx context.Context, dir, branch string) error // HEAD to the branch
	Pull     func(ctx context.Context, dir string) (head string, err error)
	KindOf   func(err error) string
	Classify func(err error) middleware.Verdict
}

// A NewBackend returns the adapter around a chain, for remotes by http and local
// paths, with a login for http.
type NewBackend func(t testing.TB, chain *middleware.Chain, login Login) Backend

// RunSuite tests what every Git adapter does.
func RunSuite(t *testing.T, backend NewBackend) {
	for _, row := range []struct {
		name string
		test func(t *testing.T, backend NewBackend)
	}{
		{"G7CloneIsWholeAfterFaults", cloneIsWhole},
		{"G7FailedCloneLeavesNothing", cloneLeavesNothing},
		{"HostThatCannotBeReached", unreachable},
		{"G7CloneNeverTouchesWhatIsThere", cloneTouchesNothing},
		{"G11CancelledCloneLeavesNothing", cloneCancelled},
		{"G17TimeoutIsRepeatedOnce", cloneTimedOut},
		{"G8FetchAfterFaults", fetchAfterFaults},
		{"G14NothingToDoIsSuccess", nothingToDo},
		{"G15LocalPathPassesByTheChain", localPath},
		{"G16ThrottledWaits", throttled},
		{"Push", pushed},
		{"PushWithoutAnAnswer", pushLost},
		{"RejectedPushIsNotRepeated", pushRejected},
		{"Pull", pulled},
		{"OpenBreakerKeepsCallsAway", breakerOpens},
		{"PermitsComeBack", permits},
		{"G10SecretsStayHidden", secrets},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.test(t, backend)
		})
	}
}

// bounded returns a context that ends before the test binary does, so that a
// call which hangs fails its test.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the test took too long"))
	t.Cleanup(cancel)
	return ctx
}

// retry returns a chain that makes up to three attempts without much ado.
func retry(more ...middleware.Policy) *middleware.Chain {
	return middleware.NewChain("git", append([]middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, Jitter: -1}),
	}, more...)...)
}

// A record is what the policies outside of it see.
type record struct {
	mu       sync.Mutex
	verdicts []middleware.Verdict
	op       middleware.Operation
	events   []string
}

func (r *record) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts, r.op = append(r.verdicts, middleware.VerdictOf(err)), middleware.OperationOf(ctx)
	return err
}

func (r *record) Observe(_ context.Context, e middleware.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf("%+v", e))
}

// cloned returns a server and a clone of what it serves.
func cloned(t testing.TB) (s *Server, dir string) {
	s = NewServer(t, NewRepository(t))
	dir = filepath.Join(t.TempDir(), "app")
	Git(t, "", "clone", "-q", s.Repo, dir)
	s.Script()
	return s, dir
}

// advance adds a commit to the branch main of the server, and returns its id.
func advance(t testing.TB, s *Server) string {
	work := filepath.Join(t.TempDir(), "work")
	Git(t, "", "clone", "-q", s.Bare, work)
	id := Commit(t, work, "advance")
	Git(t, work, "push", "-q", "origin", "main")
	return id
}

// names returns what is in dir.
func names(t testing.TB, dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// failed asserts the kind of err.
func failed(t testing.TB, b Backend, err error, kind string) {
	t.Helper()
	if err == nil || b.KindOf(err) != kind {
		t.Errorf("the kind of %v (%T) is %q, want %q", err, err, b.KindOf(err), kind)
	}
}

func fetchAfterFaults(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	id := advance(t, s)
	s.Script(Answer(500), CutPack())
	changed, err := backend(t, retry(), Login{}).Fetch(bounded(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "changed", changed, true)
	same(t, "attempts", s.Served(), 3)
	same(t, "what was fetched", Git(t, dir, "rev-parse", "refs/remotes/origin/main"), id)
	Git(t, dir, "fsck", "--full", "--strict")
	packs, err := filepath.Glob(filepath.Join(dir, ".git", "objects", "pack", "tmp_*"))
	if err != nil || len(packs) > 0 {
		t.Errorf("left behind: %v, %v", packs, err)
	}
}

func nothingToDo(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	empty := t.TempDir()
	Git(t, empty, "init", "-q", "--bare")
	hollow := NewServer(t, empty)
	var seen record
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	b := backend(t, retry(&seen, breaker), Login{})
	ctx := bounded(t)
	if changed, err := b.Fetch(ctx, dir); err != nil || changed {
		t.Errorf("up to date: got %v, %v", changed, err)
	}
	if err := b.Push(ctx, dir, "main"); err != nil {
		t.Errorf("up to date: got %v", err)
	}
	if ids, err := b.LsRemote(ctx, hollow.Repo); err != nil || len(ids) > 0 {
		t.Errorf("an empty remote: got %v, %v", ids, err)
	}
	parent := t.TempDir()
	if head, err := b.Clone(ctx, hollow.Repo, filepath.Join(parent, "app")); head != "" || err != nil && names(t, parent) != "" {
		t.Errorf("an empty remote: got %q, %v", head, err)
	}
	for _, v := range seen.verdicts {
		same(t, "the class", v.Class, middleware.Success)
		same(t, "repeated", v.Retry, false)
	}
	same(t, "attempts", len(seen.verdicts), 4)
	same(t, "the breaker", breaker.State(), policies.Closed)
	ids, err := b.LsRemote(ctx, s.Repo)
	if err != nil || ids["refs/heads/main"] != s.Head(t) {
		t.Errorf("got %v, %v", ids, err)
	}
}

func localPath(t *testing.T, backend NewBackend) {
	repository := NewRepository(t)
	dir := filepath.Join(t.TempDir(), "app")
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	b := backend(t, middleware.NewChain("git", breaker), Login{})
	ctx := bounded(t)
	if _, err := b.Clone(ctx, repository, dir); err != nil {
		t.Fatal(err)
	}
	Whole(t, dir, Git(t, repository, "rev-parse", "HEAD"))
	for _, url := range []string{repository, "file://" + repository} {
		if _, err := b.LsRemote(ctx, url); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Fetch(ctx, dir); err != nil {
		t.Error(err)
	}
	if _, err := b.LsRemote(ctx, "http://127.0.0.1:1/a"); !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("got %v, want a rejection", err)
	}
}

func throttled(t *testing.T, backend NewBackend) {
	s := NewServer(t, NewRepository(t))
	s.Always(Answer(429)) // with Retry-After: 1
	var seen record
	b := backend(t, middleware.NewChain("git", &seen), Login{})
	_, err := b.LsRemote(bounded(t), s.Repo)
	failed(t, b, err, "throttled")
	v := seen.verdicts[0]
	if v.Class != middleware.Throttled || !v.Retry || v.After != time.Second && v.After < 5*time.Second {
		t.Errorf("got %+v, want to wait for what the server asks, or 5 s if that is not known", v)
	}
}

// updates returns how many times the branch main of the server was changed since
// the first call.
func updates(t testing.TB, s *Server) int {
	Git(t, s.Bare, "config", "core.logAllRefUpdates", "always")
	return len(strings.Fields(Git(t, s.Bare, "log", "--walk-reflogs", "--format=%H", "refs/heads/main")))
}

func breakerOpens(t *testing.T, backend NewBackend) {
	for _, row := range []struct {
		status, calls int
		state         policies.State
	}{
		{401, 4, policies.Closed},
		{404, 4, policies.Closed},
		{429, 4, policies.Closed},
		{503, 2, policies.Closed},
		{503, 3, policies.Open},
	} {
		s := NewServer(t, NewRepository(t))
		s.Always(Answer(row.status))
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, Timeout: time.Hour})
		b := backend(t, middleware.NewChain("git", breaker), Login{})
		for range row.calls {
			if _, err := b.LsRemote(bounded(t), s.Repo); err == nil {
				t.Errorf("%d: no error", row.status)
			}
		}
		same(t, fmt.Sprintf("the breaker after %d times %d", row.calls, row.status), breaker.State(), row.state)
		if row.state == policies.Open {
			parent := t.TempDir()
			before := s.Served()
			_, err := b.Clone(bounded(t), s.Repo, filepath.Join(parent, "app"))
			if !errors.Is(err, middleware.ErrOpen) {
				t.Errorf("got %v, want the breaker's rejection", err)
			}
			same(t, "calls that reached the server", s.Served(), before)
			same(t, "left behind", names(t, parent), "")
		}
	}
}

func permits(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	b := backend(t, middleware.NewChain("git", bulkhead), Login{})
	parent := t.TempDir()
	ended, cancel := context.WithCancel(bounded(t))
	cancel()
	for i, fault := range []Fault{Answer(503), CutPack(), nil} {
		s.Always(fault)
		for _, ctx := range []context.Context{bounded(t), ended} {
			for _, call := range []func() error{
				func() error { _, err := b.LsRemote(ctx, s.Repo); return err },
				func() error {
					_, err := b.Clone(ctx, s.Repo, filepath.Join(parent, fmt.Sprint(i, ctx.Err() == nil)))
					return err
				},
				func() error { _, err := b.Fetch(ctx, dir); return err },
				func() error { return b.Push(ctx, dir, "main") },
			} {
				if err := call(); errors.Is(err, middleware.ErrBulkheadFull) {
					t.Errorf("%v: a permit is missing", err)
				}
			}
		}
	}
	same(t, "permits out", bulkhead.Status().Running, 0)
}

func secrets(t *testing.T, backend NewBackend) {
	s := NewServer(t, NewRepository(t))
	parent := t.TempDir()
	var seen record
	var texts []string
	note := func(err error) {
		if err != nil {
			texts = append(texts, fmt.Sprintf("%v", err), fmt.Sprintf("%q", err.Error()))
		}
	}
	withLogin := func(user string) string { return strings.Replace(s.Repo, "http://", "http://"+user+"@", 1) }
	login := Login{"ann", canary}

	// A host that repeats what it was sent.
	echo := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		user, password, _ := r.BasicAuth()
		http.Error(w, fmt.Sprintf("%s:%s is not welcome", user, password), http.StatusForbidden)
	}
	for _, fault := range []Fault{echo, Answer(503), CutPack()} {
		s.Always(fault)
		for i, url := range []string{s.Repo, withLogin("ann:" + canary), withLogin(canary)} {
			b := backend(t, retry(&seen, &seen), login)
			_, err := b.LsRemote(bounded(t), url)
			note(err)
			_, err = b.Clone(bounded(t), url, filepath.Join(parent, fmt.Sprint("failed", i)))
			note(err)
		}
	}
	// A URL that cannot be read.
	for _, url := range []string{"http://ann:" + canary + "@\x01/a", "http://ann:%zz" + canary + "@127.0.0.1:1/a", "http://ann:" + canary + "@/a", "ssh://ann:" + canary + "@127.0.0.1:1/a"} {
		_, err := backend(t, retry(&seen), login).LsRemote(bounded(t), url)
		if err == nil {
			t.Errorf("%q was read", url)
		}
		note(err)
	}
	s.Always(nil)
	s.Ask(login)
	dir := filepath.Join(parent, "app")
	if _, err := backend(t, retry(&seen), Login{}).Clone(bounded(t), withLogin("ann:"+canary), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := backend(t, retry(&seen), login).Fetch(bounded(t), dir); err != nil {
		t.Error(err)
	}
	Commit(t, dir, "second")
	if err := backend(t, retry(&seen), login).Push(bounded(t), dir, "main"); err != nil {
		t.Error(err)
	}
	if len(texts) < 20 || len(seen.events) == 0 {
		t.Errorf("only %d errors and %d events were seen", len(texts), len(seen.events))
	}
	for _, text := range slices.Concat(texts, seen.events, []string{fmt.Sprintf("%+v %+v", seen.verdicts, seen.op)}) {
		if strings.Contains(text, canary) {
			t.Errorf("the secret is shown: %s", text)
		}
	}
	err := filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // the test's own directory
		if strings.Contains(string(content), canary) {
			t.Errorf("the secret is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
