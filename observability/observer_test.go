package observability_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

func succeed(context.Context) error { return nil }

func fail503(context.Context) error { return codedError{503} }

// emit returns a policy that emits the events, then lets the call through.
func emit(events ...middleware.Event) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		for _, e := range events {
			next.Emit(ctx, e)
		}
		return next.Do(ctx)
	})
}

func TestAnObserverIsAPolicy(t *testing.T) {
	for name, newObserver := range map[string]func() *observability.Observer{
		"off":     func() *observability.Observer { return new(observability.Observer) },
		"history": func() *observability.Observer { return observability.New() },
		"on":      func() *observability.Observer { return newRecorder().observer() },
	} {
		t.Run(name, func(t *testing.T) {
			middlewaretest.TestPolicy(t, func() middleware.Policy { return newObserver() })
		})
	}
}

type typedError struct{ kind string }

func (typedError) Error() string       { return canary }
func (e typedError) ErrorType() string { return e.kind }

type codedError struct{ code int }

func (codedError) Error() string     { return canary }
func (e codedError) StatusCode() int { return e.code }

func TestOutcome(t *testing.T) {
	judged := func(class middleware.Class, reason string) error {
		return middleware.Judged(errors.New(canary), middleware.Verdict{Class: class, Reason: reason})
	}
	for _, row := range []struct {
		name          string
		err           error
		outcome, kind string // kind is error.type
		metric        string // error.type of metrics, unless it is the same
	}{
		{"success", nil, "success", "", ""},
		{"a success that carries an error", judged(middleware.Success, "status_4xx"), "success", "", ""},
		{"a failure that nobody judged", errors.New(canary), "failure", "*errors.errorString", "_OTHER"},
		{"wrapped", fmt.Errorf("more: %w", errors.New(canary)), "failure", "*errors.errorString", "_OTHER"},
		{"with a type of its own", fmt.Errorf("more: %w", typedError{"quota"}), "failure", "quota", "_OTHER"},
		{"with an empty type", typedError{""}, "failure", "github.com/tidegate-go/tidegate/observability_test.typedError", "_OTHER"},
		{"with a status", fmt.Errorf("more: %w", codedError{502}), "failure", "502", ""},
		{"with a status of 0", codedError{0}, "failure", "github.com/tidegate-go/tidegate/observability_test.codedError", "_OTHER"},
		{"with a status that is none", codedError{7}, "failure", "7", "_OTHER"},
		{"with a status that is none either", codedError{600}, "failure", "600", "_OTHER"},
		{"no such host", &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, "failure", "name_resolution", "_OTHER"},
		{"nobody listens", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "failure", "connection_refused", "_OTHER"},
		{"cut off", fmt.Errorf("more: %w", syscall.ECONNRESET), "failure", "connection_reset", "_OTHER"},
		{"cut off while writing", syscall.EPIPE, "failure", "connection_reset", "_OTHER"},
		{"cut short", io.ErrUnexpectedEOF, "failure", "unexpected_eof", "_OTHER"},
		{"an unknown authority", &tls.CertificateVerificationError{Err: errors.New(canary)}, "failure", "certificate", "_OTHER"},
		{"some other network failure", &net.OpError{Op: "dial", Err: errors.New(canary)}, "failure", "*net.OpError", "_OTHER"},
		{"with a reason", judged(middleware.Failure, "connect"), "failure", "connect", ""},
		{"with a type and a reason", middleware.Judged(typedError{"quota"}, middleware.Verdict{Class: middleware.Failure, Reason: "status_5xx"}), "failure", "quota", "status_5xx"},
		{"throttled", judged(middleware.Throttled, "throttled"), "failure", "throttled", ""},
		{"it never left the process", judged(middleware.Ignored, "malformed_request"), "failure", "malformed_request", ""},
		{"somebody further in cancelled", context.Canceled, "failure", "canceled", ""},
		{"and an adapter says so", judged(middleware.Ignored, "canceled"), "cancelled", "", ""},
		{"and an adapter says so in its own word", middleware.Judged(context.Canceled, middleware.Verdict{Class: middleware.Ignored, Reason: "gone"}), "cancelled", "", ""},
		{"a deadline further in", context.DeadlineExceeded, "failure", "deadline_exceeded", ""},
		{"refused by another chain", &middleware.Rejection{Reason: middleware.ErrOpen}, "rejected", "circuit_open", ""},
		{"refused by a breaker that recovers", &middleware.Rejection{Reason: middleware.ErrRecovering}, "rejected", "recovering", ""},
		{"refused while it probes", &middleware.Rejection{Reason: middleware.ErrTooManyProbes}, "rejected", "probe_limit", ""},
		{"refused by a rate limit", &middleware.Rejection{Reason: middleware.ErrRateLimited}, "rejected", "rate_limited", ""},
		{"refused by a bulkhead", &middleware.Rejection{Reason: middleware.ErrBulkheadFull}, "rejected", "bulkhead_full", ""},
		{"refused by an adaptive limit", &middleware.Rejection{Reason: middleware.ErrConcurrencyLimited}, "rejected", "concurrency_limited", ""},
		{"refused by a throttle", &middleware.Rejection{Reason: middleware.ErrThrottled}, "rejected", "client_throttled", ""},
		{"disturbed", middleware.Judged(typedError{"chaos"}, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "chaos"}), "failure", "chaos", ""},
		{"the alternative failed too", typedError{"alternative_failed"}, "failure", "alternative_failed", ""},
		{"refused by a budget", &middleware.Rejection{Reason: middleware.ErrBudgetExhausted}, "rejected", "budget_exhausted", ""},
		{"refused for lack of time", &middleware.Rejection{Reason: middleware.ErrDeadline}, "rejected", "deadline_too_short", ""},
		{"refused by a policy with a reason of its own", &middleware.Rejection{Reason: typedError{"maintenance"}}, "rejected", "maintenance", "_OTHER"},
		{"refused without a reason", &middleware.Rejection{}, "rejected", "rejected", "_OTHER"},
		{"timed out", &middleware.Rejection{Reason: middleware.ErrTimeout, Err: codedError{502}}, "timeout", "timeout", ""},
		{"no time for another attempt", &middleware.Rejection{Reason: middleware.ErrDeadline, Err: codedError{502}}, "failure", "502", ""},
		{"no time for another attempt after a failure of no kind", &middleware.Rejection{Reason: middleware.ErrDeadline, Err: errors.New(canary)}, "failure", "*errors.errorString", "_OTHER"},
		{"no time for another attempt after a timeout", &middleware.Rejection{
			Reason: middleware.ErrDeadline, Err: &middleware.Rejection{Reason: middleware.ErrTimeout},
		}, "timeout", "timeout", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRecorder()
			_ = middleware.NewChain("x", r.observer()).Do(t.Context(), func(context.Context) error { return row.err })
			s := r.span(t, "x")
			want := "attempts=1 chain.name=x"
			if row.kind != "" {
				want += " error.type=" + row.kind
			}
			want += " outcome=" + row.outcome + " policies=[]"
			if got := text(s.Attributes); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			red := row.outcome != "success" && row.outcome != "cancelled"
			if (s.Status.Code == codes.Error) != red || s.Status.Description != "" {
				t.Errorf("status %+v", s.Status)
			}
			if row.metric == "" {
				row.metric = row.kind
			}
			want = "chain.name=x outcome=" + row.outcome
			if row.metric != "" {
				want = "chain.name=x error.type=" + row.metric + " outcome=" + row.outcome
			}
			if got := r.measured(t, "tidegate.operation.duration"); len(got) != 1 || got[0][:min(len(want)+1, len(got[0]))] != want+":" {
				t.Errorf("measured %q, want %q", got, want)
			}
		})
	}
}

