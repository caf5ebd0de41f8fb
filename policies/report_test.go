package policies_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// reportTypes is the closed list of what reports call policies.
var reportTypes = []string{"timeout", "retry", "hedge", "budget", "rate_limit", "breaker", "bulkhead", "keyed",
	"throttle", "adaptive_limit", "deadline", "chaos", "fallback"}

// onePolicyOfEachType has the exported types of the package that are policies.
func onePolicyOfEachType() map[string]middleware.Policy {
	return map[string]middleware.Policy{
		"Timeout":       policies.NewTimeout(policies.TimeoutConfig{}),
		"Retry":         policies.NewRetry(policies.RetryConfig{}),
		"Hedge":         policies.NewHedge(policies.HedgeConfig{}),
		"RateLimit":     policies.NewRateLimit(policies.RateLimitConfig{}),
		"Breaker":       policies.NewBreaker(policies.BreakerConfig{}),
		"Bulkhead":      policies.NewBulkhead(policies.BulkheadConfig{}),
		"Throttle":      policies.NewThrottle(policies.ThrottleConfig{}),
		"AdaptiveLimit": policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{}),
		"Deadline":      policies.NewDeadline(policies.DeadlineConfig{}),
		"Chaos":         policies.NewChaos(policies.ChaosConfig{Enabled: true}),
		"Fallback":      policies.NewFallback(policies.FallbackConfig{}),
		"Keyed": policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{})
		}),
	}
}

func TestEveryPolicyIsAReporter(t *testing.T) {
	all := onePolicyOfEachType()
	if want, got := declaredPolicies(t), slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Fatalf("the test knows the policies %v, the package has %v", got, want)
	}
	for name, p := range all {
		r, ok := p.(middleware.Reporter)
		if !ok {
			t.Errorf("%s is no Reporter", name)
			continue
		}
		n := 0
		r.Reports(func(report middleware.Report) bool {
			n++
			if !slices.Contains(reportTypes, report.Type) || report.Name == "" {
				t.Errorf("%s reports %+v", name, report)
			}
			return true
		})
		if n == 0 {
			t.Errorf("%s reports nothing", name)
		}
	}
}

