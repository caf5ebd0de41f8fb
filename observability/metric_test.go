package observability_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
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
			"tidegate.attempt.duration": {
				"chain.name=x error.type=503 outcome=failure: 2, sum 0",
				"chain.name=x outcome=success: 2, sum 0.25",
				"chain.name=y outcome=success: 2, sum 0",
			},
			"tidegate.breaker.status": {
				"breaker.state=closed chain.name=x policy.name=breaker: 1",
				"breaker.state=half_open chain.name=x policy.name=breaker: 0",
				"breaker.state=open chain.name=x policy.name=breaker: 0",
			},
			"tidegate.breaker.state.time": {
				"breaker.state=closed chain.name=x policy.name=breaker: 1.25",
				"breaker.state=half_open chain.name=x policy.name=breaker: 0.25",
				"breaker.state=open chain.name=x policy.name=breaker: 60",
			},
			"tidegate.policy.active": {
				"call.state=waiting chain.name=y policy.name=rate_limit policy.type=rate_limit: 0",
			},
			"tidegate.policy.decisions": {
				"chain.name=x decision=rejected_open policy.name=breaker policy.type=breaker: 1",
				"chain.name=x decision=retry_budget policy.name=retry policy.type=retry: 0",
				"chain.name=x decision=retry_exhausted policy.name=retry policy.type=retry: 1",
				"chain.name=x decision=retry_scheduled policy.name=retry policy.type=retry: 1",
			},
			"tidegate.policy.wait.duration": {
				"chain.name=x policy.name=retry policy.type=retry: 1, sum 1",
				"chain.name=y policy.name=rate_limit policy.type=rate_limit: 1, sum 0.25",
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
		runtime.KeepAlive(chain)
		runtime.KeepAlive(limited)
	})
}

