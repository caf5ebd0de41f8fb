package git_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/tidegate-go/tidegate/adapters/git"
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
	client, err := git.New(chain, git.Config{
		Schemes:     []string{"https", "http"},
		Credentials: git.Credentials{Password: "a token"},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, dir := context.Background(), filepath.Join(os.TempDir(), "tidegate-example")
	for range 2 {
		cloned, err := client.Clone(ctx, "http://127.0.0.1:1/team/app.git", dir, git.CloneOptions{Depth: 1})
		switch {
		case errors.Is(err, middleware.ErrOpen):
			fmt.Println("the host is down: going on with what we have")
		case err != nil:
			fmt.Println("failed:", git.KindOf(err))
		default:
			fmt.Println("cloned", cloned.Commit)
		}
	}
	// Output:
	// failed: connect
	// the host is down: going on with what we have
}

func ExampleClient_LsRemote() {
	client, err := git.New(nil, git.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for _, url := range []string{"--upload-pack=id", "ext::sh -c id", "http://ann:pw@example.com/app.git"} {
		_, err := client.LsRemote(context.Background(), url)
		fmt.Println(err)
	}
	// Output:
	// git ls-remote: the URL begins with "-": it could be taken for an option (usage)
	// git ls-remote: the URL "ext::sh -c id" names a program to run before its "::", which is not allowed (usage)
	// git ls-remote: the URL "http://***@example.com/app.git" has the scheme "http": allowed are https, ssh (see Config.Schemes) (usage)
}

func ExampleClient_Do() {
	client, err := git.New(nil, git.Config{})
	if err != nil {
		log.Fatal(err)
	}
	err = client.Do(context.Background(), git.Op{Name: "mirror", Key: "example.com:443", Repeatable: true}, func(context.Context) error {
		return &git.Error{Op: "mirror", Kind: git.KindServer, ExitCode: 128, HTTPStatus: 503}
	})
	fmt.Println(git.Classify(err).Class, git.Classify(err).Retry)
	// Output: failure true
}