func TestACallThatPanicsEndsItsSpan(t *testing.T) {
	for name, op := range map[string]func(context.Context) error{
		"panic":  func(context.Context) error { panic("boom") },
		"Goexit": func(context.Context) error { runtime.Goexit(); return nil },
	} {
		for kind, call := range map[string]func(context.Context, *middleware.Chain) error{
			"plain": func(ctx context.Context, c *middleware.Chain) error { return c.Do(ctx, op) },
			"streamed": func(ctx context.Context, c *middleware.Chain) error {
				_, _, err := middleware.Stream(ctx, c, func(ctx context.Context) (int, error) { return 0, op(ctx) }, nil)
				return err
			},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				r := newRecorder()
				chain := middleware.NewChain("x", r.observer())
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { _ = recover() }()
					_ = call(t.Context(), chain)
				})
				wg.Wait()
				if s := r.span(t, "x"); !has(s.Attributes, "error.type", "panic") || !has(s.Attributes, "tidegate.outcome", "failure") {
					t.Errorf("got %s", text(s.Attributes))
				}
			})
		}
	}
}

// A trace with thousands of events helps nobody, and the SDK would keep the last
// ones only.
func TestEventsOfOneCallAreBounded(t *testing.T) {
	r := newRecorder()
	chain := middleware.NewChain("x", r.observer(),
		policies.NewRetry(policies.RetryConfig{Attempts: 150, Delay: 1, Jitter: -1, MaxDelay: 1, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})}),
		emit(middleware.Event{Kind: middleware.Waited, Policy: "p", Wait: time.Second}))
	_ = chain.Do(t.Context(), func(context.Context) error { return io.ErrUnexpectedEOF })
	s := r.span(t, "x")
	rows := len(r.named("p wait"))
	if n := len(r.named("attempt")); n != 100 {
		t.Errorf("%d attempts have a span, want the first 100", n)
	}
	if len(s.Events)+rows != 100 {
		t.Errorf("%d events and %d rows, want 100 in all", len(s.Events), rows)
	}
	// 150 waits, 149 retries scheduled, one stop.
	if !has(s.Attributes, "tidegate.events.dropped", "200") || !has(s.Attributes, "tidegate.attempts", "150") {
		t.Errorf("got %s", text(s.Attributes))
	}
}

