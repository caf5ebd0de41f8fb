package metrics_test

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/examples/backup/internal/metrics"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden file instead of comparing with it")

// golden is beside the rules and the dashboard that rely on the names, and the tests of
// package observability read it.
const golden = "../../../../observability/prometheus/metrics.golden"

// What Prometheus gets to see is what users write into their own rules and dashboards. A
// change of this file breaks them.
func TestNamesInPrometheus(t *testing.T) {
	got := shape(scrape(t, "text/plain"))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s; -update writes it anew; got\n%s", golden, got)
	}
}

// Prometheus 3 asks for names as they are, and gets the same ones.
func TestPrometheus3GetsTheSameNames(t *testing.T) {
	text := scrape(t, "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8")
	if !strings.Contains(text, "\ntidegate_operation_duration_seconds_count{") || strings.Contains(text, "tidegate.operation") {
		t.Errorf("got\n%s", text)
	}
}

// A dot in a dashboard leads to the trace of a call.
func TestExemplarsLeadToTraces(t *testing.T) {
	text := scrape(t, "application/openmetrics-text;version=1.0.0")
	for _, name := range []string{"operation_duration", "attempt_duration"} {
		if !regexp.MustCompile(`\ntidegate_` + name + `_seconds_bucket\{[^\n]*\} \d+ # \{[^}]*trace_id="[0-9a-f]{32}"`).MatchString(text) {
			t.Errorf("%s has no exemplar with a trace; got\n%s", name, text)
		}
	}
}

// shape leaves out of a scrape what a measurement came to, and all buckets but those of the
// first series of a histogram, since they are the same for all.
func shape(text string) string {
	var b strings.Builder
	var family, first string
	bucket := regexp.MustCompile(`^(\w+_bucket\{.*?),?le=`)
	for line := range strings.Lines(text) {
		if after, ok := strings.CutPrefix(line, "# HELP "); ok {
			family, _, _ = strings.Cut(after, " ")
			first = ""
		}
		if !strings.HasPrefix(family, "tidegate_") {
			continue
		}
		if strings.HasPrefix(line, "#") {
			b.WriteString(line)
			continue
		}
		if m := bucket.FindStringSubmatch(line); m != nil {
			if first == "" {
				first = m[1]
			}
			if m[1] != first {
				continue
			}
		}
		b.WriteString(line[:strings.LastIndex(line, "} ")+1] + "\n")
	}
	return b.String()
}

// scrape stages calls of all kinds and returns the page that Prometheus gets after them.
func scrape(t *testing.T, accept string) (text string) {
	synctest.Test(t, func(t *testing.T) {
		m, err := metrics.New("test")
		if err != nil {
			t.Fatal(err)
		}
		chains := stage(t, m)
		defer runtime.KeepAlive(chains) // an observer forgets chains that nobody has any more
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		m.ServeHTTP(w, r)
		if text = w.Body.String(); w.Code != http.StatusOK {
			t.Fatalf("status %d: %s", w.Code, text)
		}
	})
	return text
}

type status struct{ code int }

func (s status) Error() string   { return http.StatusText(s.code) }
func (s status) StatusCode() int { return s.code }

// A told is a policy that tells one number of itself, and of each call the same events.
type told struct {
	kind, reading string
	value         float64
	events        []middleware.Event
}

func (r told) Execute(ctx context.Context, next middleware.Next) error {
	for _, e := range r.events {
		e.Policy = r.kind
		next.Emit(ctx, e)
	}
	return next.Do(ctx)
}

func (r told) Reports(yield func(middleware.Report) bool) {
	yield(middleware.Report{Type: r.kind, Name: r.kind, Readings: []middleware.Reading{{Name: r.reading, Value: r.value}}})
}

