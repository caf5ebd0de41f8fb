package observability

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// maxOpeners is how many calls that opened a breaker are known by their span.
const maxOpeners = 256

// Openers are the newest calls that opened a breaker, so that a health check can be
// linked to one. Breakers tell the trace only.
type openers struct {
	mu   sync.Mutex
	all  map[string]trace.SpanContext // by trace
	ages []string                     // oldest first
}

func (o *openers) add(span trace.SpanContext) {
	if !span.IsSampled() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = make(map[string]trace.SpanContext)
	}
	id := span.TraceID().String()
	if _, ok := o.all[id]; !ok {
		if len(o.ages) == maxOpeners {
			delete(o.all, o.ages[0])
			o.ages = slices.Delete(o.ages, 0, 1)
		}
		o.ages = append(o.ages, id)
	}
	o.all[id] = span
}

func (o *openers) find(id string) (span trace.SpanContext, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	span, ok = o.all[id]
	return span, ok
}
