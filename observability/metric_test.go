package observability_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// Metrics need no tracer.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := observability.New(observability.WithMeterProvider(r.meters))
		chain := middleware.NewChain("x", o,
			policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Jitter: -1}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, SuccessThreshold: 1, Timeout: time.Minute}))
		call := func(op func(context.Context) error) { _ = chain.Do(t.Context(), op) }
		fail := func(context.Context) error { return codedError{503} }
		call(succeed)
		call(fail) // twice, which opens the breaker
		call(fail) // refused
		time.Sleep(time.Minute)
		call(func(ctx context.Context) error { // a probe
			time.Sleep(250 * ms)
			return nil
		})
		limited := middleware.NewChain("y", o, policies.NewRateLimit(policies.RateLimitConfig{Rate: 4, Burst: 1, MaxWait: 300 * ms}))
		for range 2 {
			_ = limited.Do(t.Context(), succeed)
		}
		for name, want := range map[string][]string{
			"tidegate.operation.duration": {
				"chain.name=x error.type=503 outcome=failure: 1, sum 1",
				"chain.name=x error.type=circuit_open outcome=rejected: 1, sum 0",
				"chain.name=x outcome=success: 2, sum 0.25",
				"chain.name=y outcome=success: 2, sum 0.25",
			},
			"tidegate.operation.attempts": {
				"chain.name=x outcome=failure: 1, sum 2",
				"chain.name=x outcome=rejected: 1, sum 0",
				"chain.name=x outcome=success: 2, sum 2",
				"chain.name=y outcome=success: 2, sum 2",
			},
			"tidegate.policy.decisions": {
				"chain.name=x decision=rejected_open policy.name=breaker: 1",
				"chain.name=x decision=retry_exhausted policy.name=retry: 1",
				"chain.name=x decision=retry_scheduled policy.name=retry: 1",
			},
			"tidegate.policy.wait.duration": {
				"chain.name=x policy.name=retry: 1, sum 1",
				"chain.name=y policy.name=rate_limit: 1, sum 0.25",
			},
			"tidegate.breaker.transitions": {
				"breaker.state.from=closed breaker.state.to=open chain.name=x policy.name=breaker: 1",
				"breaker.state.from=half_open breaker.state.to=closed chain.name=x policy.name=breaker: 1",
				"breaker.state.from=open breaker.state.to=half_open chain.name=x policy.name=breaker: 1",
			},
		} {
			if got := r.measured(t, name); !slices.Equal(got, want) {
				t.Errorf("%s\ngot  %q\nwant %q", name, got, want)
			}
		}
	})
}

func TestDecisions(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		kind         middleware.Kind
		reason, want string
	}{
		{middleware.Rejected, "circuit_open", "rejected_open"},
		{middleware.Rejected, "probe_limit", "rejected_probe_limit"},
		{middleware.Rejected, "recovering", "rejected_recovering"},
		{middleware.Rejected, "rate_limited", "rejected_rate"},
		{middleware.Rejected, "bulkhead_full", "rejected_bulkhead"},
		{middleware.Rejected, "deadline_too_short", "rejected_deadline"},
		{middleware.Rejected, "something new", "rejected"},
		{middleware.RetryScheduled, "retry_after", "retry_scheduled"},
		{middleware.RetryStopped, "exhausted", "retry_exhausted"},
		{middleware.RetryStopped, "not_retryable", "retry_not_retryable"},
		{middleware.RetryStopped, "budget", "retry_budget"},
		{middleware.RetryStopped, "deadline", "retry_deadline"},
		{middleware.RetryStopped, "canceled", "retry_canceled"},
		{middleware.RetryStopped, "retry_after", "retry_after_exceeded"},
		{middleware.RetryStopped, "something new", "retry_stopped"},
		{middleware.TimedOut, "limit", "timed_out"},
		{middleware.WouldReject, "circuit_open", "would_reject"},
		{middleware.WouldReject, "something new", "would_reject"},
		{middleware.HealthCheckFailed, "", "health_check_failed"},
		{middleware.HedgeStarted, "", "hedge_started"},
		{middleware.HedgeWon, "", "hedge_won"},
		{middleware.HedgeRefused, "budget", "hedge_refused"},
		{middleware.Waited, "rate", ""},
		{middleware.Transition, "forced", ""},
		{middleware.Kind(99), "something new", ""},
	} {
		r := newRecorder()
		middleware.NewChain("x", r.observer()).Emit(t.Context(), middleware.Event{Kind: row.kind, Reason: row.reason, Policy: "p", Key: "never"})
		var want []string
		if row.want != "" {
			want = []string{"chain.name=x decision=" + row.want + " policy.name=p: 1"}
		}
		if got := r.measured(t, "tidegate.policy.decisions"); !slices.Equal(got, want) {
			t.Errorf("%v %s: got %q, want %q", row.kind, row.reason, got, want)
		}
		if !regexp.MustCompile(`\b` + row.want + `\b`).Match(doc) {
			t.Errorf("doc.go does not name %q", row.want)
		}
	}
}

// Who searches a slow measurement finds its trace.
func TestMeasurementsLeadToTheTrace(t *testing.T) {
	r := newRecorder()
	_ = middleware.NewChain("x", r.observer()).Do(t.Context(), succeed)
	want := r.span(t, "x").SpanContext.TraceID()
	for _, m := range r.metrics(t) {
		if data, ok := m.Data.(metricdata.Histogram[float64]); ok {
			for _, p := range data.DataPoints {
				if len(p.Exemplars) != 1 || string(p.Exemplars[0].TraceID) != string(want[:]) {
					t.Errorf("%s has the exemplars %+v", m.Name, p.Exemplars)
				}
			}
		}
	}
}

// A view of the user may switch an instrument off.
func TestAnInstrumentThatIsSwitchedOff(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithView(
		sdkmetric.NewView(sdkmetric.Instrument{Name: "*"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}})))
	o := observability.New(observability.WithMeterProvider(meters))
	chain := middleware.NewChain("x", o, emit(
		middleware.Event{Kind: middleware.Waited}, middleware.Event{Kind: middleware.Rejected}, middleware.Event{Kind: middleware.Transition}))
	_ = chain.Do(t.Context(), succeed)
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil || len(data.ScopeMetrics) != 0 {
		t.Errorf("collected %+v, %v", data, err)
	}
}

// A failingProvider makes no instrument of one kind without an error.
type failingProvider struct{ noop.MeterProvider }

type failingMeter struct{ noop.Meter }

func (failingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{} }

func (failingMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, errors.New("no")
}

func TestAProviderThatFailsDoesNotStopCalls(t *testing.T) {
	said := 0
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { said++ }))
	defer otel.SetErrorHandler(before)
	o := observability.New(observability.WithMeterProvider(failingProvider{}))
	if err := middleware.NewChain("x", o, emit(middleware.Event{Kind: middleware.Rejected})).Do(t.Context(), succeed); err != nil {
		t.Error(err)
	}
	if said != 2 {
		t.Errorf("the error handler heard %d errors, want one for each counter", said)
	}
}
