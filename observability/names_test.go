package observability_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// names are all that dashboards, alerts and searches of users may rely on. A
// change here breaks them.
var names = []string{
	"GET", "breaker probe", "breaker rejected", "bulkhead rejected", "bulkhead wait", "chain operation", "adaptive limit rejected", "adaptive limit wait", "deadline rejected", "throttle rejected", "fallback", "operation attempt",
	"queue rejected", "queue wait", "rate limit rejected", "rate limit wait",

	"tidegate.breaker.health_check_failed", "tidegate.breaker.health_check_passed", "tidegate.breaker.state_changed",
	"tidegate.chaos.injected", "tidegate.policy.lease_expired", "tidegate.retry.nested", "tidegate.fallback.used", "tidegate.policy.limit_changed", "tidegate.policy.rejected", "tidegate.policy.waited",
	"tidegate.hedge.refused", "tidegate.hedge.started", "tidegate.hedge.won", "tidegate.policy.would_reject", "tidegate.retry.scheduled", "tidegate.retry.stopped", "tidegate.timeout.exceeded",

	"error.type", "http.request.method", "http.request.method_original", "http.request.resend_count",
	"http.response.status_code", "network.protocol.version", "server.address", "server.port", "url.full",

	"tidegate.attempt", "tidegate.attempts", "tidegate.breaker.failure_rate", "tidegate.breaker.open_for",
	"tidegate.breaker.opened_by", "tidegate.call.state", "tidegate.hedge", "tidegate.limit.from", "tidegate.limit.to",
	"tidegate.operation.key", "tidegate.policy.type", "tidegate.breaker.state",
	"tidegate.breaker.state.from", "tidegate.breaker.state.to", "tidegate.chain.name", "tidegate.decision",
	"tidegate.events.dropped", "tidegate.hedge.delay", "tidegate.operation", "tidegate.outcome", "tidegate.policies",
	"tidegate.policy.key", "tidegate.policy.name",
	"tidegate.reason", "tidegate.retry.delay", "tidegate.retry.delay_source", "tidegate.retry.stop_reason",
	"tidegate.chaos.duration", "tidegate.chaos.fault", "tidegate.lease.held", "tidegate.retry.outer_attempt", "tidegate.retry.outer_source",
	"tidegate.retry_after", "tidegate.timeout.limit", "tidegate.timeout.scope", "tidegate.wait.duration",

	"tidegate.attempt.duration", "tidegate.breaker.state.time", "tidegate.breaker.status", "tidegate.policy.active",
	"tidegate.breaker.transitions", "tidegate.operation.attempts", "tidegate.operation.duration",
	"tidegate.policy.decisions", "tidegate.policy.wait.duration",
	"tidegate.chaos.armed", "tidegate.policy.limit", "tidegate.rate_limit.rate", "tidegate.throttle.rejection",
}

func TestNamesAreTheDocumentedOnes(t *testing.T) {
	got := emittedNames(t)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !slices.Contains(names, name) {
			t.Errorf("%q is emitted and not in the list", name)
		}
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	placeholders := map[string]string{
		"GET": "{method}", "chain operation": "{chain} {operation}", "operation attempt": "{operation} attempt",
		"queue wait": "{policy} wait", "queue rejected": "{policy} rejected",
	}
	for _, name := range names {
		if !got[name] {
			t.Errorf("%q is in the list and not emitted", name)
		}
		documented := name
		if p, ok := placeholders[name]; ok {
			documented = p
		}
		if row := regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(documented) + `( |$)`); !row.Match(doc) {
			t.Errorf("%q has no row in a table of doc.go", documented)
		}
	}
	for _, name := range regexp.MustCompile(`(?m)^//\t(tidegate\.[a-z_.]+)`).FindAllStringSubmatch(string(doc), -1) {
		if !slices.Contains(names, name[1]) {
			t.Errorf("%q is in doc.go and not in the list", name[1])
		}
	}
}

