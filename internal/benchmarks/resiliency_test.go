package benchmarks

import (
	"context"

	"github.com/eapache/go-resiliency/breaker"
)

// It has no window. Successes do not end a row of failures, only time does.
func resiliencyBreaker(w workload) call {
	if w.mode != consecutive && w.mode != opened {
		return nil
	}
	b := breaker.New(w.threshold, 2, stayOpen)
	return func(_ context.Context, fails bool) error {
		if fails {
			return b.Run(failAlone)
		}
		return b.Run(succeedAlone)
	}
}
