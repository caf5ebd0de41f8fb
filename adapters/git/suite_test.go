package git

import (
	"context"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// What every Git adapter does.
func TestSuite(t *testing.T) {
	gittest.RunSuite(t, func(t testing.TB, chain *middleware.Chain, login gittest.Login) gittest.Backend {
		client, err := New(chain, Config{Schemes: []string{"http", "ssh", "file"}, Credentials: Credentials{Username: login.Username, Password: login.Password}})
		if err != nil {
			t.Fatal(err)
		}
		return gittest.Backend{
			LsRemote: func(ctx context.Context, url string) (map[string]string, error) {
				refs, err := client.LsRemote(ctx, url)
				ids := map[string]string{}
				for _, r := range refs {
					ids[r.Name] = r.ID
				}
				return ids, err
			},
			Clone: func(ctx context.Context, url, dir string) (string, error) {
				cloned, err := client.Clone(ctx, url, dir, CloneOptions{})
				return cloned.Commit, err
			},
			Fetch: func(ctx context.Context, dir string) (bool, error) {
				fetched, err := client.Fetch(ctx, dir, FetchOptions{})
				return len(fetched.Updated) > 0, err
			},
			Push: func(ctx context.Context, dir, branch string) error {
				_, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"HEAD:refs/heads/" + branch}})
				return err
			},
			Pull: func(ctx context.Context, dir string) (string, error) {
				pulled, err := client.Pull(ctx, dir, PullOptions{})
				return pulled.Commit, err
			},
			KindOf:   func(err error) string { return string(KindOf(err)) },
			Classify: Classify,
		}
	})
}
