package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// canary is a secret that must be seen nowhere.
const canary = "canary-5eCr3t-0123456789"

func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "tidegate-git-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Nobody's configuration but the tests' own.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "GIT_") || strings.HasSuffix(name, "_proxy") || strings.HasSuffix(name, "_PROXY") {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": home, "GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "Tests", "GIT_AUTHOR_EMAIL": "tests@example.com", "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME": "Tests", "GIT_COMMITTER_EMAIL": "tests@example.com", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
	} {
		os.Setenv(name, value)
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
	return client
}

// retry returns a chain that makes up to three attempts without much ado.
func retry(more ...middleware.Policy) *middleware.Chain {
	return middleware.NewChain("git", append([]middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, Jitter: -1}),
	}, more...)...)
}

// git runs git itself, not the client, and returns what it wrote.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// newRepository returns the path of a repository with one commit on main and an
// annotated tag v1.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, "first")
	git(t, dir, "tag", "-a", "-m", "one", "v1")
	return dir
}

// commit adds a commit and returns its id.
func commit(t *testing.T, dir, what string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat(what+"\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "file")
	git(t, dir, "commit", "-q", "-m", what)
	return git(t, dir, "rev-parse", "HEAD")
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
