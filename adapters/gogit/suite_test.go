package gogit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

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

// What every Git adapter does.
func TestSuite(t *testing.T) {
	gittest.RunSuite(t, func(_ testing.TB, chain *middleware.Chain, login gittest.Login) gittest.Backend {
		client := New(chain, Config{})
		var auth transport.AuthMethod
		if login != (gittest.Login{}) {
			auth = &githttp.BasicAuth{Username: login.Username, Password: login.Password}
		}
		return gittest.Backend{
			LsRemote: func(ctx context.Context, url string) (map[string]string, error) {
				refs, err := client.LsRemote(ctx, url, &git.ListOptions{Auth: auth})
				ids := map[string]string{}
				for _, r := range refs {
					ids[r.Name().String()] = r.Hash().String()
				}
				return ids, err
			},
			Clone: func(ctx context.Context, url, dir string) (string, error) {
				repo, err := client.Clone(ctx, dir, false, &git.CloneOptions{URL: url, Auth: auth})
				if err != nil {
					return "", err
				}
				return head(repo)
			},
			Fetch: func(ctx context.Context, dir string) (bool, error) {
				repo, err := git.PlainOpen(dir)
				if err != nil {
					return false, err
				}
				return client.Fetch(ctx, repo, &git.FetchOptions{Auth: auth})
			},
			Push: func(ctx context.Context, dir, branch string) error {
				repo, err := git.PlainOpen(dir)
				if err != nil {
					return err
				}
				_, err = client.Push(ctx, repo, &git.PushOptions{Auth: auth, RefSpecs: []config.RefSpec{config.RefSpec("HEAD:refs/heads/" + branch)}})
				return err
			},
			Pull: func(ctx context.Context, dir string) (string, error) {
				repo, err := git.PlainOpen(dir)
				if err != nil {
					return "", err
				}
				if _, err := client.Pull(ctx, repo, &git.PullOptions{Auth: auth}); err != nil {
					return "", err
				}
				return head(repo)
			},
			KindOf:   func(err error) string { return string(KindOf(err)) },
			Classify: Classify,
		}
	})
}

func head(repo *git.Repository) (string, error) {
	ref, err := repo.Reference(plumbing.HEAD, true)
	if err != nil {
		return "", err
	}
	return ref.Hash().String(), nil
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
