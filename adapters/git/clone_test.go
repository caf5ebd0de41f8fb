package git

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestG7CloneIsWholeAfterFaults(t *testing.T) {
	for _, row := range []struct {
		name   string
		faults []gittest.Fault
	}{
		{"none", nil},
		{"unavailable twice", []gittest.Fault{gittest.Answer(503), gittest.Answer(503)}},
		{"cut in the list of refs, then in the pack", []gittest.Fault{gittest.Cut("command=ls-refs"), gittest.Cut("command=fetch")}},
		{"bad gateway, then cut in the pack", []gittest.Fault{gittest.Answer(502), gittest.Cut("command=fetch")}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := gittest.NewServer(t, gittest.NewRepository(t))
			s.Script(row.faults...)
			parent := t.TempDir()
			dir := filepath.Join(parent, "app")
			var seen verdicts
			client := newClient(t, retry(&seen), Config{})
			got, err := client.Clone(bounded(t), s.Repo, dir, CloneOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Commit != s.Head(t) {
				t.Errorf("the result says %q, want %q", got.Commit, s.Head(t))
			}
			gittest.Whole(t, dir, s.Head(t))
			equal(t, "beside the clone", names(t, parent), []string{"app"})
			if n := len(row.faults) + 1; s.Served() != n {
				t.Errorf("%d attempts, want %d", s.Served(), n)
			}
			for _, v := range seen.seen[:len(row.faults)] {
				if v.Class != middleware.Failure || !v.Retry {
					t.Errorf("the verdict of a fault is %+v", v)
				}
			}
			if seen.op != (middleware.Operation{Name: "clone", Key: s.Listener.Addr().String()}) {
				t.Errorf("the operation is %+v", seen.op) // G15
			}
		})
	}
}

func TestG7FailedCloneLeavesNothing(t *testing.T) {
	for _, row := range []struct {
		name    string
		fault   gittest.Fault
		kind    Kind
		status  int
		served  int
		options CloneOptions
	}{
		{name: "not found", fault: gittest.Answer(404), kind: KindNotFound, served: 1},
		{name: "forbidden", fault: gittest.Answer(403), kind: KindAuth, status: 403, served: 1},
		{name: "unauthorised", fault: gittest.Answer(401), kind: KindAuth, served: 1},
		{name: "unavailable", fault: gittest.Answer(503), kind: KindServer, status: 503, served: 3},
		{name: "request timeout", fault: gittest.Answer(408), kind: KindServer, status: 408, served: 3},
		{name: "gone", fault: gittest.Answer(410), kind: KindNotFound, status: 410, served: 1},
		{name: "bad request", fault: gittest.Answer(400), kind: KindUnknown, status: 400, served: 1},
		{name: "cut in the pack", fault: gittest.Cut("command=fetch"), kind: KindTransfer, served: 3},
		{name: "no such branch", kind: KindRefMissing, served: 1, options: CloneOptions{Branch: "nope"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := gittest.NewServer(t, gittest.NewRepository(t))
			s.Always(row.fault)
			for _, empty := range []bool{false, true} {
				parent := t.TempDir()
				dir := filepath.Join(parent, "app")
				var want []string
				if empty {
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					want = []string{"app"}
				}
				before := s.Served()
				_, err := newClient(t, retry(), Config{}).Clone(bounded(t), s.Repo, dir, row.options)
				e := failure(t, err, row.kind)
				if e.HTTPStatus != row.status || e.ExitCode != 128 || e.Op != "clone" || e.Stderr == "" {
					t.Errorf("got %+v", e)
				}
				if n := s.Served() - before; n != row.served {
					t.Errorf("%d attempts, want %d", n, row.served)
				}
				equal(t, "left behind", names(t, parent), want)
			}
		})
	}
}

