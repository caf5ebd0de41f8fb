//go:build real

package metrics_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/examples/backup/internal/metrics"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// hasten makes a minute of the rules a second.
func hasten(rules []byte) []byte {
	return regexp.MustCompile(`(for: |\[)(\d+)m\b`).ReplaceAll(rules, []byte("${1}${2}s"))
}

// A way leads to a dependency that can break.
type way struct {
	name     string
	policies []middleware.Policy
	call     func(ctx context.Context, broken bool) error
	crowd    int // how many more call while it is broken
}

// A drill is armed while the dependencies are broken, as a chaos policy is, and then refuses
// one call in five, as a throttle does.
type drill struct {
	broken *atomic.Bool
	calls  *atomic.Int64
}

func (d drill) Execute(ctx context.Context, next middleware.Next) error {
	if d.broken.Load() {
		next.Emit(ctx, middleware.Event{Kind: middleware.Injected, Policy: "chaos", Reason: "latency"})
		next.Emit(ctx, middleware.Event{Kind: middleware.WouldReject, Policy: "other", Reason: "client_throttled"})
		if d.calls.Add(1)%5 == 0 {
			next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: "throttle", Reason: "client_throttled"})
			return next.Reject(middleware.Rejection{Policy: "throttle", Reason: middleware.ErrThrottled})
		}
	}
	return next.Do(ctx)
}

func (d drill) Reports(yield func(middleware.Report) bool) {
	share, armed := 0.0, 0.0
	if d.broken.Load() {
		share, armed = 0.2, 1
	}
	for _, r := range []told{
		{"chaos", "armed", armed, nil}, {"throttle", "rejection", share, nil}, {"adaptive_limit", "limit", 20, nil}, {"rate_limit", "rate", 10, nil},
	} {
		r.Reports(yield)
	}
}

// ways are one for each alert, two for some, and three for several breakers.
func ways(outage *atomic.Bool) []way {
	fail := func(_ context.Context, broken bool) error {
		if broken {
			return status{503}
		}
		return nil
	}
	breaker := func() []middleware.Policy {
		return []middleware.Policy{policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, SuccessThreshold: 1, Timeout: 300 * time.Millisecond})}
	}
	retry := func(b *policies.Budget) []middleware.Policy {
		return []middleware.Policy{policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Millisecond, Budget: b})}
	}
	return []way{
		{name: "git", policies: breaker(), call: fail},
		{name: "s3", policies: breaker(), call: fail},
		{name: "web", policies: breaker(), call: fail},
		{ // fails for a tenth of each second
			name: "flaky",
			policies: []middleware.Policy{
				policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: 200 * time.Millisecond}),
			},
			call: func(ctx context.Context, broken bool) error {
				return fail(ctx, broken && time.Now().UnixMilli()%1000 < 100)
			},
		},
		{ // succeeds at the third attempt
			name:     "mail",
			policies: retry(policies.NewBudget(policies.BudgetConfig{Ratio: -1})),
			call:     func(ctx context.Context, broken bool) error { return fail(ctx, broken && middleware.Attempt(ctx) < 3) },
		},
		{ // would succeed at the second
			name:     "search",
			policies: retry(policies.NewBudget(policies.BudgetConfig{Ratio: 0.01, MinPerSecond: 0.1})),
			call:     func(ctx context.Context, broken bool) error { return fail(ctx, broken && middleware.Attempt(ctx) < 2) },
		},
		{
			name:     "pay",
			policies: []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 60, Burst: 30})},
			call:     func(context.Context, bool) error { return nil },
			crowd:    5,
		},
		{
			name:     "files",
			policies: []middleware.Policy{drill{outage, new(atomic.Int64)}},
			call:     func(context.Context, bool) error { return nil },
		},
		{
			name:     "stock",
			policies: []middleware.Policy{policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 100, MaxWait: time.Minute})},
			call:     func(ctx context.Context, _ bool) error { return pause(ctx, 20*time.Millisecond) },
			crowd:    60,
		},
		{
			name:     "reports",
			policies: []middleware.Policy{policies.NewTimeout(policies.TimeoutConfig{Limit: 100 * time.Millisecond})},
			call: func(ctx context.Context, broken bool) error {
				if !broken {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			},
			crowd: 3,
		},
	}
}

// expected are the alerts of the outage.
var expected = []string{
	"BreakerOpen git breaker", "BreakerOpen s3 breaker", "BreakerOpen web breaker",
	"BreakerStuckOpen git breaker", "BreakerStuckOpen s3 breaker", "BreakerStuckOpen web breaker",
	"SeveralBreakersOpen", "BreakerFlapping flaky breaker", "RetryStorm mail", "RetryBudgetExhausted search retry",
	"RateLimiterSaturated pay", "QueueWaitHigh stock", "TimeoutsHigh reports",
	"LoadShedding files", "ChaosActive files chaos", "OperationErrorsHigh files",
	"OperationErrorsHigh git", "OperationErrorsHigh s3", "OperationErrorsHigh web", "OperationErrorsHigh flaky",
	"OperationErrorsHigh search", "OperationErrorsHigh pay", "OperationErrorsHigh reports",
}

