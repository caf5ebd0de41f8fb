package gogit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/tidegate-go/tidegate/adapters/gogit"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A clone that makes up to three attempts, stops calling a host that is down,
// and is whole or absent at the end.
func Example() {
	chain := middleware.NewChain("git",
		policies.NewRetry(policies.RetryConfig{Delay: 10 * time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Minute}),
	)
	client := gogit.New(chain, gogit.Config{})
	ctx, dir := context.Background(), filepath.Join(os.TempDir(), "tidegate-example-gogit")
	for range 2 {
		repo, err := client.Clone(ctx, dir, false, &git.CloneOptions{URL: "http://127.0.0.1:1/team/app.git", Depth: 1})
		switch {
		case errors.Is(err, middleware.ErrOpen):
			fmt.Println("the host is down: going on with what we have")
		case err != nil:
			fmt.Println("failed:", gogit.KindOf(err))
		default:
			fmt.Println("cloned", repo)
		}
	}
	// Output:
	// failed: connect
	// the host is down: going on with what we have
}

// While the host is down a program goes on with what it has fetched before.
func ExampleClient_Fetch() {
	chain := middleware.NewChain("git", policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
	client := gogit.New(chain, gogit.Config{})
	repo, err := git.Init(memory.NewStorage(), nil) // or git.PlainOpen
	if err == nil {
		_, err = repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{"http://127.0.0.1:1/team/app.git"}})
	}
	if err != nil {
		panic(err)
	}
	for range 2 {
		changed, err := client.Fetch(context.Background(), repo, &git.FetchOptions{})
		switch {
		case errors.Is(err, middleware.ErrOpen):
			fmt.Println("stale: going on with what is there")
		case err != nil:
			fmt.Println("failed:", gogit.KindOf(err))
		case changed:
			fmt.Println("something new")
		}
	}
	// Output:
	// failed: connect
	// stale: going on with what is there
}

func ExampleClassify() {
	err := fmt.Errorf("sync: %w", git.NoErrAlreadyUpToDate)
	fmt.Println(gogit.KindOf(err), gogit.Classify(err).Class)
	// Output: up_to_date success
}
