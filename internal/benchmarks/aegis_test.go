package benchmarks

import (
	"context"

	"github.com/go-kratos/aegis/circuitbreaker/sre"
)

// It is never open: it rejects calls at random, the more the more of them fail.
func aegisBreaker(w workload) call {
	if w.mode != rolling {
		return nil
	}
	b := sre.NewBreaker(sre.WithWindow(window), sre.WithBucket(buckets),
		sre.WithRequest(int64(w.threshold)), sre.WithSuccess(1-failureRate))
	return func(_ context.Context, fails bool) error {
		if err := b.Allow(); err != nil {
			return err
		}
		op := succeedAlone
		if fails {
			op = failAlone
		}
		err := op()
		if err != nil {
			b.MarkFailed()
		} else {
			b.MarkSuccess()
		}
		return err
	}
}
