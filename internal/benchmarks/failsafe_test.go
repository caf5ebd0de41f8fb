package benchmarks

import (
	"context"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

func failsafeBreaker(w workload) call {
	b := circuitbreaker.NewBuilder[any]().WithDelay(stayOpen)
	switch w.mode {
	case counted:
		b = b.WithFailureThresholdRatio(windowCalls*failureRate, windowCalls)
	case rolling:
		b = b.WithFailureRateThreshold(failureRate, uint(w.threshold), window)
	case slow:
		return nil
	default:
		// It keeps a bit for each call of the capacity. So as never to open it needs
		// more failures than it can have, and not many bits.
		threshold := uint(w.threshold)
		b = b.WithFailureThresholdRatio(threshold, min(threshold, 5))
	}
	executor := failsafe.With(b.Build())
	return func(_ context.Context, fails bool) error {
		if fails {
			return executor.Run(failAlone)
		}
		return executor.Run(succeedAlone)
	}
}

// failsafeWaits is failsafeCall with an operation that asks for the end of its
// context.
func failsafeWaits(executor failsafe.Executor[any]) call {
	return func(ctx context.Context, _ bool) error {
		return executor.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error {
			return succeedUnlessDone(e.Context())
		})
	}
}

// failsafeCall is for policies that look at the context of the caller.
func failsafeCall(executor failsafe.Executor[any]) call {
	return func(ctx context.Context, fails bool) error {
		if fails {
			return executor.WithContext(ctx).Run(failAlone)
		}
		return executor.WithContext(ctx).Run(succeedAlone)
	}
}
