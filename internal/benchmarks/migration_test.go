package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/internal/readme"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Each Go block of docs/migration.md stands word for word in these examples.
func TestMigrationGuideShowsWhatRuns(t *testing.T) {
	const least = 8 // a library and its counterpart, four times
	blocks := 0
	for _, b := range readme.Blocks(t, "../../docs/migration.md") {
		if b.Language != "go" {
			t.Errorf("nothing holds this to what is true:\n%s", b.Text)
			continue
		}
		if blocks++; !b.StandsIn(t, "migration*_test.go", "\t", "") {
			t.Errorf("this stands in no example:\n%s", b.Text)
		}
	}
	if blocks < least {
		t.Errorf("the guide has %d blocks", blocks)
	}
}

// What the examples of the guide call.
type user struct{ name string }

var errNotFound = errors.New("no such user")

func find(context.Context, int) (*user, error)         { return &user{"ada"}, nil }
func cached(context.Context, error) (*user, error)     { return &user{"ada, as she was"}, nil }
func search(context.Context, string) ([]string, error) { return []string{"a", "b"}, nil }

func Example_fromGobreaker() {
	ctx, id := context.Background(), 7

	breaker := gobreaker.NewCircuitBreaker[*user](gobreaker.Settings{
		Name:         "users",
		MaxRequests:  3,
		Timeout:      30 * time.Second,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, errNotFound) },
		OnStateChange: func(name string, _, to gobreaker.State) {
			log.Println(name, "is", to)
		},
	})
	found, err := breaker.Execute(func() (*user, error) { return find(ctx, id) })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		found, err = cached(ctx, err)
	}
	fmt.Println(found.name, err)
	// Output: ada <nil>
}

func Example_toBreaker() {
	ctx, id := context.Background(), 7

	users := middleware.NewChain("users",
		middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.Transition {
				log.Println(e.Chain, "is", e.To)
			}
		}),
		policies.NewBreaker(policies.BreakerConfig{
			FailureThreshold: 5,
			Timeout:          30 * time.Second,
			SuccessThreshold: 3,
		}),
		middleware.Judge(func(err error) middleware.Verdict {
			if errors.Is(err, errNotFound) {
				return middleware.Verdict{} // a success that carries an error
			}
			return middleware.VerdictOf(err)
		}),
	)
	found, err := middleware.Call(ctx, users, func(ctx context.Context) (*user, error) { return find(ctx, id) })
	if errors.Is(err, middleware.ErrOpen) || errors.Is(err, middleware.ErrTooManyProbes) {
		found, err = cached(ctx, err)
	}
	fmt.Println(found.name, err)
	// Output: ada <nil>
}

func Example_fromFailsafe() {
	ctx, query := context.Background(), "tea"

	retries := retrypolicy.NewBuilder[[]string]().
		WithMaxAttempts(3).
		WithBackoff(100*time.Millisecond, 10*time.Second).
		WithJitterFactor(0.5).
		Build()
	breaker := circuitbreaker.NewBuilder[[]string]().
		WithFailureThreshold(5).
		WithSuccessThreshold(2).
		WithDelay(30 * time.Second).
		Build()
	limit := timeout.New[[]string](2 * time.Second)
	executor := failsafe.With[[]string](retries, breaker, limit)
	hits, err := executor.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[[]string]) ([]string, error) {
		return search(e.Context(), query)
	})
	fmt.Println(hits, err)
	// Output: [a b] <nil>
}

func Example_toChain() {
	ctx, query := context.Background(), "tea"

	searches := middleware.NewChain("search", // the order is the same: the first is outermost
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: 100 * time.Millisecond, MaxDelay: 10 * time.Second, Jitter: 0.5}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 5, SuccessThreshold: 2, Timeout: 30 * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Second}),
	)
	hits, err := middleware.Call(ctx, searches, func(ctx context.Context) ([]string, error) {
		return search(ctx, query)
	})
	fmt.Println(hits, err)
	// Output: [a b] <nil>
}

func Example_fromHystrix() {
	ctx, id := context.Background(), 7

	hystrix.ConfigureCommand("users", hystrix.CommandConfig{
		Timeout:                1000, // milliseconds
		MaxConcurrentRequests:  10,
		RequestVolumeThreshold: 20,
		ErrorPercentThreshold:  50,
		SleepWindow:            5000,
	})
	var found *user
	err := hystrix.DoC(ctx, "users", func(ctx context.Context) (err error) {
		found, err = find(ctx, id)
		return err
	}, func(ctx context.Context, cause error) (err error) {
		found, err = cached(ctx, cause)
		return err
	})
	fmt.Println(found.name, err)
	// Output: ada <nil>
}

func Example_toFallback() {
	ctx, id := context.Background(), 7

	users := middleware.NewChain("users",
		policies.NewFallback(policies.FallbackConfig{}),
		policies.NewBreaker(policies.BreakerConfig{
			FailureRate: 0.5, MinCalls: 20, Window: 10 * time.Second,
			Timeout: 5 * time.Second, SuccessThreshold: 1,
		}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 10}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}),
	)
	found, err := middleware.CallOr(ctx, users, func(ctx context.Context) (*user, error) { return find(ctx, id) }, cached)
	fmt.Println(found.name, err)
	// Output: ada <nil>
}
