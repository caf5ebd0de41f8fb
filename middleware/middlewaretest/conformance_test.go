package middlewaretest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPassThroughConforms(t *testing.T) {
	middlewaretest.TestPolicy(t, func() middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
	})
}

func TestOwnPoliciesConform(t *testing.T) {
	for name, p := range map[string]middleware.Policy{
		"judge":    middleware.Judge(func(error) middleware.Verdict { return middleware.Verdict{Class: middleware.Failure} }),
		"observer": middleware.ObserverFunc(func(context.Context, middleware.Event) {}),
		"chain":    middleware.NewChain("inner"),
	} {
		t.Run(name, func(t *testing.T) { middlewaretest.TestPolicy(t, func() middleware.Policy { return p }) })
	}
}

// A naive retry without any word about results still keeps every promise.
func TestNaiveRetryConforms(t *testing.T) {
	middlewaretest.TestPolicy(t, func() middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			var err error
			for range 3 {
				if err = next.Do(ctx); err == nil || !middleware.VerdictOf(err).Retry {
					break
				}
			}
			return err
		})
	})
}

// Each broken policy breaks one promise, and the suite must say so.
var broken = map[string]struct {
	promise string
	policy  func() middleware.Policy
}{
	"swallows errors": {"the operation's own error reaches the caller", policy(func(ctx context.Context, next middleware.Next) error {
		_ = next.Do(ctx)
		return nil
	})},
	"invents errors": {"the operation's own error reaches the caller", policy(func(ctx context.Context, next middleware.Next) error {
		if next.Do(ctx) != nil {
			return errors.New("my own")
		}
		return nil
	})},
	"never runs": {"a success reaches the caller", policy(func(context.Context, middleware.Next) error { return nil })},
	"detaches the context": {"the context is derived from the caller's", policy(func(_ context.Context, next middleware.Next) error {
		return next.Do(context.Background())
	})},
	"waits for nothing": {"a caller that has gone is not kept", policy(func(ctx context.Context, next middleware.Next) error {
		time.Sleep(time.Minute)
		return next.Do(ctx)
	})},
	"waits on": {"a wait ends when the caller cancels", policy(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if err != nil {
			time.Sleep(time.Second)
		}
		return err
	})},
	"says only that the context ended": {"a wait ends when the caller cancels", policy(func(ctx context.Context, next middleware.Next) error {
		if next.Do(ctx) == nil {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})},
	"changes panics": {"what is held is released when the operation panics", policy(func(ctx context.Context, next middleware.Next) error {
		defer func() {
			if recover() != nil {
				panic("another")
			}
		}()
		return next.Do(ctx)
	})},
	"loses permits to panics": {"what is held is released when the operation panics", func() middleware.Policy {
		return middleware.PolicyFunc((&semaphore{free: 8}).leaky)
	}},
	"loses permits to Goexit": {"what is held is released when the operation calls Goexit", func() middleware.Policy {
		return middleware.PolicyFunc((&semaphore{free: 8}).leaky)
	}},
	"loses permits to cancellation": {"what is held is released when the caller cancels", func() middleware.Policy {
		s := &semaphore{free: 8}
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			if err := s.take(next); err != nil {
				return err
			}
			err := next.Do(ctx)
			if ctx.Err() == nil {
				s.give()
			}
			return err
		})
	}},
	"defers cancel": {"the context of a streamed result lives until its end", policy(func(ctx context.Context, next middleware.Next) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return next.Do(ctx)
	})},
	"never cancels": {"the context of a streamed result lives until its end", policy(func(ctx context.Context, next middleware.Next) error {
		var lost struct{ cancel context.CancelFunc }
		ctx, lost.cancel = context.WithCancel(ctx)
		return next.Do(ctx)
	})},
	"leaves a goroutine": {"a success reaches the caller", policy(func(ctx context.Context, next middleware.Next) error {
		go func() { <-make(chan struct{}) }()
		return next.Do(ctx)
	})},
	"makes rejections by hand": {"what is held is released when the operation panics", func() middleware.Policy {
		s := &semaphore{free: 8}
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			if s.take(next) != nil {
				return &middleware.Rejection{Reason: middleware.ErrOpen}
			}
			return next.Do(ctx)
		})
	}},
}

func policy(f middleware.PolicyFunc) func() middleware.Policy {
	return func() middleware.Policy { return f }
}

// A semaphore is a bulkhead that its policies misuse.
type semaphore struct {
	mu   sync.Mutex
	free int
}

func (s *semaphore) take(next middleware.Next) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return next.Reject(middleware.Rejection{Policy: "semaphore", Reason: middleware.ErrRateLimited})
	}
	s.free--
	return nil
}

func (s *semaphore) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
}

func (s *semaphore) leaky(ctx context.Context, next middleware.Next) error {
	if err := s.take(next); err != nil {
		return err
	}
	err := next.Do(ctx)
	s.give()
	return err
}

const brokenPolicy = "TIDEGATE_BROKEN_POLICY"

// TestBrokenPolicy is the child of TestSuiteFindsBrokenPolicies.
func TestBrokenPolicy(t *testing.T) {
	name, ok := os.LookupEnv(brokenPolicy)
	if !ok {
		return
	}
	middlewaretest.TestPolicy(t, broken[name].policy)
}

func TestSuiteFindsBrokenPolicies(t *testing.T) {
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pattern := "^TestBrokenPolicy$/^" + strings.ReplaceAll(b.promise, " ", "_") + "$"
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+pattern)
			cmd.Env = append(os.Environ(), brokenPolicy+"="+name)
			out, err := cmd.CombinedOutput()
			if _, ok := errors.AsType[*exec.ExitError](err); !ok {
				t.Fatalf("the suite passed a policy that is broken: %v\n%s", err, out)
			}
			if !strings.Contains(string(out), strings.ReplaceAll(b.promise, " ", "_")) {
				t.Errorf("the suite does not name the promise:\n%s", out)
			}
		})
	}
}