// Names of operations should be few. When they are not, the observer forgets some
// and works on.
func TestNamesWithoutEnd(t *testing.T) {
	r := newRecorder()
	chain := middleware.NewChain("x", r.observer())
	const many = 1500
	for range 2 {
		for i := range many {
			ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: fmt.Sprint(i)})
			_ = chain.Do(ctx, succeed)
		}
	}
	for i, s := range slices.DeleteFunc(r.spans.GetSpans(), func(s tracetest.SpanStub) bool { return strings.HasSuffix(s.Name, " attempt") }) {
		if want := fmt.Sprint("x ", i%many); s.Name != want || !has(s.Attributes, "tidegate.operation", want[2:]) {
			t.Fatalf("span %d is %q %s, want %q", i, s.Name, text(s.Attributes), want)
		}
	}
}

func TestScopeOfATimeout(t *testing.T) {
	timeout := func(d time.Duration) middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{Limit: d}) }
	retry := policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Millisecond})
	for _, row := range []struct {
		name     string
		policies []middleware.Policy
		want     string
	}{
		{"no retry", []middleware.Policy{timeout(time.Second)}, "operation"},
		{"around the retry", []middleware.Policy{timeout(time.Second), retry}, "operation"},
		{"inside of the retry", []middleware.Policy{retry, timeout(time.Second)}, "attempt"},
		{"two with the same name", []middleware.Policy{timeout(time.Hour), retry, timeout(time.Second)}, "attempt"},
		{"two alike", []middleware.Policy{timeout(time.Second), retry, timeout(time.Second)}, ""},
		{"a policy of somebody else", []middleware.Policy{emit(middleware.Event{Kind: middleware.TimedOut, Policy: "p", Wait: time.Second})}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				chain := middleware.NewChain("x", append([]middleware.Policy{r.observer()}, row.policies...)...)
				_ = chain.Do(t.Context(), func(ctx context.Context) error {
					select {
					case <-ctx.Done():
					case <-time.After(time.Minute):
					}
					return ctx.Err()
				})
				var got []string
				for _, e := range r.span(t, "x").Events {
					if e.Name != "tidegate.timeout.exceeded" {
						continue
					}
					scope := ""
					for _, a := range e.Attributes {
						if a.Key == "tidegate.timeout.scope" {
							scope = a.Value.AsString()
						}
					}
					got = append(got, scope)
				}
				if got = slices.Compact(got); !slices.Equal(got, []string{row.want}) {
					t.Errorf("got %q, want %q", got, row.want)
				}
			})
		})
	}
}