// An alert must hear of the first event of its kind, so its counter is there before.
func TestCountersOfAlertsBeginAtZero(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	defer runtime.KeepAlive(middleware.NewChain("x", o, policies.NewRetry(policies.RetryConfig{}), policies.NewBreaker(policies.BreakerConfig{})))
	for name, want := range map[string]string{
		"tidegate.policy.decisions":    "chain.name=x decision=retry_budget policy.name=retry policy.type=retry: 0",
		"tidegate.breaker.transitions": "breaker.state.from=closed breaker.state.to=open chain.name=x policy.name=breaker: 0",
	} {
		if got := r.measured(t, name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestDecisions(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, listed, _ := strings.Cut(string(doc), "// The decisions are ")
	listed, _, _ = strings.Cut(listed, ".")
	unmade := regexp.MustCompile(`[a-z_]+`).FindAllString(strings.ReplaceAll(listed, " and\n", ",\n"), -1)
	defer func() {
		if len(unmade) > 0 {
			t.Errorf("doc.go names %q, which nobody decided", unmade)
		}
	}()
	for _, row := range []struct {
		kind         middleware.Kind
		reason, want string
	}{
		{middleware.Rejected, "circuit_open", "rejected_open"},
		{middleware.Rejected, "probe_limit", "rejected_probe_limit"},
		{middleware.Rejected, "recovering", "rejected_recovering"},
		{middleware.Rejected, "rate_limited", "rejected_rate"},
		{middleware.Rejected, "bulkhead_full", "rejected_bulkhead"},
		{middleware.Rejected, "concurrency_limited", "rejected_concurrency"},
		{middleware.Rejected, "client_throttled", "rejected_throttle"},
		{middleware.Rejected, "deadline_too_short", "rejected_deadline"},
		{middleware.Rejected, "something new", "rejected"},
		{middleware.RetryScheduled, "retry_after", "retry_scheduled"},
		{middleware.RetryStopped, "exhausted", "retry_exhausted"},
		{middleware.RetryStopped, "not_retryable", "retry_not_retryable"},
		{middleware.RetryStopped, "budget", "retry_budget"},
		{middleware.RetryStopped, "deadline", "retry_deadline"},
		{middleware.RetryStopped, "canceled", "retry_canceled"},
		{middleware.RetryStopped, "nested", ""}, // with a NestedRetry
		{middleware.NestedRetry, "context", "retry_nested"},
		{middleware.NestedRetry, "header", "retry_nested"},
		{middleware.RetryStopped, "retry_after", "retry_after_exceeded"},
		{middleware.RetryStopped, "something new", "retry_stopped"},
		{middleware.TimedOut, "limit", "timed_out"},
		{middleware.WouldReject, "circuit_open", "would_reject"},
		{middleware.WouldReject, "client_throttled", "would_reject"},
		{middleware.WouldReject, "timeout", "would_reject"},
		{middleware.WouldReject, "something new", "would_reject"},
		{middleware.HealthCheckFailed, "", "health_check_failed"},
		{middleware.HealthCheckPassed, "", "health_check_passed"},
		{middleware.LimitChanged, "", "limit_changed"},
		{middleware.FallbackUsed, "", "fallback_used"},
		{middleware.FallbackUsed, "failed", "fallback_failed"},
		{middleware.Injected, "latency", "injected"},
		{middleware.Injected, "something new", "injected"},
		{middleware.LeaseExpired, "", "lease_expired"},
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
			unmade = slices.DeleteFunc(unmade, func(word string) bool { return word == row.want })
		}
		if got := r.measured(t, "tidegate.policy.decisions"); !slices.Equal(got, want) {
			t.Errorf("%v %s: got %q, want %q", row.kind, row.reason, got, want)
		}
		if !regexp.MustCompile(`\b` + row.want + `\b`).Match(doc) {
			t.Errorf("doc.go does not name %q", row.want)
		}
	}
}

// The buckets that dashboards and alerts compute quantiles from.
func TestBuckets(t *testing.T) {
	r := newRecorder()
	_ = middleware.NewChain("x", r.observer(), emit(middleware.Event{Kind: middleware.Waited, Policy: "p", Wait: 1})).Do(t.Context(), succeed)
	seconds := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	want := map[string][]float64{
		"tidegate.operation.duration": seconds, "tidegate.attempt.duration": seconds, "tidegate.policy.wait.duration": seconds,
		"tidegate.operation.attempts": {1, 2, 3, 4, 5, 8, 13},
	}
	for _, m := range r.metrics(t) {
		var got []float64
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			got = data.DataPoints[0].Bounds
		case metricdata.Histogram[int64]:
			got = data.DataPoints[0].Bounds
		default:
			continue
		}
		if !slices.Equal(got, want[m.Name]) {
			t.Errorf("%s has the buckets %v, want %v", m.Name, got, want[m.Name])
		}
		delete(want, m.Name)
	}
	if len(want) != 0 {
		t.Errorf("nobody measured %v", want)
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

// A deafProvider makes instruments that nobody listens to. They count what they hear.
type deafProvider struct {
	noop.MeterProvider
	heard *atomic.Int32
}

type deafMeter struct {
	noop.Meter
	heard *atomic.Int32
}

func (p deafProvider) Meter(string, ...metric.MeterOption) metric.Meter {
	return deafMeter{heard: p.heard}
}

func (m deafMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return deafSeconds{heard: m.heard}, nil
}

func (m deafMeter) Int64Histogram(string, ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return deafCounts{heard: m.heard}, nil
}

func (m deafMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return deafCounter{heard: m.heard}, nil
}

type deafSeconds struct {
	noop.Float64Histogram
	heard *atomic.Int32
}

type deafCounts struct {
	noop.Int64Histogram
	heard *atomic.Int32
}

type deafCounter struct {
	noop.Int64Counter
	heard *atomic.Int32
}

func (d deafSeconds) Record(context.Context, float64, ...metric.RecordOption) { d.heard.Add(1) }
func (d deafCounts) Record(context.Context, int64, ...metric.RecordOption)    { d.heard.Add(1) }
func (d deafCounter) Add(context.Context, int64, ...metric.AddOption)         { d.heard.Add(1) }

func TestWhatNobodyListensToIsNotMeasured(t *testing.T) {
	var heard atomic.Int32
	o := observability.New(observability.WithMeterProvider(deafProvider{heard: &heard}))
	_ = middleware.NewChain("x", o, emit(
		middleware.Event{Kind: middleware.Waited}, middleware.Event{Kind: middleware.Rejected}, middleware.Event{Kind: middleware.Transition})).
		Do(t.Context(), succeed)
	if n := heard.Load(); n != 0 {
		t.Errorf("%d measurements were made", n)
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
