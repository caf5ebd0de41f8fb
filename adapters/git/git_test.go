package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// canary is a secret that must be seen nowhere.
const canary = "canary-5eCr3t-0123456789"

func TestMain(m *testing.M) {
	home, err := gittest.Isolate()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(home)
		os.Exit(code)
	}))
}

// bounded returns a context that ends before the test binary does, so that a
// call which hangs fails its test.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the test took too long"))
	t.Cleanup(cancel)
	return ctx
}

func newClient(t *testing.T, chain *middleware.Chain, c Config) *Client {
	t.Helper()
	if c.Schemes == nil {
		c.Schemes = []string{"http", "file"}
	}
	client, err := New(chain, c)
	if err != nil {
		t.Fatal(err)
	}
	client.checked.Store(true) // see TestG13...; a process less for each client
	return client
}

// retry returns a chain that makes up to three attempts without much ado.
func retry(more ...middleware.Policy) *middleware.Chain {
	return middleware.NewChain("git", append([]middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, Jitter: -1}),
	}, more...)...)
}

// failure asserts that err is an *Error of the given kind, with nothing secret.
func failure(t *testing.T, err error, kind Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	if e.Kind != kind || KindOf(err) != kind || e.ErrorType() != string(kind) {
		t.Fatalf("the kind of %v is %s, want %s\n%s", err, e.Kind, kind, e.Stderr)
	}
	if s := fmt.Sprintf("%v %+v %#v", err, *e, *e); strings.Contains(s, canary) {
		t.Errorf("the error shows the secret: %s", s)
	}
	return e
}

// names returns what is in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// verdicts records what the policies outside of it see.
type verdicts struct {
	seen []middleware.Verdict
	op   middleware.Operation
}

func (v *verdicts) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	v.seen, v.op = append(v.seen, middleware.VerdictOf(err)), middleware.OperationOf(ctx)
	return err
}