// declaredPolicies returns the exported types of the package with a method Execute, sorted.
func declaredPolicies(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "Execute" {
				if name := receiver(f.Recv.List[0].Type); ast.IsExported(name) {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return ""
	}
}

// reportText is a report in lines: what it is, its settings, its readings.
func reportText(r middleware.Report) string {
	text := r.Type + "/" + r.Name
	if r.Key != "" {
		text += " of " + r.Key
	}
	if r.Running+r.Waiting > 0 {
		text += fmt.Sprintf(" running=%d waiting=%d", r.Running, r.Waiting)
	}
	for _, s := range r.Settings {
		text += " " + s.Name + "=" + s.Value
	}
	for _, v := range r.Readings {
		text += fmt.Sprintf(" %s:%.4g", v.Name, v.Value)
	}
	return text
}

func reportsOf(p middleware.Policy) (all []string) {
	middleware.NewChain("x", p).Reports(func(r middleware.Report) bool {
		all = append(all, reportText(r))
		return true
	})
	return all
}

func TestReportsSayHowPoliciesAreSet(t *testing.T) {
	check := func(context.Context) error { return nil }
	const quiet = " failure_rate:0 slow_rate:0 consecutive_failures:0 in_flight:0"
	for _, row := range []struct {
		name   string
		policy middleware.Policy
		want   []string
	}{
		{"timeout", policies.NewTimeout(policies.TimeoutConfig{}), []string{"timeout/timeout Limit=30s Scope=until_result"}},
		{"timeout, set", policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 90 * time.Minute, Scope: policies.UntilEnd}),
			[]string{"timeout/total Limit=1h30m Scope=until_end"}},
		{"retry", policies.NewRetry(policies.RetryConfig{}), []string{
			"retry/retry Attempts=3 Delay=100ms Multiplier=2 MaxDelay=10s Jitter=0.5 MaxAfter=1m Budget=on NestedAttempts=1",
			"budget/retry Ratio=0.2 MinPerSecond=10 Window=10s calls:0 extra:0 left:100",
		}},
		{"retry without a budget", policies.NewRetry(policies.RetryConfig{
			Jitter: -1, MaxDelay: time.Hour, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
		}), []string{"retry/retry Attempts=3 Delay=100ms Multiplier=2 MaxDelay=1h Jitter=off MaxAfter=1m Budget=off NestedAttempts=1"}},
		{"hedge", policies.NewHedge(policies.HedgeConfig{Budget: policies.NewBudget(policies.BudgetConfig{MinPerSecond: -1})}), []string{
			"hedge/hedge Delay=off Quantile=0.95 MinCalls=100 MaxHedges=1 When=set Budget=on delay:0",
			"budget/hedge Ratio=0.2 MinPerSecond=off Window=10s calls:0 extra:0 left:0",
		}},
		{"hedge, fixed", policies.NewHedge(policies.HedgeConfig{Delay: 1500 * time.Millisecond}), []string{
			"hedge/hedge Delay=1.5s Quantile=off MinCalls=off MaxHedges=1 When=set Budget=on delay:1.5",
			"budget/hedge Ratio=0.2 MinPerSecond=10 Window=10s calls:0 extra:0 left:100",
		}},
		{"rate limit", policies.NewRateLimit(policies.RateLimitConfig{Rate: 2.5}),
			[]string{"rate_limit/rate_limit Rate=2.5 Burst=3 MaxWait=off MaxPause=off MinRate=off Decrease=off Recovery=off tokens:3 pause:0 rate:2.5"}},
		{"rate limit, adaptive", policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, MinRate: 5, ObserveOnly: true}),
			[]string{"rate_limit/rate_limit Rate=100 Burst=100 MaxWait=off MaxPause=off MinRate=5 Decrease=0.7 Recovery=30s ObserveOnly=on tokens:100 pause:0 rate:100"}},
		{"chaos", policies.NewChaos(policies.ChaosConfig{Enabled: true, For: time.Minute, HangRate: 0.25, When: always}), []string{
			"chaos/chaos Enabled=on For=1m When=set LatencyRate=off Latency=off ErrorRate=off Err=set OutcomeRate=off HangRate=0.25" +
				" CutRate=off CutAfter=off armed:1 injected:0",
		}},
		{"bulkhead", policies.NewBulkhead(policies.BulkheadConfig{MaxQueue: 7}),
			[]string{"bulkhead/bulkhead MaxConcurrent=25 MaxQueue=7 MaxWait=1s UntilResult=off Order=fifo Lease=off limit:25"}},
		{"breaker", policies.NewBreaker(policies.BreakerConfig{}), []string{
			"breaker/breaker FailureThreshold=5 FailureRate=off SlowCall=off SlowRate=off MinCalls=off Window=off Buckets=off" +
				" WindowCalls=off TripOnThrottle=off Timeout=30s RecoveryTime=30s RecoveryBackoff=2 MaxRecoveryTime=5m" +
				" HealthInterval=5s SuccessThreshold=2 MaxProbes=2 ProbeLease=1m Ramp=off" + quiet,
		}},
		{"breaker, set", policies.NewBreaker(policies.BreakerConfig{Key: "eu", FailureRate: 0.25, MinCalls: 10, HealthCheck: check}), []string{
			"breaker/breaker of eu FailureThreshold=off FailureRate=0.25 SlowCall=off SlowRate=off MinCalls=10 Window=30s Buckets=10" +
				" WindowCalls=off TripOnThrottle=off Timeout=30s RecoveryTime=1m RecoveryBackoff=2 MaxRecoveryTime=5m" +
				" HealthCheck=set HealthInterval=5s SuccessThreshold=2 MaxProbes=2 ProbeLease=1m Ramp=off" + quiet,
		}},
		{"keyed", policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.Timeout { return nil }),
			[]string{"keyed/keyed Key=set Max=1000 Idle=10m keys:0"}},
	} {
		if got := reportsOf(row.policy); !slices.Equal(got, row.want) {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, strings.Join(got, "\n"), strings.Join(row.want, "\n"))
		}
		if again := reportsOf(row.policy); !slices.Equal(again, row.want) {
			t.Errorf("%s, asked again: %s", row.name, strings.Join(again, "\n"))
		}
	}
}

