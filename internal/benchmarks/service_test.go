package benchmarks

import (
	"context"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkService is a call that succeeds at once, through a service with the preset for
// HTTP, and through the same policies put together by hand. What a service adds to its
// policies, to count its calls and to be set anew, is measured in turns with policies that
// only let the call through, since that is not lost in what others cost.
func BenchmarkService(b *testing.B) {
	measureRows(b, services(b))
	bare := passThrough()
	var slot middleware.Slot
	slot.Set(bare.Policies()...)
	counted, err := manager(b, tidegate.Config{}).AddChain("x", bare.Policies()...)
	check(b, err)
	for _, work := range []struct {
		name  string
		chain *middleware.Chain
	}{
		{"a slot", middleware.NewChain("x", &slot)},
		{"the counters of a service", counted.Chain()},
		{"control: nothing", bare},
	} {
		runOnOne(b, work.name+"/tidegate", func(b *testing.B) {
			var c comparison
			for b.Loop() {
				c = compare(through(b, bare), through(b, work.chain), 2_000)
			}
			b.ReportMetric(0, "ns/op") // of both: not printed
			b.ReportMetric(c.added, "+ns")
			b.ReportMetric(c.allocs, "+allocs")
		})
	}
}

func TestServices(t *testing.T) { checkRows(t, services(t)) }

// The policies put together by hand are those of the service.
func TestTheServiceByHandIsTheSame(t *testing.T) {
	s := service(t)
	var got, want []string
	for _, p := range handmade(s.Config()).Policies() {
		got = append(got, reflect.TypeOf(p).String())
	}
	for _, p := range s.Chain().Policies() {
		if _, reports := p.(middleware.Reporter); reports { // not so what counts the calls
			want = append(want, reflect.TypeOf(p).String())
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("by hand %v, the service has %v", got, want)
	}
}

func services(tb testing.TB) []row {
	tb.Helper()
	s := service(tb)
	by := handmade(s.Config())
	return []row{
		{name: "preset http/tidegate", call: tidegateService(s), allocs: 2},
		{name: "preset http/by hand", call: tidegateCall(by)},
		{name: "preset http/failsafe-go", call: failsafeCall(failsafeService())},
		{name: "the same, and the operation asks for ctx.Done/tidegate", call: waits(s.Chain()), allocs: 14},
		{name: "the same, and the operation asks for ctx.Done/by hand", call: waits(by)},
		{name: "the same, and the operation asks for ctx.Done/failsafe-go", call: failsafeWaits(failsafeService())},
	}
}

func service(tb testing.TB) *tidegate.Service {
	tb.Helper()
	m := manager(tb, tidegate.Config{Services: map[string]tidegate.ServiceConfig{"x": {Preset: tidegate.HTTP}}})
	s, err := m.Service("x")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func manager(tb testing.TB, c tidegate.Config) *tidegate.Manager {
	tb.Helper()
	m, err := tidegate.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

func tidegateService(s *tidegate.Service) call {
	return func(ctx context.Context, _ bool) error { return s.Do(ctx, succeed) }
}

// handmade returns the policies of a service with the preset for HTTP.
func handmade(c tidegate.ServiceConfig) *middleware.Chain {
	c.Retry.Budget = policies.NewBudget(c.Budget)
	return middleware.NewChain("x",
		policies.NewFallback(policies.FallbackConfig{}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: c.Timeout}),
		policies.NewRetry(c.Retry),
		policies.NewBreaker(c.Breaker),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt_timeout", Limit: c.AttemptTimeout}))
}

// It has no fallback, as that would answer each call that fails.
func failsafeService() failsafe.Executor[any] {
	return failsafe.With(
		timeout.New[any](30*time.Second),
		retrypolicy.NewBuilder[any]().WithMaxAttempts(3).WithBackoff(100*time.Millisecond, 10*time.Second).WithBudget(budget.New()).Build(),
		circuitbreaker.NewBuilder[any]().WithFailureThreshold(5).WithSuccessThreshold(2).WithDelay(30*time.Second).Build(),
		timeout.New[any](10*time.Second))
}

func through(b *testing.B, chain *middleware.Chain) func() {
	b.Helper()
	ctx := b.Context()
	return func() { check(b, chain.Do(ctx, succeed)) }
}

// BenchmarkApply is what it takes to give a Manager with 200 services their settings: to
// make it, and to set it anew, with the same settings, with others for one service, and with
// others for all. No other library has that. It is measured with one processor.
func BenchmarkApply(b *testing.B) {
	plain, one, all := configOf(0), configOf(1), configOf(manyServices)
	runOnOne(b, "200 services, New/tidegate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := tidegate.New(plain)
			check(b, err)
			check(b, m.Close())
		}
	})
	for _, work := range []struct {
		name string
		next tidegate.Config
	}{
		{"200 services, the same", plain},
		{"200 services, one changes", one},
		{"200 services, all change", all},
	} {
		runOnOne(b, work.name+"/tidegate", func(b *testing.B) {
			m, next, other := manager(b, plain), work.next, plain
			b.ReportAllocs()
			for b.Loop() {
				check(b, m.Apply(next))
				next, other = other, next
			}
		})
	}
}

const manyServices = 200

// configOf returns the settings of many services, of which the first so many have others than
// the preset.
func configOf(changed int) tidegate.Config {
	c := tidegate.Config{Services: make(map[string]tidegate.ServiceConfig, manyServices)}
	for i := range manyServices {
		s := tidegate.ServiceConfig{Preset: tidegate.HTTP}
		if i < changed {
			s.Breaker.FailureThreshold = 7
			s.Retry.Attempts = 2
			s.Timeout = 25 * time.Second
		}
		c.Services["service-"+strconv.Itoa(i)] = s
	}
	return c
}
