package benchmarks

import (
	"cmp"
	"context"

	"github.com/sony/gobreaker/v2"
)

func gobreakerBreaker(w workload) call {
	if w.mode == counted {
		return nil
	}
	breaker := newGobreaker(w)
	return func(_ context.Context, fails bool) error {
		op := gobreakerSuccess
		if fails {
			op = gobreakerFailure
		}
		_, err := breaker.Execute(op)
		return err
	}
}

func gobreakerSuccess() (struct{}, error) { return struct{}{}, nil }
func gobreakerFailure() (struct{}, error) { return struct{}{}, errBroken }

func newGobreaker(w workload) *gobreaker.CircuitBreaker[struct{}] {
	threshold := uint32(w.threshold)
	settings := gobreaker.Settings{
		Timeout:     stayOpen,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= threshold },
	}
	if w.mode == rolling || w.mode == slow {
		settings.Interval = cmp.Or(w.window, window)
		settings.BucketPeriod = settings.Interval / buckets
		settings.ReadyToTrip = func(c gobreaker.Counts) bool {
			return c.Requests >= threshold && float64(c.TotalFailures)/float64(c.Requests) >= failureRate
		}
	}
	return gobreaker.NewCircuitBreaker[struct{}](settings)
}