func TestAKeyedReportsThePolicyOfEachKey(t *testing.T) {
	p := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *middleware.Chain {
		return middleware.NewChain("", policies.NewTimeout(policies.TimeoutConfig{}), policies.NewBreaker(policies.BreakerConfig{Key: "host " + key}))
	})
	for _, key := range []string{"b", "a"} {
		p.For(key)
	}
	seen := func(most int) (got []string) {
		middleware.NewChain("x", p).Reports(func(r middleware.Report) bool {
			got = append(got, r.Type+"/"+r.Key)
			return len(got) < most
		})
		return got
	}
	want := []string{"keyed/", "timeout/a", "breaker/host a", "timeout/b", "breaker/host b"}
	for most := 1; most <= len(want); most++ {
		if got := seen(most); !slices.Equal(got, want[:most]) {
			t.Errorf("the first %d reports are %v, want %v", most, got, want[:most])
		}
	}
}

func TestReportsCountWhoRunsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 5, MaxWait: time.Hour})
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, MaxWait: time.Minute})
		slow := func(context.Context) error { time.Sleep(time.Minute); return nil }
		for range 3 {
			go func() { _ = middleware.NewChain("x", bulkhead).Do(t.Context(), slow) }()
			go func() { _ = middleware.NewChain("x", limit).Do(t.Context(), succeed) }()
		}
		synctest.Wait()
		got := append(reportsOf(bulkhead), reportsOf(limit)...)
		want := []string{
			"bulkhead/bulkhead running=1 waiting=2 MaxConcurrent=1 MaxQueue=5 MaxWait=1h UntilResult=off Order=fifo Lease=off limit:1",
			"rate_limit/rate_limit running=0 waiting=2 Rate=1 Burst=1 MaxWait=1m MaxPause=off MinRate=off Decrease=off Recovery=off tokens:-2 pause:0 rate:1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		time.Sleep(time.Hour)
		for _, line := range append(reportsOf(bulkhead), reportsOf(limit)...) {
			if strings.Contains(line, "waiting") {
				t.Errorf("afterwards: %s", line)
			}
		}
	})
}

func TestABudgetReportsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := policies.NewRetry(policies.RetryConfig{Attempts: 2, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: 0.5, MinPerSecond: -1})})
		chain := middleware.NewChain("x", r)
		for range 6 {
			_ = chain.Do(t.Context(), succeed)
		}
		_ = chain.Do(t.Context(), func(context.Context) error {
			return middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Failure, Retry: true})
		})
		if got, want := reportsOf(r)[1], "budget/retry Ratio=0.5 MinPerSecond=off Window=10s calls:7 extra:1 left:2"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// circuitOf returns what a breaker reports of its circuit.
func circuitOf(b *policies.Breaker) (c middleware.Circuit) {
	b.Reports(func(r middleware.Report) bool { c = *r.Breaker; return true })
	return c
}

func timesOf(c middleware.Circuit) string {
	var text []string
	for _, s := range c.Times {
		text = append(text, s.State+"="+s.Time.String())
	}
	return strings.Join(text, " ")
}