// An observer also hears policies outside of it. They have no operation span to
// write on; the span around the call is the next best.
func TestEventsBeforeTheObserverGoToTheSpanAround(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	inner := middleware.NewChain("inner", emit(middleware.Event{Kind: middleware.RetryScheduled, Policy: "p", Attempt: 1}), o)
	outer := middleware.NewChain("outer", o)
	_ = outer.Do(t.Context(), func(ctx context.Context) error { return inner.Do(ctx, succeed) })
	s := r.span(t, "outer")
	if len(s.Events) != 1 || s.Events[0].Name != "tidegate.retry.scheduled" {
		t.Errorf("the events of the outer span are %v", s.Events)
	}
	if !has(s.Attributes, "tidegate.attempts", "1") {
		t.Errorf("a retry of the inner chain counts as one of the outer: %s", text(s.Attributes))
	}
	if s := r.span(t, "inner"); s.Parent.SpanID() != r.span(t, "outer").SpanContext.SpanID() || len(s.Events) != 0 {
		t.Errorf("the inner span is %+v", s)
	}
}

// Events that no call caused, or that come late, have no span.
func TestEventsOutsideOfCalls(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	late := make(chan context.Context, 1)
	chain := middleware.NewChain("x", o, breaker)
	_ = chain.Do(t.Context(), func(ctx context.Context) error {
		late <- ctx
		return nil
	})
	breaker.ForceOpen()
	chain.Emit(<-late, middleware.Event{Kind: middleware.Rejected, Policy: "p", Reason: "circuit_open"})
	if n := len(r.spans.GetSpans()); n != 2 || len(r.span(t, "x").Events)+len(r.span(t, "attempt").Events) != 0 {
		t.Errorf("got\n%s", r.picture())
	}
	if got := o.History(); len(got) != 2 || got[0].To != "forced_open" || got[0].TraceID.IsValid() {
		t.Errorf("the history is %+v", got)
	}
}

// The operation sees the span, so that its own spans and logs join the trace.
func TestTheOperationRunsInTheSpan(t *testing.T) {
	r := newRecorder()
	type key struct{}
	var inside trace.SpanContext
	ctx := context.WithValue(t.Context(), key{}, "value")
	_ = middleware.NewChain("x", r.observer()).Do(ctx, func(ctx context.Context) error {
		inside = trace.SpanContextFromContext(ctx)
		if ctx.Value(key{}) != "value" {
			t.Error("a value of the caller is lost")
		}
		return nil
	})
	if want := r.span(t, "x").SpanContext; !inside.Equal(want) {
		t.Errorf("the operation ran in %v, want %v", inside, want)
	}
}

func TestConcurrentCalls(t *testing.T) {
	r := newRecorder()
	o := r.observer(observability.WithHistory(8))
	chain := middleware.NewChain("x", o,
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Microsecond}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, Timeout: time.Microsecond}))
	const goroutines, calls = 8, 50
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range calls {
				ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: fmt.Sprint("op", i%5)})
				_ = chain.Do(ctx, func(context.Context) error {
					if (g+i)%3 == 0 {
						return nil
					}
					return codedError{500 + i%4}
				})
				_ = o.History()
			}
		})
	}
	wg.Wait()
	operations := 0
	for _, s := range r.spans.GetSpans() {
		if !s.Parent.IsValid() {
			operations++
		}
	}
	if operations != goroutines*calls {
		t.Errorf("%d operation spans, want %d", operations, goroutines*calls)
	}
	if n := len(o.History()); n != 8 {
		t.Errorf("%d records, want 8", n)
	}
}

// Concurrent attempts, as those of a hedge, share the record of their call.
func TestConcurrentAttempts(t *testing.T) {
	r := newRecorder()
	both := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = next.Do(ctx) })
		}
		wg.Wait()
		return nil
	})
	chain := middleware.NewChain("x", r.observer(), both, emit(middleware.Event{Kind: middleware.Waited, Policy: "p", Wait: time.Second}))
	_ = chain.Do(t.Context(), succeed)
	if s := r.span(t, "x"); !has(s.Attributes, "tidegate.wait.duration", "4") || len(r.named("p wait")) != 4 {
		t.Errorf("got %s", text(s.Attributes))
	}
}
