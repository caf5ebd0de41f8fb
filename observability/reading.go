package observability

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tidegate-go/tidegate/middleware"
)

// readingOf returns a number that a policy tells of itself.
func readingOf(r middleware.Report, name string) (float64, bool) {
	for _, n := range r.Readings {
		if n.Name == name {
			return n.Value, n.Value-n.Value == 0 // neither infinite nor no number
		}
	}
	return 0, false
}

// observeReadings makes the instruments that are read off the numbers which policies tell,
// when somebody collects.
func observeReadings(m metric.Meter, c *chains) {
	limit := handled(m.Int64ObservableUpDownCounter(metricLimit, metric.WithUnit("{call}"),
		metric.WithDescription("Calls that a bulkhead or an adaptive limit lets run at the same time.")))
	rate := handled(m.Float64ObservableGauge(metricRate, metric.WithUnit("{call}/s"),
		metric.WithDescription("Calls that a rate limit lets begin, the lowest where there is one for each key.")))
	rejection := handled(m.Float64ObservableGauge(metricRejection, metric.WithUnit("1"),
		metric.WithDescription("Share of the calls that a throttle refuses, the largest where there is one for each key.")))
	armed := handled(m.Int64ObservableUpDownCounter(metricArmed, metric.WithUnit("1"),
		metric.WithDescription("How many chaos policies disturb calls: 1 or 0, and more where there is one for each key.")))
	_ = handled(m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for p, s := range sumUp(c) {
			switch p.kind {
			case "bulkhead", "adaptive_limit":
				o.ObserveInt64(limit, int64(s.sum), metric.WithAttributes(p.typed()...))
			case "rate_limit":
				o.ObserveFloat64(rate, s.least, metric.WithAttributes(p.attributes()...))
			case "throttle":
				o.ObserveFloat64(rejection, s.most, metric.WithAttributes(p.attributes()...))
			case "chaos":
				o.ObserveInt64(armed, int64(s.sum), metric.WithAttributes(p.attributes()...))
			}
		}
		return nil
	}, limit, rate, rejection, armed))
}

// told is the reading of each kind of policy that has an instrument.
var told = map[string]string{
	"bulkhead": "limit", "adaptive_limit": "limit", "rate_limit": "rate", "throttle": "rejection", "chaos": "armed",
}

// A told policy is one by its names.
type toldPolicy struct{ chain, kind, policy string }

func (p toldPolicy) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{keyChain.String(p.chain), keyPolicy.String(p.policy)}
}

func (p toldPolicy) typed() []attribute.KeyValue {
	return append(p.attributes(), keyPolicyType.String(p.kind))
}

// A summary is what the policies of one name come to.
type summary struct{ sum, least, most float64 }

// sumUp looks at the policies of all chains.
func sumUp(c *chains) map[toldPolicy]summary {
	all := make(map[toldPolicy]summary)
	c.reports(func(chain string, _ uintptr, r middleware.Report) bool {
		v, ok := readingOf(r, told[r.Type])
		if !ok {
			return true
		}
		p := toldPolicy{chain, r.Type, r.Name}
		s, seen := all[p]
		if !seen {
			s.least, s.most = v, v
		}
		all[p] = summary{s.sum + v, min(s.least, v), max(s.most, v)}
		return true
	})
	return all
}
