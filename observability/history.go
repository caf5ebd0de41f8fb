package observability

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Record is an entry of the history: one event of a policy, or several equal ones with
// no transition of the same chain and key between them. It holds no text of errors.
type Record struct {
	Time  time.Time // of the first event
	Last  time.Time // of the last event, which is the first one when Count is 1
	Count int       // how many events the record stands for

	Chain  string
	Policy string
	Key    string // that the policy stands for, if there is one for each key
	Kind   middleware.Kind
	Reason string

	From, To  string        // states of a Transition; of a LimitChanged the limit before the first event and after the last one
	Attempt   int           // counted from 1; 0 when the event has none
	Wait      time.Duration // of the last event; see [middleware.Kind]
	ErrorType string        // the kind of error, as in the attribute error.type
	Opener    string        // the trace of the call that opened the breaker which rejects, the newest one

	// TraceID is the sampled trace that an event happened in, the newest one;
	// invalid when there was none.
	TraceID trace.TraceID
}

// repeats reports whether r says the same as earlier.
func (r *Record) repeats(earlier *Record) bool {
	return r.follows(earlier) && r.Policy == earlier.Policy &&
		r.Kind == earlier.Kind && r.Reason == earlier.Reason &&
		(r.Kind == middleware.LimitChanged || r.From == earlier.From && r.To == earlier.To) &&
		r.Attempt == earlier.Attempt && r.ErrorType == earlier.ErrorType
}

// follows reports whether r comes from where earlier came from: a chain, or one of
// the keys that a policy of it has.
func (r *Record) follows(earlier *Record) bool {
	return r.Chain == earlier.Chain && r.Key == earlier.Key
}

// turns reports whether earlier is the change of the same limit before, in another direction.
func (r *Record) turns(earlier *Record) bool {
	return r.Kind == middleware.LimitChanged && earlier.Kind == r.Kind && earlier.Policy == r.Policy
}

// fold adds the event of r to earlier.
func (r *Record) fold(earlier *Record) {
	earlier.Count++
	earlier.Last, earlier.Wait, earlier.Opener, earlier.To = r.Last, r.Wait, r.Opener, r.To
	if r.TraceID.IsValid() {
		earlier.TraceID = r.TraceID
	}
}

// foldWithin is how far back an equal record is looked for, past others, whose events come
// in between: of other chains, or of the other policies that have a say about one call.
const foldWithin = 16

// A history is a ring of the newest records.
type history struct {
	mu      sync.Mutex
	records []Record
	size    int
	oldest  int    // once the ring is full
	added   uint64 // records, those that are no more included
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
		Chain: e.Chain, Policy: e.Policy, Key: e.Key, Kind: e.Kind, Reason: e.Reason,
		From: e.From, To: e.To, Attempt: e.Attempt, Wait: e.Wait, Opener: e.Opener,
	}
	r.TraceID = sampledTrace(ctx)
	if e.Err != nil {
		r.ErrorType = eventErrorType(e)
	}
	h.add(r)
}

// sampledTrace returns the trace that ctx belongs to, if it can be seen anywhere.
func sampledTrace(ctx context.Context) (id trace.TraceID) {
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		id = span.TraceID()
	}
	return id
}

func (h *history) add(r Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.records)
	for back := 1; back <= min(n, foldWithin); back++ {
		earlier := &h.records[(h.oldest+n-back)%n]
		if !r.follows(earlier) {
			continue
		}
		if r.repeats(earlier) {
			r.fold(earlier)
			return
		}
		if earlier.Kind == middleware.Transition || r.turns(earlier) {
			break
		}
	}
	h.added++
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
	return h.copied()
}

func (h *history) copied() []Record {
	out := make([]Record, 0, len(h.records))
	out = append(out, h.records[h.oldest:]...)
	return append(out, h.records[:h.oldest]...)
}

// numbered returns a snapshot, and the number of its first record; they are numbered from
// 1 in the order in which they came.
func (h *history) numbered() (records []Record, first uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	records = h.copied()
	return records, h.added - uint64(len(records)) + 1
}