// stage makes a series of every kind.
func stage(t *testing.T, m *metrics.Metrics) (chains []*middleware.Chain) {
	tracers := sdktrace.NewTracerProvider()
	observer := observability.New(observability.WithMeterProvider(m), observability.WithTracerProvider(tracers))
	chain := func(name string, ps ...middleware.Policy) *middleware.Chain {
		c := middleware.NewChain(name, append([]middleware.Policy{observer}, ps...)...)
		chains = append(chains, c)
		return c
	}
	succeed := func(context.Context) error { return nil }
	fail := func(context.Context) error { return status{http.StatusServiceUnavailable} }
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx := t.Context()

	one := policies.NewBudget(policies.BudgetConfig{Ratio: 0.001, MinPerSecond: 1. / 3600, Window: time.Hour}) // more attempts
	billing := chain("billing",
		policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Budget: one}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, SuccessThreshold: 1, Timeout: time.Minute}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Second}))
	given, cancel := context.WithCancel(ctx)
	cancel()
	_ = billing.Do(given, hang)
	_ = billing.Do(ctx, succeed)
	_ = billing.Do(ctx, fail)    // twice
	_ = billing.Do(ctx, hang)    // once, since the budget is spent, and that opens the breaker
	_ = billing.Do(ctx, succeed) // refused
	time.Sleep(time.Minute)
	_ = billing.Do(ctx, succeed) // a probe

	mail := chain("mail",
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: 1500 * time.Millisecond}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1, MaxWait: 10 * time.Second}))
	search := chain("search", policies.NewHedge(policies.HedgeConfig{Delay: time.Second}))
	slow := func(context.Context) error {
		time.Sleep(5 * time.Second)
		return errors.New("one of many kinds")
	}
	for range 3 { // one runs, one waits for its turn in both policies and one in vain
		go func() { _ = mail.Do(ctx, slow) }()
	}
	_ = search.Do(ctx, slow)
	time.Sleep(time.Minute)

	// Whatever else policies may decide.
	var events []middleware.Event
	for kind, reasons := range map[middleware.Kind][]string{
		middleware.Rejected: {
			"circuit_open", "probe_limit", "recovering", "rate_limited", "bulkhead_full", "concurrency_limited", "client_throttled",
			"deadline_too_short", "other",
		},
		middleware.RetryStopped: {
			"exhausted", "nested", "not_retryable", "budget", "deadline", "canceled", "retry_after", "other",
		},
		middleware.RetryScheduled: {"backoff"}, middleware.TimedOut: {"limit"}, middleware.WouldReject: {"circuit_open"},
		middleware.HealthCheckFailed: {""}, middleware.HealthCheckPassed: {""}, middleware.LimitChanged: {""},
		middleware.FallbackUsed: {"", "failed"}, middleware.Injected: {"latency"}, middleware.NestedRetry: {"context"},
		middleware.LeaseExpired: {""}, middleware.HedgeStarted: {""}, middleware.HedgeWon: {""}, middleware.HedgeRefused: {"budget"},
	} {
		for _, reason := range reasons {
			events = append(events, middleware.Event{Kind: kind, Policy: "policy", Reason: reason, Attempt: 1, Time: time.Now()})
		}
	}
	everything := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		for _, e := range events {
			next.Emit(ctx, e)
		}
		return next.Do(ctx)
	})
	var breakers []middleware.Policy
	for _, s := range []struct {
		name string
		to   func(*policies.Breaker)
	}{
		{"forced", (*policies.Breaker).ForceOpen},
		{"closed", (*policies.Breaker).ForceClose},
		{"off", (*policies.Breaker).Disable},
		{"observing", (*policies.Breaker).ObserveOnly},
	} {
		b := policies.NewBreaker(policies.BreakerConfig{Name: s.name})
		s.to(b)
		breakers = append(breakers, b)
	}
	// What policies tell of themselves.
	_ = chain("files",
		told{"adaptive_limit", "limit", 20, []middleware.Event{
			{Kind: middleware.Waited, Reason: "adaptive_limit", Wait: time.Second}, {Kind: middleware.Rejected, Reason: "concurrency_limited"},
		}},
		told{"rate_limit", "rate", 7.5, nil},
		told{"throttle", "rejection", 0.25, []middleware.Event{{Kind: middleware.Rejected, Reason: "client_throttled"}}},
		told{"chaos", "armed", 1, []middleware.Event{{Kind: middleware.Injected, Reason: "latency"}}}).Do(ctx, succeed)
	_ = chain("stock", append([]middleware.Policy{everything}, breakers...)...).Do(ctx, succeed)
	return chains
}