// emittedNames makes everything happen that can happen, and returns the names of
// all that was exported.
func emittedNames(t *testing.T) map[string]bool {
	all := map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		r, logs := newRecorder(), new(logs)
		o := r.observer(observability.WithLoggerProvider(logs), observability.WithSpanEvents())
		var chains []*middleware.Chain // one that is gone is not measured
		defer func() { runtime.KeepAlive(chains) }()
		run := func(answers script, method string, ps ...middleware.Policy) {
			chain := middleware.NewChain("chain", append([]middleware.Policy{o}, ps...)...)
			chains = append(chains, chain)
			transport := transports.New(o.Transport(&answers), chain)
			for range 3 {
				ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: "operation"})
				req, err := http.NewRequestWithContext(ctx, method, "https://example.com", nil)
				if err != nil {
					t.Fatal(err)
				}
				if resp, err := transport.RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			}
		}
		run(script{{ms, 503}, {ms, 503}, {ms, 503}}, "GET",
			policies.NewRetry(policies.RetryConfig{Attempts: 2}), policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3}))
		run(script{{ms, 200}, {ms, 200}, {ms, 200}}, "GET",
			policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Second}))
		run(script{{0, 200}}, "GET", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1}))
		run(nil, "GET", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		run(script{{time.Second, 200}, {ms, 200}, {ms, 200}, {ms, 200}}, "GET", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms}))
		run(script{{ms, 503}, {ms, 503}, {ms, 503}}, "GET", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 2}))
		_ = middleware.NewChain("chain", o).Do(
			middleware.WithOperation(t.Context(), middleware.Operation{Name: "operation"}), succeed)
		middleware.NewChain("chain", o).Emit(t.Context(), middleware.Event{Kind: middleware.HealthCheckPassed, Policy: "breaker"})
		run(script{{0, 200}, {0, 200}, {0, 200}}, "PROPFIND", emit(
			middleware.Event{Kind: middleware.Waited, Policy: "queue", Reason: "full", Wait: time.Second},
			middleware.Event{Kind: middleware.Rejected, Policy: "queue", Reason: "full"},
			middleware.Event{Kind: middleware.Waited, Policy: "x", Reason: "bulkhead", Wait: time.Second},
			middleware.Event{Kind: middleware.Rejected, Policy: "x", Reason: "bulkhead_full"},
			middleware.Event{Kind: middleware.HedgeStarted, Policy: "hedge", Attempt: 2, Wait: time.Second},
			middleware.Event{Kind: middleware.HedgeWon, Policy: "hedge", Attempt: 2},
			middleware.Event{Kind: middleware.HedgeRefused, Policy: "hedge", Attempt: 3, Reason: "budget"},
			middleware.Event{Kind: middleware.WouldReject, Policy: "breaker", Key: "key", Reason: "circuit_open"},
			middleware.Event{Kind: middleware.HealthCheckFailed, Policy: "breaker", Err: io.EOF},
			middleware.Event{Kind: middleware.HealthCheckPassed, Policy: "breaker"},
			middleware.Event{Kind: middleware.LimitChanged, Policy: "x", From: "1", To: "2"},
			middleware.Event{Kind: middleware.FallbackUsed, Policy: "x", Err: io.EOF},
			middleware.Event{Kind: middleware.Waited, Policy: "x", Reason: "adaptive_limit", Wait: time.Second},
			middleware.Event{Kind: middleware.Rejected, Policy: "x", Reason: "concurrency_limited"},
			middleware.Event{Kind: middleware.Rejected, Policy: "x", Reason: "client_throttled"},
			middleware.Event{Kind: middleware.Rejected, Policy: "deadline", Reason: "deadline_too_short"},
			middleware.Event{Kind: middleware.Injected, Policy: "x", Reason: "latency", Wait: time.Second},
			middleware.Event{Kind: middleware.NestedRetry, Policy: "x", Attempt: 2, Reason: "context"},
			middleware.Event{Kind: middleware.LeaseExpired, Policy: "x", Wait: time.Minute}),
			adaptive())
		run(script{{0, 200}, {0, 200}, {0, 200}}, "GET",
			emit(slices.Repeat([]middleware.Event{{Kind: middleware.TimedOut}}, 101)...))

		attributes := func(kv []attribute.KeyValue) {
			for _, a := range kv {
				all[string(a.Key)] = true
			}
		}
		for _, s := range r.spans.GetSpans() {
			if s.Name != "HTTP" { // as the conventions say of unknown methods
				all[s.Name] = true
			}
			attributes(s.Attributes)
			for _, e := range s.Events {
				all[e.Name] = true
				attributes(e.Attributes)
			}
		}
		for _, record := range logs.all {
			all[record.EventName()] = true
			record.WalkAttributes(func(a attribute.KeyValue) bool {
				all[string(a.Key)] = true
				return true
			})
		}
		for _, m := range r.metrics(t) {
			all[m.Name] = true
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					attributes(p.Attributes.ToSlice())
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					attributes(p.Attributes.ToSlice())
				}
			}
		}
	})
	return all
}

func TestNamespaceBeginsEveryNameOfOurs(t *testing.T) {
	for _, name := range names {
		conventional := strings.HasPrefix(name, "http.") || strings.HasPrefix(name, "server.") ||
			slices.Contains([]string{"error.type", "network.protocol.version", "url.full"}, name)
		if strings.Contains(name, ".") && !conventional && !strings.HasPrefix(name, observability.Namespace) {
			t.Errorf("%q does not begin with %q", name, observability.Namespace)
		}
	}
}
