package git_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// One turn of a GitOps loop: what is new is checked out and answered with a commit.
func ExampleClient_Sync() {
	ctx := context.Background()
	url, dir, config, clean := demoRepository()
	defer clean()
	author := git.Author{Name: "Deployer", Email: "deployer@example.com"}

	chain := middleware.NewChain("gitops",
		policies.NewRetry(policies.RetryConfig{}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 8, MaxQueue: 100, MaxWait: time.Minute}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Minute}),
	)
	repos, err := git.New(chain, config) // config.Credentials: git.Credentials{Password: token}
	if err != nil {
		panic(err)
	}
	synced, err := repos.Sync(ctx, url, dir, "main") // asks what main is, fetches only what is new, checks it out
	switch {
	case err != nil:
		fmt.Println("failed:", git.KindOf(err), err)
	case synced.Stale: // the breaker is open: the copy of the last time
		fmt.Println("going on with", synced.Commit, "because of", synced.Cause)
	case synced.Changed:
		fmt.Println("to deploy: what is new in", dir)
	}
	_, err = repos.CommitAndPush(ctx, dir, git.CommitOptions{Message: "Deployed", Branch: "main", Author: author})
	fmt.Println("pushed:", err == nil)
	// Output:
	// to deploy: what is new in app
	// pushed: true
}

// demoRepository makes a repository with one commit on main, in a new working
// directory, with a configuration that allows local paths.
func demoRepository() (url, dir string, config git.Config, clean func()) {
	top, err := os.MkdirTemp("", "tidegate-example-")
	if err != nil {
		panic(err)
	}
	back, err := os.Getwd()
	if err == nil {
		err = os.Chdir(top)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main", "origin"},
		{"-C", "origin", "commit", "--quiet", "--allow-empty", "--message=Begin"},
		{"clone", "--quiet", "--bare", "origin", "origin.git"},
	} {
		if err == nil {
			err = exec.Command("git", args...).Run()
		}
	}
	if err != nil {
		panic(err)
	}
	return "origin.git", "app", git.Config{Schemes: []string{"https", "file"}}, func() {
		_ = os.Chdir(back)
		_ = os.RemoveAll(top)
	}
}

// Git's own clean-up never runs behind a call. A program that fetches for months
// does it itself, now and then.
func ExampleClient_Run() {
	_, _, config, clean := demoRepository()
	defer clean()
	client, err := git.New(nil, config)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := client.Run(ctx, "origin", nil, "gc", "--quiet"); err != nil {
		panic(err)
	}
	var log strings.Builder
	err = client.Run(ctx, "origin", &log, "log", "--format=%s")
	fmt.Print(log.String(), err)
	// Output:
	// Begin
	// <nil>
}
