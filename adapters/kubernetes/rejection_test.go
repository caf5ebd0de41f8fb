package kubernetes_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestK7AWatchThatHangsEndsWithAnError(t *testing.T) {
	for name, opts := range map[string][]adapter.Option{"client-go repeats": nil, "the chain repeats": {adapter.WithRetries()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(hang)
				c := s.connect(t, middleware.NewChain("kube", repeating(3), policies.NewTimeout(policies.TimeoutConfig{Limit: 100 * time.Millisecond})), opts...)
				start := time.Now()
				err := calls["watch"](t.Context(), c)
				if !errors.Is(err, middleware.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				if utilnet.IsTimeout(err) {
					t.Error("the error says that it is a time-out")
				}
				s.wantRequests(t, 1)
			})
		})
	}
}

func TestK7ARejectionIsNeitherRepeatedNorHidden(t *testing.T) {
	brokenBy := func(last error) func() middleware.Policy {
		return func() middleware.Policy {
			return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				if next.Do(ctx) == nil {
					return errors.New("the request went well")
				}
				return next.Reject(middleware.Rejection{Policy: "budget", Reason: middleware.ErrBudgetExhausted, Err: last})
			})
		}
	}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	for _, row := range []struct {
		name     string
		policy   func() middleware.Policy
		want     error
		requests int
	}{
		{"open", func() middleware.Policy {
			b := policies.NewBreaker(policies.BreakerConfig{})
			b.ForceOpen()
			return b
		}, middleware.ErrOpen, 0},
		{"rate limit", func() middleware.Policy {
			return full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 1}))
		}, middleware.ErrRateLimited, 0},
		{"bulkhead", func() middleware.Policy {
			return middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
				return next.Reject(middleware.Rejection{Policy: "bulkhead", Reason: middleware.ErrBulkheadFull})
			})
		}, middleware.ErrBulkheadFull, 0},
		{"after a reset", brokenBy(reset), middleware.ErrBudgetExhausted, 1},
		{"after a reset, in words", brokenBy(errors.New("read tcp: connection reset by peer")), middleware.ErrBudgetExhausted, 1},
		{"after the end of a connection", brokenBy(io.EOF), middleware.ErrBudgetExhausted, 1},
		{"after an unexpected end", brokenBy(io.ErrUnexpectedEOF), middleware.ErrBudgetExhausted, 1},
		{"after a closed connection", brokenBy(net.ErrClosed), middleware.ErrBudgetExhausted, 1},
		{"after GOAWAY", brokenBy(errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1")), middleware.ErrBudgetExhausted, 1},
		{"after a lost connection", brokenBy(errors.New("http2: client connection lost")), middleware.ErrBudgetExhausted, 1},
		{"after a broken connection", brokenBy(errors.New("http: can't write HTTP request on broken connection")), middleware.ErrBudgetExhausted, 1},
		{"after a time-out", brokenBy(os.ErrDeadlineExceeded), middleware.ErrBudgetExhausted, 1},
		{"after refused", brokenBy(syscall.ECONNREFUSED), middleware.ErrBudgetExhausted, 1},
	} {
		for _, call := range []string{"watch", "get", "list", "create"} {
			for name, opts := range map[string][]adapter.Option{"client-go repeats": nil, "the chain repeats": {adapter.WithRetries()}} {
				t.Run(row.name+"/"+call+"/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := serve(t, newAPI())
						s.always(unavailable(""))
						policy := row.policy()
						tries := 0
						count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { tries++; return next.Do(ctx) })
						start := time.Now()
						err := calls[call](t.Context(), s.connect(t, middleware.NewChain("kube", count, policy), opts...))
						var rejection *middleware.Rejection
						if !errors.Is(err, row.want) || !errors.As(err, &rejection) || rejection.Chain != "kube" {
							t.Errorf("%T: %v", err, err)
						}
						if tries != 1 || time.Since(start) != 0 {
							t.Errorf("%d tries in %v", tries, time.Since(start))
						}
						s.wantRequests(t, row.requests)
						if err == nil {
							return
						}
						var temporary interface{ Temporary() bool }
						if errors.As(err, &temporary) && temporary.Temporary() {
							t.Errorf("%v says that it is temporary", err)
						}
						if call == "watch" && (utilnet.IsTimeout(err) || utilnet.IsProbableEOF(err)) {
							t.Errorf("client-go would hide %v", err)
						}
						if strings.Contains(err.Error(), "connection reset by peer") || utilnet.IsConnectionReset(err) || utilnet.IsHTTP2ConnectionLost(err) {
							t.Errorf("client-go would repeat after %v", err)
						}
					})
				})
			}
		}
	}
}

// full returns a policy that has let its last call through.
func full(t *testing.T, p middleware.Policy) middleware.Policy {
	t.Helper()
	if err := middleware.NewChain("before", p).Do(context.Background(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return p
}

// A bulkhead whose places others have, in the chain itself.
func TestK7ABulkheadThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.always(hang)
		c := s.connect(t, middleware.NewChain("kube", policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- calls["get"](ctx, c) }()
		synctest.Wait()
		for _, call := range []string{"watch", "get", "create"} {
			if err := calls[call](t.Context(), c); !errors.Is(err, middleware.ErrBulkheadFull) {
				t.Errorf("%s: %v", call, err)
			}
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.wantRequests(t, 1)
	})
}

// Only a refusal: who asks about other calls, or time limits, is told what they are.
func TestK7TheRefusalOfAWatchIsA429ToClientGo(t *testing.T) {
	open := policies.NewBreaker(policies.BreakerConfig{Timeout: 29500 * time.Millisecond})
	for _, row := range []struct {
		name   string
		call   string
		policy middleware.Policy
		is     bool
		delay  int
	}{
		{"watch, open", "watch", open, true, 30},
		{"get, open", "get", open, false, 0},
		{"follow, open", "follow", open, false, 0},
		{"watch from the first object on, open", "watch all", open, false, 0},
		{"watch, out of time", "watch", policies.NewTimeout(policies.TimeoutConfig{}), false, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(hang)
				open.Reset()
				for open.State() == policies.Closed {
					middleware.NewChain("before", open).Do(t.Context(), func(context.Context) error { return io.EOF })
				}
				err := calls[row.call](t.Context(), s.connect(t, middleware.NewChain("kube", row.policy)))
				delay, _ := apierrors.SuggestsClientDelay(err)
				if apierrors.IsTooManyRequests(err) != row.is || delay != row.delay {
					t.Errorf("429 %v, in %d s: %v", apierrors.IsTooManyRequests(err), delay, err)
				}
			})
		})
	}
}
