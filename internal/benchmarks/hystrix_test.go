package benchmarks

import (
	"context"
	"time"

	"github.com/afex/hystrix-go/hystrix"
)

// Its window has always ten buckets of a second. A breaker is known by its name
// and is there as long as the program.
func hystrixBreaker(w workload) call {
	if w.mode != rolling && w.mode != opened {
		return nil
	}
	hystrix.ConfigureCommand(w.name, hystrix.CommandConfig{
		RequestVolumeThreshold: w.threshold,
		ErrorPercentThreshold:  failureRate * 100,
		SleepWindow:            int(stayOpen / time.Millisecond),
		// Calls give back their permits some time after they have returned.
		MaxConcurrentRequests: 100_000,
		Timeout:               int(stayOpen / time.Millisecond),
	})
	if _, _, err := hystrix.GetCircuit(w.name); err != nil { // starts its goroutines
		panic(err)
	}
	return func(ctx context.Context, fails bool) error {
		if fails {
			return hystrix.DoC(ctx, w.name, fail, nil)
		}
		return hystrix.DoC(ctx, w.name, succeed, nil)
	}
}
