package guides

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func Example_standby() {
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from the standby") }))
	defer standby.Close()
	primary := httptest.NewServer(http.NotFoundHandler())
	primary.Close() // down
	manager, err := tidegate.New(tidegate.Config{Services: map[string]tidegate.ServiceConfig{
		"catalog": {Preset: tidegate.HTTP}, "standby": {Preset: tidegate.HTTP},
	}})
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	catalog, second := must(manager.Service("catalog")), must(manager.Service("standby"))
	addressOfStandby := standby.Listener.Addr().String()

	other := second.HTTPClient(nil) // a chain of its own, with its own limits
	client := catalog.HTTPClient(nil, transports.WithFallback(
		func(req *http.Request, cause error) (*http.Response, error) {
			if req.Method != http.MethodGet {
				return nil, cause // what writes has one place to go to
			}
			req.URL.Host = addressOfStandby
			return other.Do(req)
		}))
	resp, err := client.Get(primary.URL + "/items")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

type price struct{ cents int }

var errDown = errors.New("connection refused")

func ask(context.Context) (price, error) { return price{}, errDown }

func Example_less() {
	ctx := context.Background()
	prices := middleware.NewChain("prices", policies.NewFallback(policies.FallbackConfig{}), policies.NewBreaker(policies.BreakerConfig{}))

	got, err := middleware.CallOr(ctx, prices, ask, func(_ context.Context, cause error) (price, error) {
		return price{cents: 999}, nil // the listed one; return cause when there is none
	})
	fmt.Println(got, err)
	// Output: {999} <nil>
}

func Example_stale() {
	ctx := context.Background()
	prices := middleware.NewChain("prices", policies.NewFallback(policies.FallbackConfig{}))
	fetch := func(context.Context) (price, error) { return price{cents: 950}, nil }

	last := policies.NewStale[string, price](policies.StaleConfig{
		MaxAge:       15 * time.Minute, // older ones do more harm than an error
		SingleFlight: true,             // of those who want the same at once, one asks
	})
	for range 2 {
		got, err := last.Call(ctx, prices, "umbrella", fetch)
		if err != nil {
			panic(err)
		}
		if got.Stale {
			fmt.Println("the price of a while ago, because of", got.Cause)
		}
		fmt.Println(got.Value)
		fetch = ask // the outage begins
	}
	// Output:
	// {950}
	// the price of a while ago, because of connection refused
	// {950}
}

// A checkout outlives its host.
func TestACheckoutIsACopy(t *testing.T) {
	made := t.TempDir()
	gittest.Git(t, made, "init", "-q", "--template=", "-b", "main")
	gittest.Git(t, made, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "--allow-empty", "-m", "first")
	server := gittest.NewServer(t, made)
	ctx, url, dir := t.Context(), server.Repo, filepath.Join(t.TempDir(), "app")
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	repos := must(git.New(middleware.NewChain("git", breaker), git.Config{Schemes: []string{"http"}}))
	first := must(repos.Sync(ctx, url, dir, "main"))
	breaker.ForceOpen()

	synced, err := repos.Sync(ctx, url, dir, "main")
	if err != nil {
		panic(err)
	}
	if synced.Stale { // the breaker is open: the commit of the last time
		fmt.Println("going on with", synced.Commit, "because of", synced.Cause)
	}
	if !synced.Stale || synced.Commit != first.Commit {
		t.Errorf("got %+v after %+v", synced, first)
	}
}

func Example_priorities() {
	chain := middleware.NewChain("recommendations", policies.NewThrottle(policies.ThrottleConfig{}))
	recommend := func(context.Context) error { return nil }
	ctx := context.Background()

	// A page is Critical unless told otherwise. What fills it up overnight is not.
	batch := middleware.WithPriority(ctx, middleware.Sheddable)
	if err := chain.Do(batch, recommend); errors.Is(err, middleware.ErrThrottled) {
		return // tomorrow is another night
	}
	fmt.Println("done")
	// Output: done
}

func Example_server() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all of it") })

	limits := middleware.NewChain("server",
		policies.NewBulkhead(policies.BulkheadConfig{
			MaxConcurrent: 100, MaxQueue: 50, MaxWait: 100 * time.Millisecond,
			Order: policies.LIFO, // under load the newest are those who still wait for an answer
		}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Second}),
	)
	handler := transports.NewHandler(mux, limits, transports.WithHandlerPropagation()) // believes what clients say of priorities
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/report", nil))
	fmt.Println(w.Code)
	// Output: 200
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
