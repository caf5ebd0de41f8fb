package observability

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Record is an entry of the history: one event of a policy, or several equal
// ones that followed each other. It holds no text of errors.
type Record struct {
	Time  time.Time // of the first event
	Last  time.Time // of the last event, which is the first one when Count is 1
	Count int       // how many events the record stands for

	Chain  string
	Policy string
	Kind   middleware.Kind
	Reason string

	From, To  string        // states of a Transition
	Attempt   int           // counted from 1; 0 when the event has none
	Wait      time.Duration // of the last event; see [middleware.Kind]
	ErrorType string        // the kind of error, as in the attribute error.type

	// TraceID is the sampled trace that an event happened in, the newest one;
	// invalid when there was none.
	TraceID trace.TraceID
}

// repeats reports whether r says the same as earlier.
func (r *Record) repeats(earlier *Record) bool {
	return r.Chain == earlier.Chain && r.Policy == earlier.Policy &&
		r.Kind == earlier.Kind && r.Reason == earlier.Reason &&
		r.From == earlier.From && r.To == earlier.To &&
		r.Attempt == earlier.Attempt && r.ErrorType == earlier.ErrorType
}

// fold adds the event of r to earlier.
func (r *Record) fold(earlier *Record) {
	earlier.Count++
	earlier.Last, earlier.Wait = r.Last, r.Wait
	if r.TraceID.IsValid() {
		earlier.TraceID = r.TraceID
	}
}

// foldWithin is how far back a record of the same chain is looked for, past the
// records of other chains, whose events come in between.
const foldWithin = 16

// A history is a ring of the newest records.
type history struct {
	mu      sync.Mutex
	records []Record
	size    int
	oldest  int // once the ring is full
}

func newHistory(size int) *history {
	if size < 0 {
		return nil
	}
	return &history{size: size}
}

func (h *history) observe(ctx context.Context, e middleware.Event) {
	r := Record{
		Time: e.Time, Last: e.Time, Count: 1,
		Chain: e.Chain, Policy: e.Policy, Kind: e.Kind, Reason: e.Reason,
		From: e.From, To: e.To, Attempt: e.Attempt, Wait: e.Wait,
	}
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		r.TraceID = span.TraceID()
	}
	if e.Err != nil {
		r.ErrorType = eventErrorType(e)
	}
	h.add(r)
}

func (h *history) add(r Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.records)
	for back := 1; back <= min(n, foldWithin); back++ {
		earlier := &h.records[(h.oldest+n-back)%n]
		if earlier.Chain != r.Chain {
			continue
		}
		if r.repeats(earlier) {
			r.fold(earlier)
			return
		}
		break
	}
	if n < h.size {
		h.records = append(h.records, r)
		return
	}
	h.records[h.oldest] = r
	h.oldest = (h.oldest + 1) % n
}

// snapshot returns a copy, oldest first.
func (h *history) snapshot() []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Record, 0, len(h.records))
	out = append(out, h.records[h.oldest:]...)
	return append(out, h.records[:h.oldest]...)
}
