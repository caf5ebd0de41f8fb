package benchmarks

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/zeromicro/go-zero/core/syncx"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkFlight is a call that shares its run with others of its key: one that hardly ever
// finds another, and one that always does if there are any. Of the latter the time is
// for each that calls, not for each run.
func BenchmarkFlight(b *testing.B) { measureRows(b, flights()) }

func TestFlights(t *testing.T) { checkRows(t, flights()) }

// BenchmarkStale is a call whose last good value is kept. No other library has that.
func BenchmarkStale(b *testing.B) { measureRows(b, stales(b)) }

func TestStales(t *testing.T) { checkRows(t, stales(t)) }

func flights() []row {
	return []row{
		{name: "many keys/tidegate", call: tidegateFlight(anyKey, one), allocs: 1},
		{name: "many keys/go-zero", call: gozeroFlight(anyKey, oneOfAny)},
		{name: "one key/tidegate", call: tidegateFlight(oneKey, yieldsOne), allocs: 1},
		{name: "one key/go-zero", call: gozeroFlight(oneKey, yieldsOneOfAny)},
	}
}

func stales(tb testing.TB) []row {
	return []row{
		{name: "success/tidegate", call: tidegateStale(tb, policies.StaleConfig{}, one), allocs: 6},
		{name: "success, shared/tidegate", call: tidegateStale(tb, policies.StaleConfig{SingleFlight: true}, one), allocs: 10},
		{name: "failure, with a copy/tidegate", call: tidegateStale(tb, policies.StaleConfig{}, none), allocs: 6},
	}
}

var keys = func() (all [1024]string) {
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return all
}()

func anyKey() string { return keys[rand.IntN(len(keys))] }
func oneKey() string { return keys[0] }

func yieldsOne(context.Context) (int, error) { runtime.Gosched(); return 1, nil }

func tidegateFlight(key func() string, op func(context.Context) (int, error)) call {
	var f policies.Flight[string, int]
	return func(ctx context.Context, _ bool) error {
		_, err := f.Do(ctx, key(), op)
		return err
	}
}

func tidegateStale(tb testing.TB, c policies.StaleConfig, op func(context.Context) (int, error)) call {
	tb.Helper()
	chain := middleware.NewChain("x", policies.NewFallback(policies.FallbackConfig{}))
	c.MaxKeys = len(keys)
	s := policies.NewStale[string, int](c)
	for _, key := range keys {
		if _, err := s.Call(tb.Context(), chain, key, one); err != nil {
			tb.Fatal(err)
		}
	}
	return func(ctx context.Context, _ bool) error {
		_, err := s.Call(ctx, chain, anyKey(), op)
		return err
	}
}

// It has no context: who waits does so until the run is over.
func gozeroFlight(key func() string, op func() (any, error)) call {
	f := syncx.NewSingleFlight()
	return func(context.Context, bool) error {
		_, err := f.Do(key(), op)
		return err
	}
}

func oneOfAny() (any, error)       { return 1, nil }
func yieldsOneOfAny() (any, error) { runtime.Gosched(); return 1, nil }