// A real Prometheus reads what a program shows and evaluates the rules, while its
// dependencies are well, break, and are well again. A minute of the rules takes a second.
func TestRealPrometheusAlertsInAnOutage(t *testing.T) {
	rules := read(t, "observability/prometheus/tidegate.rules.yaml")
	m, err := metrics.New("test")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(m)
	defer server.Close()
	p := startPrometheus(t, strings.TrimPrefix(server.URL, "http://"), hasten(rules))

	var broken atomic.Bool
	stop := drive(t, m, &broken)
	defer stop()
	p.await(t, "the first calls", func(ctx context.Context) bool {
		counts, err := p.query(ctx, `count(sum by (tidegate_chain_name) (increase(tidegate_operation_duration_seconds_count[5s])) > 20)`)
		return err == nil && counts[""] == "10"
	})
	if firing, err := p.firing(t.Context()); err != nil || len(firing) > 0 {
		t.Errorf("while all is well %q fire, %v", slices.Sorted(maps.Keys(firing)), err)
	}

	broken.Store(true)
	all := map[string]bool{}
	p.await(t, "the alerts", func(ctx context.Context) bool {
		firing, _ := p.firing(ctx)
		maps.Copy(all, firing)
		return !slices.ContainsFunc(expected, func(name string) bool { return !all[name] })
	})
	if missing := slices.DeleteFunc(slices.Clone(expected), func(name string) bool { return all[name] }); len(missing) > 0 {
		t.Errorf("these did not fire: %q", missing)
	}

	p.answers(t, dashboardQueries(t))
	p.answers(t, runbookQueries(t))

	broken.Store(false)
	p.await(t, "the end of the alerts", func(ctx context.Context) bool {
		firing, err := p.firing(ctx)
		return err == nil && len(firing) == 0
	})

	ever, err := p.query(t.Context(), `count by (alertname, chain, policy) (count_over_time(ALERTS{alertstate="firing"}[10m]))`)
	delete(ever, "BreakerOpen flaky breaker") // on a machine so slow that a second has no call
	got, want := slices.Sorted(maps.Keys(ever)), slices.Sorted(slices.Values(expected))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v; fired in all:\n%q\nwant\n%q", err, got, want)
	}
}

// answers expects that each query has a result in the outage.
func (p *prometheus) answers(t *testing.T, queries []string) {
	t.Helper()
	for _, query := range queries {
		p.await(t, "an answer to "+query, func(ctx context.Context) bool {
			answer, err := p.query(ctx, query)
			return err == nil && len(answer) > 0
		})
	}
}

// dashboardQueries are what the panels ask, for all chains.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(read(t, "observability/grafana/tidegate.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$job", ".*", "$chain", ".*", "$__rate_interval", "2s", "$__range", "20s")
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries = append(queries, variables.Replace(target.Expr))
		}
	}
	return queries
}

// runbookQueries are the lines of the runbook that are set apart, for all chains. One
// that begins with an operator goes on with the query before.
func runbookQueries(t *testing.T) (queries []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^    (.*(?:\n      / .*)?)$`).FindAllStringSubmatch(string(read(t, "docs/runbook.md")), -1) {
		queries = append(queries, strings.ReplaceAll(m[1], `="CHAIN"`, `=~".*"`))
	}
	if len(queries) < 10 {
		t.Errorf("the runbook has only %q", queries)
	}
	return queries
}

// read returns a file of the project.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// await polls until reached says so, for a minute at most.
func (p *prometheus) await(t *testing.T, what string, reached func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for began := time.Now(); !reached(ctx); {
		if pause(ctx, 100*time.Millisecond) != nil {
			firing, err := p.firing(t.Context())
			t.Errorf("%s did not come in %s; now %q fire, %v", what, time.Since(began).Round(time.Second), slices.Sorted(maps.Keys(firing)), err)
			return
		}
	}
}

// drive calls all ways until stop, which waits for the last calls.
func drive(t *testing.T, m *metrics.Metrics, broken *atomic.Bool) (stop func()) {
	observer := observability.New(observability.WithMeterProvider(m))
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	var chains []*middleware.Chain
	for _, w := range ways(broken) {
		chain := middleware.NewChain(w.name, append([]middleware.Policy{observer}, w.policies...)...)
		chains = append(chains, chain)
		for i := range 1 + w.crowd {
			calls.Go(func() {
				for pause(ctx, 25*time.Millisecond) == nil {
					if i == 0 || broken.Load() {
						_ = chain.Do(ctx, func(ctx context.Context) error { return w.call(ctx, broken.Load()) })
					}
				}
			})
		}
	}
	return func() {
		cancel()
		calls.Wait()
		runtime.KeepAlive(chains)
	}
}

// pause returns an error when ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
