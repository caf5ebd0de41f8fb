package benchmarks

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkObserved is the call of BenchmarkChain with an observer, beside the same chain
// without one.
func BenchmarkObserved(b *testing.B) {
	chain := func(o *observability.Observer) call {
		return tidegateCall(middleware.NewChain("x", o,
			policies.NewTimeout(policies.TimeoutConfig{}), retry(), newTidegate(workload{threshold: 5}), rateLimit()))
	}
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
	for _, row := range []struct {
		name    string
		options []observability.Option
	}{
		{"off", []observability.Option{observability.WithHistory(-1)}},
		{"history only", nil},
		{"traced, not sampled", []observability.Option{observability.WithTracerProvider(unsampled())}},
		{"measured", []observability.Option{observability.WithMeterProvider(meters)}},
		{"sampled", []observability.Option{observability.WithTracerProvider(trace.NewTracerProvider())}},
		{"live", []observability.Option{observability.WithLive()}},
	} {
		b.Run(row.name+"/tidegate", func(b *testing.B) { measure(b, chain(observability.New(row.options...)), workload{}) })
		b.Run(row.name+"/no observer", func(b *testing.B) { measure(b, chain(nil), workload{}) })
	}
}