// The times of a circuit add up to the time since the breaker was made, and each state has
// what it really took, a half-open one that no call has made so included.
func TestTheTimesOfACircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: 10 * time.Second, RecoveryBackoff: 1})
		chain := middleware.NewChain("x", b)
		for _, step := range []struct {
			after time.Duration
			do    func()
			state string
			since time.Duration // of the state, from the beginning
			times string
		}{
			{5 * time.Second, func() {}, "closed", 0, "closed=5s"},
			{time.Second, func() { _ = chain.Do(t.Context(), fail) }, "open", 6 * time.Second, "closed=6s open=0s"},
			{9 * time.Second, func() {}, "open", 6 * time.Second, "closed=6s open=9s"},
			{4 * time.Second, func() {}, "half_open", 16 * time.Second, "closed=6s open=10s half_open=3s"},
			{time.Second, func() { _ = chain.Do(t.Context(), fail) }, "open", 20 * time.Second, "closed=6s open=10s half_open=4s"},
			{12 * time.Second, func() { _ = chain.Do(t.Context(), succeed) }, "closed", 32 * time.Second, "closed=6s open=20s half_open=6s"},
			{time.Second, b.Reset, "closed", 32 * time.Second, "closed=7s open=20s half_open=6s"},
			{time.Second, b.ForceOpen, "forced_open", 34 * time.Second, "closed=8s open=20s half_open=6s forced_open=0s"},
			{time.Second, b.ObserveOnly, "observed_closed", 35 * time.Second, "closed=8s open=20s half_open=6s forced_open=1s observed_closed=0s"},
			{time.Second, func() { _ = chain.Do(t.Context(), fail) }, "observed_open", 36 * time.Second,
				"closed=8s open=20s half_open=6s forced_open=1s observed_closed=1s observed_open=0s"},
			{11 * time.Second, func() {}, "observed_half_open", 46 * time.Second,
				"closed=8s open=20s half_open=6s forced_open=1s observed_closed=1s observed_open=10s observed_half_open=1s"},
		} {
			time.Sleep(step.after)
			step.do()
			c := circuitOf(b)
			if c.State != step.state || timesOf(c) != step.times || c.Since.Sub(began) != step.since {
				t.Errorf("after %v: %s since %v, %s; want %s since %v, %s", time.Since(began),
					c.State, c.Since.Sub(began), timesOf(c), step.state, step.since, step.times)
			}
			var sum time.Duration
			for _, s := range c.Times {
				sum += s.Time
			}
			if sum != time.Since(began) {
				t.Errorf("after %v the times add up to %v", time.Since(began), sum)
			}
		}
	})
}

// traced is a context that belongs to a trace, as namedTraces says.
func traced(t *testing.T, id string) context.Context {
	return context.WithValue(t.Context(), traceKey{}, id)
}

func nothing(context.Context, middleware.Event) {}

func namedTraces(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}

// The opener is the call that opened the circuit last, or, if that has no trace, the one
// before in the same outage. Every rejection names it.
func TestRejectionsNameTheCallThatOpenedTheCircuit(t *testing.T) {
	for _, observed := range []bool{false, true} {
		t.Run(fmt.Sprintf("observed only: %v", observed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rejectionsNameTheOpener(t, observed) })
		})
	}
}

func rejectionsNameTheOpener(t *testing.T, observed bool) {
	var seen recorder
	b := policies.NewBreaker(policies.BreakerConfig{
		FailureThreshold: 1, SuccessThreshold: 1, Timeout: 10 * time.Second, RecoveryBackoff: 1, Ramp: 10 * time.Second,
	})
	chain := middleware.NewChain("x", &seen, tracer{nothing, namedTraces}, b)
	kind := middleware.Rejected
	if observed {
		b.ObserveOnly()
		kind = middleware.WouldReject
	}
	for _, step := range []struct {
		after  time.Duration
		trace  string
		op     func(context.Context) error
		opener string // of a call that comes then
		shown  string // of the circuit
	}{
		{0, "one", fail, "one", "one"},
		{10 * time.Second, "", fail, "one", "one"},          // a probe that is not sampled fails
		{10 * time.Second, "three", fail, "three", "three"}, // a probe fails
		{10 * time.Second, "", fail, "three", "three"},      // another one
		{10 * time.Second, "four", succeed, "three", ""},    // a probe succeeds, the ramp begins
		{time.Second, "five", fail, "five", "five"},         // and fails, by a call of its share
		{10 * time.Second, "six", succeed, "five", ""},      // the ramp once more
		{11 * time.Second, "seven", fail, "seven", "seven"}, // after the ramp: another outage
		{10 * time.Second, "eight", succeed, "seven", ""},   // the ramp
		{11 * time.Second, "", fail, "", ""},                // an outage that nobody has a trace of
	} {
		time.Sleep(step.after)
		for before := b.Status().Generation; b.Status().Generation == before; {
			_ = chain.Do(traced(t, step.trace), step.op) // in a ramp, the first that gets through
		}
		if c := circuitOf(b); c.Opener != step.shown {
			t.Errorf("after trace %q the opener of the circuit is %q, want %q", step.trace, c.Opener, step.shown)
		}
		seen.events = nil
		for range 3 {
			_ = chain.Do(t.Context(), succeed)
		}
		rejected := seen.of(kind)
		if len(rejected) == 0 {
			t.Fatalf("after trace %q nothing was rejected", step.trace)
		}
		for _, e := range rejected {
			if e.Opener != step.opener {
				t.Errorf("after trace %q the opener of a rejection is %q, want %q", step.trace, e.Opener, step.opener)
			}
		}
	}
}

