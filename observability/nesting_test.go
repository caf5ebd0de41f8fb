package observability_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A chain in a chain counts and draws its own attempts.
func TestAttemptsOfAChainInAChain(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	outer, inner := middleware.NewChain("outer", o), middleware.NewChain("inner", o)
	_ = outer.Do(t.Context(), func(ctx context.Context) error {
		return errors.Join(inner.Do(ctx, succeed), inner.Do(ctx, succeed))
	})
	for name, want := range map[string]string{"outer": "1", "inner": "1"} {
		for _, s := range r.named(name) {
			if !has(s.Attributes, "tidegate.attempts", want) {
				t.Errorf("%s has %s", name, text(s.Attributes))
			}
		}
	}
	if n := len(r.named("attempt")); n != 3 {
		t.Errorf("%d attempts, want 3:\n%s", n, r.picture())
	}
	if n := len(r.named("inner")); n != 2 || r.named("inner")[0].Parent.SpanID() != r.span(t, "outer").SpanContext.SpanID() {
		t.Errorf("got\n%s", r.picture())
	}
}

// The attempts of a call that is made again are counted from 1 again.
func TestAttemptsOfAChainInARepeatedAttempt(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	retry := func() middleware.Policy {
		return policies.NewRetry(policies.RetryConfig{Attempts: 2, NestedAttempts: 2, Delay: 1})
	}
	outer, inner := middleware.NewChain("outer", o, retry()), middleware.NewChain("inner", o, retry())
	fail := func(context.Context) error { return codedError{503} }
	transport := transports.New(o.Transport(respond(503, http.NoBody)), inner)
	_ = outer.Do(t.Context(), func(ctx context.Context) error {
		_, err := transport.RoundTrip(request(t, http.MethodGet, "http://example.com").WithContext(ctx))
		return errors.Join(err, inner.Do(ctx, fail), fail(ctx))
	})
	count := map[string]int{}
	for _, s := range slices.Concat(r.named("GET"), r.named("attempt")) {
		line := s.Name
		for _, a := range s.Attributes {
			if a.Key == "tidegate.attempt" || a.Key == "http.request.resend_count" {
				line += " " + a.Value.String()
			}
		}
		count[line]++
	}
	want := map[string]int{"GET 1": 2, "GET 2 1": 2, "attempt 1": 2 + 1, "attempt 2": 2 + 1}
	if !maps.Equal(count, want) {
		t.Errorf("got %v, want %v:\n%s", count, want, r.picture())
	}
}

// A chain among the policies of another one, as the one of a key: the operation is an attempt of
// both, and has one row.
func TestAttemptsOfAChainAmongThePolicies(t *testing.T) {
	for _, row := range []struct {
		name string
		row  string
		do   func(context.Context, *observability.Observer, *middleware.Chain) error
	}{
		{"a function", "attempt", func(ctx context.Context, _ *observability.Observer, c *middleware.Chain) error {
			n := 0
			return c.Do(ctx, func(context.Context) error {
				if n++; n == 1 {
					return codedError{503}
				}
				return nil
			})
		}},
		{"requests", "GET", func(ctx context.Context, o *observability.Observer, c *middleware.Chain) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com", nil)
			if err != nil {
				return err
			}
			resp, err := transports.New(o.Transport(&script{{0, 503}, {0, 200}}), c).RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				o := r.observer()
				keyed := policies.NewKeyed(policies.KeyedConfig{}, func(string) *middleware.Chain { return middleware.NewChain("key", o) })
				waits := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
					next.Emit(ctx, middleware.Event{Kind: middleware.Waited, Policy: "p", Wait: time.Second})
					return next.Do(ctx)
				})
				chain := middleware.NewChain("x", o, policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Jitter: -1}), keyed, waits)
				around := middleware.NewChain("around", o)
				if err := around.Do(t.Context(), func(ctx context.Context) error { return row.do(ctx, o, chain) }); err != nil {
					t.Fatal(err)
				}
				for _, s := range r.spans.GetSpans() {
					if s.Name == "x" && (!has(s.Attributes, "tidegate.attempts", "2") || !has(s.Attributes, "tidegate.wait.duration", "3")) {
						t.Errorf("the call has %s", text(s.Attributes))
					}
				}
				rows := slices.DeleteFunc(r.named(row.row), func(s tracetest.SpanStub) bool { return has(s.Attributes, "tidegate.chain.name", "around") })
				if len(rows) != 2 || !has(rows[0].Attributes, "tidegate.attempt", "1") || !has(rows[1].Attributes, "tidegate.attempt", "2") ||
					len(r.spans.GetSpans()) != 2+1+2+2+2 { // two around, the call, two of the key, two waits
					t.Errorf("got\n%s", r.picture())
				}
				if got := r.measured(t, "tidegate.attempt.duration"); len(got) != 5 {
					t.Errorf("measured %q, want a failure and a success of each chain, and one around", got)
				}
			})
		})
	}
}
