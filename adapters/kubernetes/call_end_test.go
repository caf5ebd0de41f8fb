package kubernetes_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestTheCallersOwnEndIsIgnoredAndNotRepeated(t *testing.T) {
	for name, row := range map[string]struct {
		limit func(context.Context) (context.Context, context.CancelFunc)
		want  error
	}{
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded},
	} {
		for _, wrapped := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(hang)
					seen := &recorder{}
					chain := middleware.NewChain("kube", seen)
					c := clientFor(t, s.config())
					if wrapped {
						c = s.connect(t, chain)
					}
					ctx, cancel := row.limit(t.Context())
					defer cancel()
					start := time.Now()
					err := adapter.Do(ctx, chain, adapter.Get, func(ctx context.Context) error { return calls["get"](ctx, c) })
					if !errors.Is(err, row.want) || errors.Is(err, middleware.ErrTimeout) || time.Since(start) != time.Second {
						t.Errorf("%v after %v", err, time.Since(start))
					}
					if v := seen.one(t).verdict; v.Class != middleware.Ignored || v.Retry {
						t.Errorf("%+v", v)
					}
					s.wantRequests(t, 1)
				})
			})
		}
	}
}

// An error of the network is nothing to go by either, once the caller has left.
func TestTheCallersOwnEndCountsAndNotWhatItLeftBehind(t *testing.T) {
	for _, left := range []error{
		&net.OpError{Op: "dial", Net: "tcp", Err: context.Canceled}, &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed},
	} {
		seen := &recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		if err := adapter.Do(ctx, middleware.NewChain("kube", seen), adapter.Get, func(context.Context) error { cancel(); return left }); !errors.Is(err, left) {
			t.Error(err)
		}
		if v := seen.one(t).verdict; v.Class != middleware.Ignored || v.Retry {
			t.Errorf("%v: %+v", left, v)
		}
	}
}

func TestATimeLimitOfTheChainInDo(t *testing.T) {
	for _, row := range []struct {
		name  string
		dial  bool // it passes before there is a connection
		verb  adapter.Verb
		call  string
		retry bool
	}{
		{"no connection yet, create", true, adapter.Create, "create", true},
		{"no connection yet, delete", true, adapter.Delete, "delete", true},
		{"no connection yet, get", true, adapter.Get, "get", true},
		{"no answer, create", false, adapter.Create, "create", false},
		{"no answer, delete", false, adapter.Delete, "delete", false},
		{"no answer, get", false, adapter.Get, "get", true},
	} {
		for _, wrapped := range []bool{true, false} {
			name := row.name
			if !wrapped {
				name += ", not wrapped"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(hang)
					seen := &recorder{}
					chain := middleware.NewChain("kube", repeating(3), seen, policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
					config, dials := s.config(), 0
					if row.dial {
						config.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
							dials++
							<-r.Context().Done()
							return nil, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
						})
					}
					c := clientFor(t, config)
					if wrapped {
						c = clientFor(t, adapter.Wrap(config, chain))
					}
					err := adapter.Do(t.Context(), chain, row.verb, func(ctx context.Context) error { return calls[row.call](ctx, c) })
					if !errors.Is(err, middleware.ErrTimeout) {
						t.Error(err)
					}
					want := 1
					if row.retry {
						want = 3
					}
					runs := seen.take()
					if len(runs) != want {
						t.Errorf("%d runs, want %d", len(runs), want)
					}
					for _, one := range runs {
						if v := one.verdict; v.Class != middleware.Failure || v.Retry != row.retry {
							t.Errorf("%+v", v)
						}
					}
					if row.dial {
						s.wantRequests(t, 0)
						if dials != want {
							t.Errorf("%d dials, want %d", dials, want)
						}
					} else {
						s.wantRequests(t, want)
					}
				})
			})
		}
	}
}

// What the server has said is what counts, though nobody may wait for it any more.
func TestAnAnswerCountsAlthoughTheContextHadEnded(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault *fault
		class middleware.Class
		is    func(error) bool
	}{
		{"throttled", fairness("1"), middleware.Throttled, apierrors.IsTooManyRequests},
		{"unavailable", unavailable(""), middleware.Failure, apierrors.IsServiceUnavailable},
		{"not found", nil, middleware.Success, apierrors.IsNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(row.fault)
				seen := &recorder{}
				chain := middleware.NewChain("kube", seen)
				c := s.connect(t, chain)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := adapter.Do(ctx, chain, adapter.Get, func(ctx context.Context) error {
					defer cancel()
					return calls["get"](ctx, c)
				})
				if !row.is(err) {
					t.Error(err)
				}
				if v := seen.one(t).verdict; v.Class != row.class {
					t.Errorf("%+v, want %v", v, row.class)
				}
				s.wantRequests(t, 1)
			})
		})
	}
}

// net/http gives the cause of the end, and not the error of the dial.
func TestATimeLimitPassesWhileNetHTTPDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		config := serve(t, newAPI()).config()
		config.Transport = &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Second): // of a net.Dialer
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}}
		chain := middleware.NewChain("kube", repeating(3), policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		c := clientFor(t, adapter.Wrap(config, chain))
		err := adapter.Do(t.Context(), chain, adapter.Create, func(ctx context.Context) error { return makeGenerated(ctx, c) })
		if !errors.Is(err, middleware.ErrTimeout) || dials.Load() != 3 {
			t.Errorf("%v after %d dials, want 3", err, dials.Load())
		}
		time.Sleep(time.Minute)
	})
}