// Whoever asks often costs little: settings are made once.
func TestSettingsAreMadeOnce(t *testing.T) {
	for name, p := range onePolicyOfEachType() {
		var made []*middleware.Setting
		for range 2 {
			p.(middleware.Reporter).Reports(func(r middleware.Report) bool {
				made = append(made, &r.Settings[0])
				return false
			})
		}
		if len(made) != 2 || made[0] != made[1] {
			t.Errorf("%s makes its settings again", name)
		}
	}
}

// The event of a breaker that opens by a rate says the share that brought it about, and
// another one none.
func TestTheRateThatOpensACircuit(t *testing.T) {
	for _, row := range []struct {
		name   string
		config policies.BreakerConfig
		want   float64
	}{
		{"failures", policies.BreakerConfig{FailureRate: 0.5, MinCalls: 4}, 0.75},
		{"slow calls", policies.BreakerConfig{SlowCall: time.Second, SlowRate: 0.2, FailureRate: 0.9, MinCalls: 4}, 0.25},
		{"failures in a row", policies.BreakerConfig{FailureThreshold: 3}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opened []middleware.Event
				observer := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) { opened = append(opened, e) })
				chain := middleware.NewChain("x", observer, policies.NewBreaker(row.config))
				for i := range 4 {
					_ = chain.Do(t.Context(), func(context.Context) error {
						if i == 0 {
							time.Sleep(time.Minute)
							return nil
						}
						return errors.New("failed")
					})
				}
				if len(opened) != 1 || opened[0].To != "open" || opened[0].Rate != row.want {
					t.Errorf("got %+v, want one that says %v", opened, row.want)
				}
			})
		})
	}
}

func TestAPersonIsNoOpener(t *testing.T) {
	var seen recorder
	b, chain := opened(t, policies.BreakerConfig{FailureThreshold: 1}, &seen, tracer{nothing, func(context.Context) string { return "one" }})
	if c := circuitOf(b); c.Opener != "one" || c.State != "open" || c.Until.IsZero() || c.Opened.IsZero() {
		t.Fatalf("%+v", c)
	}
	b.ForceOpen()
	_ = chain.Do(t.Context(), succeed)
	if c := circuitOf(b); c.Opener != "" || c.State != "forced_open" || c.Reason != "forced" || !c.Until.IsZero() || c.Opened.IsZero() || c.Share != 0 {
		t.Errorf("%+v", c)
	}
	if e := seen.of(middleware.Rejected); len(e) != 1 || e[0].Opener != "" {
		t.Errorf("%+v", e)
	}
}

// A health check that passed is told before the transition that it causes, with the time
// that it took, as is that of one that failed.
func TestEventsOfHealthChecksSayHowLongTheyTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		n := 0
		var seen recorder
		opened(t, checked(func(context.Context) error {
			n++
			time.Sleep(time.Duration(n) * time.Second)
			if n == 1 {
				return errors.New("not yet")
			}
			return nil
		}), &seen)
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, e := range seen.events {
			told = append(told, fmt.Sprintf("%v %s%s %v", e.Kind, e.To, e.Policy, e.Wait))
		}
		want := []string{
			"transition openbreaker 1m0s", "health_check_failed breaker 1s", "health_check_passed breaker 2s", "transition closedbreaker 0s",
		}
		if !slices.Equal(told, want) {
			t.Errorf("events %q, want %q", told, want)
		}
	})
}

func TestRejectionsOfAnObservedBreakerAllocateNothing(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, Timeout: 1000 * time.Hour})
	chain := middleware.NewChain("x", tracer{nothing, func(context.Context) string { return "one" }}, b)
	_ = chain.Do(t.Context(), fail)
	if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(t.Context(), succeed) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