func TestG7CloneNeverTouchesWhatIsThere(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	parent := t.TempDir()
	used := filepath.Join(parent, "used")
	if err := os.MkdirAll(filepath.Join(used, "mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "file"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(parent, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("empty", filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	before := names(t, parent)
	client := newClient(t, retry(), Config{})
	for dir, kind := range map[string]Kind{"used": KindTargetExists, "file": KindTargetExists, "link": KindTargetExists, "no/parent": KindUsage} {
		_, err := client.Clone(bounded(t), s.Repo, filepath.Join(parent, dir), CloneOptions{})
		failure(t, err, kind)
	}
	if s.Served() != 0 {
		t.Errorf("%d calls reached the server, want none", s.Served())
	}
	equal(t, "the directory", names(t, parent), before)
	equal(t, "the directory in use", names(t, used), []string{"mine"})

	// What appears while the clone is on its way stays too.
	late := filepath.Join(parent, "late")
	s.Script(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		os.MkdirAll(filepath.Join(late, "theirs"), 0o700)
		git.ServeHTTP(w, r)
	})
	_, err := client.Clone(bounded(t), s.Repo, late, CloneOptions{})
	failure(t, err, KindTargetExists)
	equal(t, "what appeared", names(t, late), []string{"theirs"})
	equal(t, "beside it", names(t, parent), []string{"empty", "file", "late", "link", "used"})

	precious := filepath.Join(parent, "precious")
	s.Script(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		os.WriteFile(precious, []byte("theirs"), 0o600)
		git.ServeHTTP(w, r)
	})
	_, err = client.Clone(bounded(t), s.Repo, precious, CloneOptions{})
	failure(t, err, KindTargetExists)
	if b, err := os.ReadFile(precious); string(b) != "theirs" {
		t.Errorf("the file that appeared is %q, %v", b, err)
	}

	// A process cannot be left in a directory that is replaced.
	t.Chdir(t.TempDir())
	served := s.Served()
	_, err = client.Clone(bounded(t), s.Repo, ".", CloneOptions{})
	failure(t, err, KindUsage)
	if s.Served() != served {
		t.Error("the server was asked in vain")
	}
}

func TestCloneOptions(t *testing.T) {
	repository := gittest.NewRepository(t)
	first := gittest.Git(t, repository, "rev-parse", "HEAD")
	second := gittest.Commit(t, repository, "second")
	s := gittest.NewServer(t, repository)
	client := newClient(t, nil, Config{})
	for _, row := range []struct {
		name    string
		options CloneOptions
		head    string
		history string
	}{
		{"all", CloneOptions{}, second, "2"},
		{"shallow", CloneOptions{Depth: 1}, second, "1"},
		{"a tag", CloneOptions{Branch: "v1"}, first, "1"},
		{"a branch", CloneOptions{Branch: "main"}, second, "2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			got, err := client.Clone(bounded(t), s.Repo, dir, row.options)
			if err != nil || got.Commit != row.head {
				t.Fatalf("got %+v, %v, want %s", got, err, row.head)
			}
			if n := gittest.Git(t, dir, "rev-list", "--count", "HEAD"); n != row.history {
				t.Errorf("%s commits, want %s", n, row.history)
			}
			gittest.Whole(t, dir, row.head)
		})
	}
	_, err := client.Clone(bounded(t), s.Repo, filepath.Join(t.TempDir(), "app"), CloneOptions{Depth: -1})
	failure(t, err, KindUsage)
}

// A hedge or a similar policy may run the attempt more than once with success:
// one clone is delivered, the other removed.
func TestG7OneOfTwoClones(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	twice := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if err := next.Do(ctx); err != nil {
			return err
		}
		return next.Do(ctx)
	})
	parent := t.TempDir()
	if _, err := newClient(t, middleware.NewChain("git", twice), Config{}).Clone(bounded(t), s.Repo, filepath.Join(parent, "app"), CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	gittest.Whole(t, filepath.Join(parent, "app"), s.Head(t))
	equal(t, "beside the clone", names(t, parent), []string{"app"})
}

func TestG11CancelledClone(t *testing.T) {
	boom := errors.New("the operator said stop")
	limit := policies.NewTimeout(policies.TimeoutConfig{Limit: 300 * time.Millisecond})
	for _, row := range []struct {
		name   string
		more   []middleware.Policy
		cancel bool
		is     []error
		kind   Kind
		served int
	}{
		{"by the caller", nil, true, []error{context.Canceled, boom}, KindCanceled, 1},
		// G17: the same work again is worth one more attempt, not two.
		{"by a timeout of the chain", []middleware.Policy{limit}, false, []error{context.DeadlineExceeded, middleware.ErrTimeout}, KindTimeout, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := gittest.NewServer(t, gittest.NewRepository(t))
			ctx, cancel := context.WithCancelCause(bounded(t))
			defer cancel(nil)
			s.Always(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				if row.cancel {
					cancel(boom)
				}
				gittest.Hang(w, r, git)
			})
			parent := t.TempDir()
			var seen verdicts
			chain := retry(append([]middleware.Policy{&seen}, row.more...)...)
			_, err := newClient(t, chain, Config{}).Clone(ctx, s.Repo, filepath.Join(parent, "app"), CloneOptions{})
			for _, target := range row.is {
				if !errors.Is(err, target) {
					t.Errorf("%v (%T) is not %v", err, err, target)
				}
			}
			if KindOf(err) != row.kind {
				t.Errorf("the kind of %v is %s, want %s", err, KindOf(err), row.kind)
			}
			if strings.Contains(err.Error(), "signal") {
				t.Errorf("the error speaks of signals: %v", err)
			}
			if len(seen.seen) != row.served { // the server may not have seen all of them
				t.Errorf("%d attempts, want %d", len(seen.seen), row.served)
			}
			equal(t, "left behind", names(t, parent), nil)
		})
	}
}
