package observability_test

import (
	"context"
	"errors"
	"fmt"
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
)

var _ middleware.Tracer = (*observability.Observer)(nil)

// Every state that a breaker can be in, brought about by hand as far as it can be,
// is seen in the history, in the metrics and, on the call that it happens in, in the
// spans.
func TestEveryStateIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := r.observer()
		var seen []middleware.Event
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, RecoveryBackoff: 1})
		chain := middleware.NewChain("x", o, breaker, middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.Transition {
				seen = append(seen, e)
			}
		}))
		fail := func() { _ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} }) }
		pass := func() {
			time.Sleep(time.Second)
			_ = chain.Do(t.Context(), succeed)
		}
		for _, act := range []func(){
			breaker.ForceOpen, breaker.ForceClose, breaker.Disable, breaker.ObserveOnly, fail, pass, breaker.Release, fail, pass, fail, breaker.Reset,
		} {
			act()
		}
		want := []string{
			"closed forced_open: forced", "forced_open forced_closed: forced", "forced_closed disabled: disabled",
			"disabled observed_closed: observe_only", "observed_closed observed_open: consecutive_failures",
			"observed_open observed_half_open: delay_elapsed", "observed_half_open observed_closed: probe_succeeded",
			"observed_closed closed: released", "closed open: consecutive_failures", "open half_open: delay_elapsed",
			"half_open closed: probe_succeeded", "closed open: consecutive_failures", "open closed: reset",
		}

		var history []string
		for _, record := range o.History() {
			if record.Kind == middleware.Transition {
				history = append(history, record.From+" "+record.To+": "+record.Reason)
			}
		}
		if !slices.Equal(history, want) {
			t.Errorf("the history has\n%q, want\n%q", history, want)
		}

		counts := map[string]int{}
		var points []string
		for _, w := range want {
			words := strings.Fields(strings.ReplaceAll(w, ":", ""))
			counts[fmt.Sprintf("breaker.state.from=%s breaker.state.to=%s chain.name=x policy.name=breaker", words[0], words[1])]++
		}
		for point, n := range counts {
			points = append(points, fmt.Sprintf("%s: %d", point, n))
		}
		slices.Sort(points)
		if got := r.measured(t, "tidegate.breaker.transitions"); !slices.Equal(got, points) {
			t.Errorf("measured\n%q, want\n%q", got, points)
		}

		// Those of calls are on their spans already, those by hand have no call: all of
		// them again, in one.
		transitions := func() (all []string) {
			for _, s := range r.spans.GetSpans() {
				for _, e := range s.Events {
					if e.Name != "tidegate.breaker.state_changed" {
						continue
					}
					words := map[string]string{}
					for _, a := range e.Attributes {
						words[string(a.Key)] = a.Value.AsString()
					}
					all = append(all, words["tidegate.breaker.state.from"]+" "+words["tidegate.breaker.state.to"]+": "+words["tidegate.reason"])
				}
			}
			return all
		}
		byCalls := slices.Concat(want[4:7], want[8:12])
		if got := transitions(); !slices.Equal(got, byCalls) {
			t.Errorf("the spans of the calls have\n%q, want\n%q", got, byCalls)
		}
		r.spans.Reset()
		_ = middleware.NewChain("again", o, emit(seen...)).Do(t.Context(), succeed)
		if got := transitions(); !slices.Equal(got, want) {
			t.Errorf("the span has\n%q, want\n%q", got, want)
		}
	})
}

