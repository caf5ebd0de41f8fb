package policies_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPoliciesConform(t *testing.T) {
	for name, newPolicy := range map[string]func() middleware.Policy{
		"timeout":            func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{}) },
		"timeout of streams": func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{Stream: true}) },
		"retry":              func() middleware.Policy { return policies.NewRetry(policies.RetryConfig{}) },
		"breaker":            func() middleware.Policy { return policies.NewBreaker(policies.BreakerConfig{}) },
		"rate limit":         func() middleware.Policy { return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3}) },
		"rate limit that waits": func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3, MaxWait: time.Second})
		},
		"all of them": func() middleware.Policy {
			return middleware.NewChain("",
				policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute}),
				policies.NewRetry(policies.RetryConfig{}),
				policies.NewBreaker(policies.BreakerConfig{}),
				policies.NewRateLimit(policies.RateLimitConfig{}),
				policies.NewTimeout(policies.TimeoutConfig{Name: "attempt"}),
			)
		},
	} {
		t.Run(name, func(t *testing.T) { middlewaretest.TestPolicy(t, newPolicy) })
	}
}

// A recorder keeps the events of a chain.
type recorder struct {
	mu     sync.Mutex
	events []middleware.Event
}

func (r *recorder) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (r *recorder) Observe(_ context.Context, e middleware.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// of returns the events of one kind.
func (r *recorder) of(kind middleware.Kind) []middleware.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []middleware.Event
	for _, e := range r.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

var errBroken = errors.New("broken")

func fail(context.Context) error    { return errBroken }
func succeed(context.Context) error { return nil }

// rejection returns the *Rejection in err, or fails the test.
func rejection(t *testing.T, err error) *middleware.Rejection {
	t.Helper()
	var r *middleware.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("got %v (%T), want a rejection", err, err)
	}
	return r
}

func TestValidateNamesTheSetting(t *testing.T) {
	type config interface{ Validate() error }
	for _, row := range []struct {
		name   string
		config config
		want   string // empty: valid
	}{
		{"zero timeout", policies.TimeoutConfig{}, ""},
		{"zero retry", policies.RetryConfig{}, ""},
		{"zero rate limit", policies.RateLimitConfig{}, ""},
		{"zero breaker", policies.BreakerConfig{}, ""},
		{"no jitter", policies.RetryConfig{Jitter: -1}, ""},
		{"recovery time alone", policies.BreakerConfig{RecoveryTime: time.Hour}, ""},
		{"timeout alone", policies.BreakerConfig{Timeout: time.Hour}, ""},
		{"timeout", policies.TimeoutConfig{Limit: -time.Second},
			"policies: TimeoutConfig.Limit is -1s: it must be a positive duration, or 0 for the default"},
		{"attempts", policies.RetryConfig{Attempts: -1},
			"policies: RetryConfig.Attempts is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"multiplier", policies.RetryConfig{Multiplier: 0.5},
			"policies: RetryConfig.Multiplier is 0.5: it must be 1 or more, or 0 for the default"},
		{"multiplier that is no number", policies.RetryConfig{Multiplier: math.NaN()},
			"policies: RetryConfig.Multiplier is NaN: it must be 1 or more, or 0 for the default"},
		{"jitter", policies.RetryConfig{Jitter: 1.5},
			"policies: RetryConfig.Jitter is 1.5: it must be between 0 and 1, or negative for none"},
		{"a long delay alone", policies.RetryConfig{Delay: time.Minute}, ""},
		{"a short cap alone", policies.RetryConfig{MaxDelay: time.Millisecond}, ""},
		{"delay above its cap", policies.RetryConfig{Delay: time.Minute, MaxDelay: time.Second},
			"policies: RetryConfig.MaxDelay is 1s: it must be at least Delay, which is 1m0s"},
		{"rate", policies.RateLimitConfig{Rate: -1},
			"policies: RateLimitConfig.Rate is -1: it must be above 0 and at most 2147483647, or 0 for the default"},
		{"burst", policies.RateLimitConfig{Burst: -1},
			"policies: RateLimitConfig.Burst is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"max wait", policies.RateLimitConfig{MaxWait: -1},
			"policies: RateLimitConfig.MaxWait is -1ns: it must be 0 (reject at once) or a positive duration"},
		{"threshold", policies.BreakerConfig{FailureThreshold: math.MinInt},
			"policies: BreakerConfig.FailureThreshold is -9223372036854775808: it must be between 1 and 2147483647, or 0 for the default"},
		{"recovery below timeout", policies.BreakerConfig{Timeout: time.Minute, RecoveryTime: time.Second},
			"policies: BreakerConfig.RecoveryTime is 1s: it must be at least Timeout, which is 1m0s"},
		{"recovery below the default timeout", policies.BreakerConfig{RecoveryTime: time.Second}, ""},
		{"all at once", policies.BreakerConfig{FailureThreshold: -1, SuccessThreshold: -2, Timeout: -3, RecoveryTime: -4},
			"policies: BreakerConfig.FailureThreshold is -1: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: BreakerConfig.SuccessThreshold is -2: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: BreakerConfig.Timeout is -3ns: it must be a positive duration, or 0 for the default\n" +
				"policies: BreakerConfig.RecoveryTime is -4ns: it must be a positive duration, or 0 for the default"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.config.Validate()
			if row.want == "" {
				if err != nil {
					t.Errorf("got %v, want a valid setting", err)
				}
				return
			}
			if err == nil || err.Error() != row.want {
				t.Fatalf("\ngot  %v\nwant %s", err, row.want)
			}
			var setting *policies.SettingError
			if !errors.As(err, &setting) || setting.Field == "" {
				t.Errorf("got %T, want a *SettingError", err)
			}
			defer func() {
				if got, ok := recover().(error); !ok || got.Error() != row.want {
					t.Errorf("the constructor panicked with %v, want the same error", got)
				}
			}()
			construct(row.config)
			t.Error("the constructor took settings that are not valid")
		})
	}
}

func construct(config any) {
	switch c := config.(type) {
	case policies.TimeoutConfig:
		policies.NewTimeout(c)
	case policies.RetryConfig:
		policies.NewRetry(c)
	case policies.RateLimitConfig:
		policies.NewRateLimit(c)
	case policies.BreakerConfig:
		policies.NewBreaker(c)
	}
}
