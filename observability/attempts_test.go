package observability_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// Each attempt of a function is a row of its own, as long and as red as it was.
func TestAttemptsOfAFunction(t *testing.T) {
	type attempt = func(context.Context) error
	takes := func(d time.Duration, err error) attempt {
		return func(ctx context.Context) error {
			select {
			case <-time.After(d):
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	retry := func() middleware.Policy { return policies.NewRetry(policies.RetryConfig{Delay: 100 * ms, Jitter: -1}) }
	for _, row := range []struct {
		name     string
		policies []middleware.Policy
		attempts []attempt
		options  []observability.Option
		want     string
	}{
		{"a success", nil, []attempt{takes(10*ms, nil)}, nil, `
x Put INTERNAL 10ms attempts=1 chain.name=x operation=Put outcome=success policies=[]
  Put attempt INTERNAL 10ms attempt=1 chain.name=x outcome=success
`},
		{"a success that carries an error", nil, []attempt{takes(10*ms, middleware.Judged(codedError{404}, middleware.Verdict{Class: middleware.Success}))}, nil, `
x Put INTERNAL 10ms attempts=1 chain.name=x operation=Put outcome=success policies=[]
  Put attempt INTERNAL 10ms attempt=1 chain.name=x outcome=success
`},
		{"a failure and a success", []middleware.Policy{retry()}, []attempt{takes(10*ms, codedError{503}), takes(20*ms, nil)}, nil, `
x Put INTERNAL 130ms attempts=2 chain.name=x operation=Put outcome=success policies=["retry"] wait.duration=0.1
  + 10ms tidegate.retry.scheduled attempt=1 error.type=503 policy.name=retry retry.delay=0.1 retry.delay_source=backoff
  Put attempt INTERNAL 10ms RED attempt=1 chain.name=x error.type=503 outcome=failure
  Put attempt INTERNAL 20ms attempt=2 chain.name=x outcome=success
`},
		{"an attempt that times out", []middleware.Policy{retry(), policies.NewTimeout(policies.TimeoutConfig{Limit: 50 * ms})},
			[]attempt{takes(time.Hour, nil), takes(20*ms, nil)}, nil, `
x Put INTERNAL 170ms attempts=2 chain.name=x operation=Put outcome=success policies=["retry","timeout"] wait.duration=0.1
  + 50ms tidegate.timeout.exceeded policy.name=timeout timeout.limit=0.05 timeout.scope=attempt
  + 50ms tidegate.retry.scheduled attempt=1 error.type=timeout policy.name=retry retry.delay=0.1 retry.delay_source=backoff
  Put attempt INTERNAL 50ms RED attempt=1 chain.name=x error.type=timeout outcome=timeout
  Put attempt INTERNAL 20ms attempt=2 chain.name=x outcome=success
`},
		{"a hedge, whose loser is not red", []middleware.Policy{policies.NewHedge(policies.HedgeConfig{Delay: 50 * ms})},
			[]attempt{takes(time.Hour, nil), takes(20*ms, nil)}, nil, `
x Put INTERNAL 70ms attempts=2 chain.name=x operation=Put outcome=success policies=["hedge"]
  + 50ms tidegate.hedge.started attempt=2 hedge.delay=0.05 policy.name=hedge
  + 70ms tidegate.hedge.won attempt=2 policy.name=hedge
  Put attempt INTERNAL 70ms attempt=1 chain.name=x outcome=cancelled
  Put attempt INTERNAL 20ms attempt=2 chain.name=x hedge=true outcome=success
`},
		{"off", []middleware.Policy{retry()}, []attempt{takes(10*ms, nil)},
			[]observability.Option{observability.WithAttemptSpans(observability.AttemptSpansOff)}, `
x Put INTERNAL 10ms attempts=1 chain.name=x operation=Put outcome=success policies=["retry"]
`},
		{"on", nil, []attempt{takes(10*ms, nil)},
			[]observability.Option{observability.WithAttemptSpans(observability.AttemptSpansOn)}, `
x Put INTERNAL 10ms attempts=1 chain.name=x operation=Put outcome=success policies=[]
  Put attempt INTERNAL 10ms attempt=1 chain.name=x outcome=success
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				chain := middleware.NewChain("x", append([]middleware.Policy{r.observer(row.options...)}, row.policies...)...)
				ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: "Put", Idempotent: true})
				_ = chain.Do(ctx, func(ctx context.Context) error { return row.attempts[middleware.Attempt(ctx)-1](ctx) })
				if got := "\n" + r.picture(); got != row.want {
					t.Errorf("got%s\nwant%s", got, row.want)
				}
			})
		})
	}
}

func TestAnAttemptThatPanicsIsSeen(t *testing.T) {
	unseen := newRecorder(sdktrace.WithSampler(sdktrace.NeverSample()))
	func() {
		defer func() { _ = recover() }()
		_ = middleware.NewChain("x", unseen.observer()).Do(t.Context(), func(context.Context) error { panic("boom") })
	}()
	if got := unseen.measured(t, "tidegate.attempt.duration"); len(got) != 1 || !strings.Contains(got[0], "error.type=panic outcome=failure") {
		t.Errorf("of one that nobody samples is measured %q", got)
	}
	r := newRecorder()
	func() {
		defer func() { _ = recover() }()
		_ = middleware.NewChain("x", r.observer()).Do(t.Context(), func(context.Context) error { panic("boom") })
	}()
	if s := r.span(t, "attempt"); !has(s.Attributes, "error.type", "panic") || s.Status.Code != codes.Error {
		t.Errorf("got %s", text(s.Attributes))
	}
	if got, want := r.measured(t, "tidegate.attempt.duration"), "chain.name=x error.type=panic outcome=failure: 1, sum"; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("measured %q, want %q", got, want)
	}
}

// What an attempt came to, though its caller had gone.
func TestAnAttemptWhoseCallerHasGone(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		late bool
		want string
	}{
		{"a success", nil, false, "success"},
		{"a success after the deadline", nil, true, "success"},
		{"a failure", codedError{503}, false, "cancelled"},
		{"a failure after the deadline", codedError{503}, true, "timeout"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_ = middleware.NewChain("x", r.observer()).Do(ctx, func(context.Context) error {
					if row.late {
						time.Sleep(time.Minute)
					}
					cancel()
					return row.err
				})
				if s := r.span(t, "attempt"); !has(s.Attributes, "tidegate.outcome", row.want) || (s.Status.Code == codes.Error) != (row.want == "timeout") {
					t.Errorf("got %v %s, want %s", s.Status, text(s.Attributes), row.want)
				}
			})
		})
	}
}

// Attempts are measured whether or not anybody samples them.
func TestAttemptsAreMeasuredWithoutATracer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := observability.New(observability.WithMeterProvider(r.meters))
		chain := middleware.NewChain("x", o, policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}))
		_ = chain.Do(t.Context(), func(ctx context.Context) error {
			time.Sleep(100 * ms)
			if middleware.Attempt(ctx) < 3 {
				return codedError{503}
			}
			return nil
		})
		if got, want := r.measured(t, "tidegate.attempt.duration"), []string{
			"chain.name=x error.type=503 outcome=failure: 2, sum 0.2", "chain.name=x outcome=success: 1, sum 0.1",
		}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := r.measured(t, "tidegate.operation.attempts"), []string{"chain.name=x outcome=success: 1, sum 3"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// An attempt that succeeded second is neither a success nor a failure.
func TestAnAttemptThatSucceedsSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		chain := middleware.NewChain("x", r.observer(), policies.NewHedge(policies.HedgeConfig{Delay: 50 * ms}))
		ctx := middleware.WithOperation(t.Context(), middleware.Operation{Idempotent: true})
		_, _ = middleware.Call(ctx, chain, func(ctx context.Context) (int, error) {
			time.Sleep(time.Duration(300/middleware.Attempt(ctx)) * ms)
			return 1, nil
		})
		synctest.Wait()
		if got, want := r.measured(t, "tidegate.attempt.duration"), []string{
			"chain.name=x outcome=cancelled: 1, sum 0.3", "chain.name=x outcome=success: 1, sum 0.15",
		}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, s := range r.named("attempt") {
			if late := s.EndTime.Sub(s.StartTime) == 300*ms; has(s.Attributes, "tidegate.outcome", "cancelled") != late || s.Status.Code == codes.Error {
				t.Errorf("got\n%s", r.picture())
			}
		}
	})
}

// Why no attempt followed is no matter once one did.
func TestARetryAroundARetry(t *testing.T) {
	r := newRecorder()
	retry := func() middleware.Policy { return policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 1}) }
	chain, n := middleware.NewChain("x", r.observer(), retry(), retry()), 0
	_ = chain.Do(t.Context(), func(context.Context) error {
		if n++; n < 3 {
			return codedError{503}
		}
		return nil
	})
	if s := r.span(t, "x"); strings.Contains(text(s.Attributes), "stop_reason") || !has(s.Attributes, "tidegate.attempts", "3") || len(s.Events) != 3 {
		t.Errorf("got\n%s", r.picture())
	}
}

// The trace id of the call that opened a breaker is on the row and the operation of each
// rejection.
func TestARejectionNamesTheCallThatOpenedTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := r.observer()
		chain := middleware.NewChain("x", o, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: time.Minute, MaxProbes: 1}))
		for range 4 {
			_ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} })
		}
		time.Sleep(time.Minute)
		end := make(chan struct{})
		go func() { _ = chain.Do(t.Context(), func(context.Context) error { <-end; return nil }) }()
		synctest.Wait()
		_ = chain.Do(t.Context(), succeed) // refused beside the probe
		close(end)
		synctest.Wait()
		opener := r.named("x")[1].SpanContext.TraceID().String()
		rows := r.named("breaker rejected")
		if len(rows) != 3 {
			t.Fatalf("%d rejections, want 3", len(rows))
		}
		for i, s := range rows {
			if !has(s.Attributes, "tidegate.breaker.opened_by", opener) {
				t.Errorf("rejection %d has %s, want %s", i, text(s.Attributes), opener)
			}
		}
		refused := 0
		for _, s := range r.named("x") {
			if has(s.Attributes, "tidegate.outcome", "rejected") {
				refused++
				if !has(s.Attributes, "tidegate.breaker.opened_by", opener) {
					t.Errorf("a refused operation has %s", text(s.Attributes))
				}
			}
		}
		if refused != 3 {
			t.Errorf("%d operations were refused, want 3", refused)
		}
		for _, record := range o.History() {
			if record.Kind == middleware.Rejected && record.Opener != opener {
				t.Errorf("the history says %q opened the breaker, want %s", record.Opener, opener)
			}
		}
	})
}

// The key of the operation, the instance of the dependency, is on its span.
func TestTheOperationTellsItsKey(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	transport := transports.New(o.Transport(respond(204, http.NoBody)), middleware.NewChain("x", o))
	if _, err := transport.RoundTrip(request(t, http.MethodGet, "http://user:secret@example.com:8080/a")); err != nil {
		t.Fatal(err)
	}
	if s := r.span(t, "x GET"); !has(s.Attributes, "tidegate.operation.key", "http://example.com:8080") {
		t.Errorf("got %s", text(s.Attributes))
	}
}

// Attempts that send requests have no row besides those of the requests.
func TestAttemptSpansOfRequests(t *testing.T) {
	for _, row := range []struct {
		name   string
		spans  observability.AttemptSpans
		client int
	}{
		{"auto", observability.AttemptSpansAuto, 1},
		{"on", observability.AttemptSpansOn, 1},
		{"off", observability.AttemptSpansOff, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRecorder()
			o := r.observer(observability.WithAttemptSpans(row.spans))
			transport := transports.New(o.Transport(respond(204, http.NoBody)), middleware.NewChain("x", o))
			if _, err := transport.RoundTrip(request(t, http.MethodGet, "http://example.com")); err != nil {
				t.Fatal(err)
			}
			if n := len(r.named("GET")); n != row.client || len(r.spans.GetSpans()) != 1+row.client {
				t.Errorf("got\n%s", r.picture())
			}
			for _, s := range r.named("GET") {
				if s.SpanKind != trace.SpanKindClient {
					t.Errorf("kind %v", s.SpanKind)
				}
			}
		})
	}
}