// A health check belongs to no call: it is in the history and in the metrics, and is a
// trace of its own, with a link to the call that opened the breaker.
func TestAHealthCheckIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := r.observer()
		checks := 0
		breaker := policies.NewBreaker(policies.BreakerConfig{
			FailureThreshold: 1, Timeout: time.Second, RecoveryTime: time.Minute, HealthInterval: time.Second, Key: "eu",
			HealthCheck: func(context.Context) error {
				time.Sleep(100 * ms)
				if checks++; checks <= 3 {
					return codedError{503}
				}
				return nil
			},
		})
		chain := middleware.NewChain("x", o, breaker)
		_ = chain.Do(t.Context(), func(context.Context) error { return errors.New(canary) })
		time.Sleep(10 * time.Second)
		if got, want := brief(o.History()), `x/breaker transition consecutive_failuresopen 1x
x/breaker health_check_failed  3x
x/breaker health_check_passed  1x
x/breaker transition health_check_passedclosed 1x
`; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if got := o.History()[1]; got.ErrorType != "503" || got.Key != "eu" || got.TraceID.IsValid() {
			t.Errorf("the failed checks are %+v", got)
		}
		if got, want := r.measured(t, "tidegate.policy.decisions"), []string{
			"chain.name=x decision=health_check_failed policy.name=breaker policy.type=breaker: 3",
			"chain.name=x decision=health_check_passed policy.name=breaker policy.type=breaker: 1",
		}; !slices.Equal(got, want) {
			t.Errorf("measured %q, want %q", got, want)
		}
		probes, opener := r.named("breaker probe"), r.span(t, "x").SpanContext
		if len(probes) != 4 {
			t.Fatalf("%d probes have a span, want 4", len(probes))
		}
		for i, s := range probes {
			failed := i < 3
			if red := s.Status.Code == codes.Error; red != failed {
				t.Errorf("check %d: red is %t", i, red)
			}
			if has(s.Attributes, "error.type", "503") != failed || !has(s.Attributes, "tidegate.policy.key", "eu") || !has(s.Attributes, "tidegate.policy.name", "breaker") ||
				!has(s.Attributes, "tidegate.breaker.opened_by", opener.TraceID().String()) || !has(s.Attributes, "tidegate.chain.name", "x") {
				t.Errorf("check %d has %s", i, text(s.Attributes))
			}
			if s.Parent.IsValid() || s.SpanContext.TraceID() == opener.TraceID() || s.SpanKind != trace.SpanKindInternal {
				t.Errorf("check %d is no trace of its own: %+v", i, s)
			}
			if len(s.Links) != 1 || !s.Links[0].SpanContext.Equal(opener) {
				t.Errorf("check %d has the links %+v, want one to %v", i, s.Links, opener)
			}
			if took := s.EndTime.Sub(s.StartTime); took != 100*ms {
				t.Errorf("check %d took %s", i, took)
			}
		}
	})
}

// A breaker that recovers refuses some calls, and one that observes would.
func TestRefusalsOfARampAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, want := range map[string]string{"by itself": "rejected_recovering", "observing": "would_reject"} {
			r := newRecorder()
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, Ramp: time.Hour})
			if name == "observing" {
				breaker.ObserveOnly()
			}
			chain := middleware.NewChain("x", r.observer(), breaker)
			_ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} })
			time.Sleep(time.Second)
			const calls = 10
			refused := 0
			for range 1 + calls {
				if err := chain.Do(t.Context(), succeed); errors.Is(err, middleware.ErrRecovering) {
					refused++
				}
			}
			points := r.measured(t, "tidegate.policy.decisions")
			if len(points) != 1 || !strings.HasPrefix(points[0], "chain.name=x decision="+want+" policy.name=breaker policy.type=breaker: ") {
				t.Errorf("%s: measured %q", name, points)
			}
			rows, attempts := len(r.named("breaker rejected")), 0
			for _, s := range r.named("x") {
				if has(s.Attributes, "tidegate.attempts", "1") {
					attempts++
				}
			}
			if rows != refused || attempts != 2+calls-refused || (refused == 0) != (name == "observing") {
				t.Errorf("%s: %d calls refused, %d rows, %d attempts", name, refused, rows, attempts)
			}
		}
	})
}

// Who asks a breaker why it is open finds the trace.
func TestABreakerNamesTheTrace(t *testing.T) {
	for name, sampler := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not": sdktrace.NeverSample()} {
		r := newRecorder(sdktrace.WithSampler(sampler))
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
		chain := middleware.NewChain("x", r.observer(), breaker)
		_ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} })
		want := ""
		if name == "sampled" {
			want = r.span(t, "x").SpanContext.TraceID().String()
		}
		if got := breaker.Status().Last.TraceID; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestTraceID(t *testing.T) {
	id, _ := trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
	span, _ := trace.SpanIDFromHex("b7ad6b7169203331")
	in := func(c trace.SpanContextConfig) context.Context {
		return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(c))
	}
	for _, row := range []struct {
		name string
		ctx  context.Context
		want string
	}{
		{"no trace", t.Context(), ""},
		{"sampled", in(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled}), "0af7651916cd43dd8448eb211c80319c"},
		{"sampled elsewhere", trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled,
		})), "0af7651916cd43dd8448eb211c80319c"},
		{"not sampled", in(trace.SpanContextConfig{TraceID: id, SpanID: span}), ""},
		{"not valid", in(trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}), ""},
	} {
		for kind, o := range map[string]*observability.Observer{"nil": nil, "zero": {}, "on": newRecorder().observer()} {
			if got := o.TraceID(row.ctx); got != row.want {
				t.Errorf("%s, %s observer: got %q, want %q", row.name, kind, got, row.want)
			}
		}
	}
}
