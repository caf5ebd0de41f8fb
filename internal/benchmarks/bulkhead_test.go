package benchmarks

import (
	"context"
	"testing"
	"time"

	"github.com/eapache/go-resiliency/semaphore"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/zeromicro/go-zero/core/syncx"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkBulkhead is a bulkhead alone: with a place for the call, with none, and with
// calls that wait for the only one, which with one processor is always free.
func BenchmarkBulkhead(b *testing.B) { measureRows(b, bulkheads(b)) }

func TestBulkheads(t *testing.T) { checkRows(t, bulkheads(t)) }

func bulkheads(tb testing.TB) []row {
	return []row{
		{name: "a place is free/tidegate", call: tidegateCall(bulkheadChain(policies.BulkheadConfig{MaxConcurrent: 100}))},
		{name: "a place is free/failsafe-go", call: failsafeCall(failsafe.With[any](bulkhead.New[any](100)))},
		{name: "a place is free/go-resiliency", call: resiliencyPlaces(100, succeedAlone)},
		{name: "a place is free/go-zero", call: gozeroPlaces(100, succeedAlone)},

		{name: "full/tidegate", call: tidegateFull(tb, bulkheadChain(policies.BulkheadConfig{MaxConcurrent: 1})), workload: refused},
		{name: "full/failsafe-go", call: failsafeFull(tb, bulkhead.New[any](1)), workload: refused},
		{name: "full/go-zero", call: gozeroFull(), workload: refused},

		{name: "one place, all want it/tidegate", call: tidegateYields(bulkheadChain(policies.BulkheadConfig{
			MaxConcurrent: 1, MaxQueue: 1000, MaxWait: time.Minute,
		}))},
		{name: "one place, all want it/failsafe-go", call: failsafeYields(failsafe.With[any](
			bulkhead.NewBuilder[any](1).WithMaxWaitTime(time.Minute).Build()))},
		{name: "one place, all want it/go-resiliency", call: resiliencyPlaces(1, yieldsAlone)},
		{name: "one place, all want it/go-zero", call: gozeroPlaces(1, yieldsAlone)},
	}
}

// refused is work that no call comes to.
var refused = workload{mode: opened}

func bulkheadChain(c policies.BulkheadConfig) *middleware.Chain {
	return middleware.NewChain("x", policies.NewBulkhead(c))
}

// tidegateFull is for a chain that has a single place.
func tidegateFull(tb testing.TB, chain *middleware.Chain) call {
	tb.Helper()
	occupy(tb, func(op func() error) error {
		return chain.Do(context.Background(), func(context.Context) error { return op() })
	})
	return tidegateCall(chain)
}

func tidegateYields(chain *middleware.Chain) call {
	return func(ctx context.Context, _ bool) error { return chain.Do(ctx, yields) }
}

// failsafeFull is for a policy that has a single place.
func failsafeFull(tb testing.TB, p failsafe.ResultAgnosticPolicy[any]) call {
	tb.Helper()
	executor := failsafe.With[any](p)
	occupy(tb, executor.Run)
	return failsafeCall(executor)
}

func failsafeYields(executor failsafe.Executor[any]) call {
	return func(ctx context.Context, _ bool) error { return executor.WithContext(ctx).Run(yieldsAlone) }
}

// It makes a timer for each call, even for one that need not wait. One that finds no
// place is refused by the timer, which is not at once: it is left out of that.
func resiliencyPlaces(n int, op func() error) call {
	s := semaphore.New(n, time.Minute)
	return func(context.Context, bool) error {
		if err := s.Acquire(); err != nil {
			return err
		}
		defer s.Release()
		return op()
	}
}

// It knows neither contexts nor how long a call may wait.
func gozeroPlaces(n int, op func() error) call {
	l := syncx.NewLimit(n)
	return func(context.Context, bool) error {
		l.Borrow()
		defer func() { _ = l.Return() }()
		return op()
	}
}

func gozeroFull() call {
	l := syncx.NewLimit(1)
	l.Borrow()
	return func(context.Context, bool) error {
		if !l.TryBorrow() {
			return syncx.ErrLimitReturn // it has no error for that
		}
		defer func() { _ = l.Return() }()
		return nil
	}
}
