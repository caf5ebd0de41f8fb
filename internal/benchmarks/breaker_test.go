package benchmarks

import (
	"context"
	"errors"
	"testing"

	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var errBroken = errors.New("broken")

// BenchmarkBreaker is a breaker alone: closed with calls that succeed, and open.
func BenchmarkBreaker(b *testing.B) {
	for _, state := range []struct {
		name string
		open bool
	}{{"closed", false}, {"open", true}} {
		b.Run(state.name+"/tidegate", func(b *testing.B) {
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
			chain := middleware.NewChain("x", breaker)
			if state.open {
				_ = chain.Do(b.Context(), func(context.Context) error { return errBroken })
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = chain.Do(b.Context(), succeed)
			}
		})
		b.Run(state.name+"/gobreaker", func(b *testing.B) {
			breaker := gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
				ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 1 },
			})
			if state.open {
				_, _ = breaker.Execute(func() (any, error) { return nil, errBroken })
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = breaker.Execute(func() (any, error) { return nil, nil })
			}
		})
	}
}
