package observability

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// WithLogger makes the events of policies records of l. A nil l logs nothing.
//
// The message is the name of the span event, the attributes are those of the span events,
// all without [Namespace]; trace_id is there when the trace is sampled. The text of an error
// is not. The levels are
//
//	WARN   a breaker opens; a refusal; a timeout; retries that the budget has stopped; what
//	       chaos does; a place that was not given back in time; a fallback that failed
//	INFO   other transitions and stops of retries, nested retries, health checks, what would
//	       have been refused, hedges that the budget refused, other fallbacks, changed limits
//	DEBUG  scheduled retries, hedges, waits
//
// What calls repeat at WARN and INFO is folded: of refusals, timeouts, stopped retries and
// the like with the same chain, policy, key and reason the first one is logged at once, and
// then one a minute at the most, whose attribute repeated says for how many it stands. The
// rest is logged before the next transition in the chain, or else, after the minute, when
// something else comes to be folded or a [Monitor] of the chain looks. The handler is called
// on the goroutine of the call, with its context, and for the rest with none.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.logger = l }
}

// foldTime is how long events are folded into one record.
const foldTime = time.Minute

// maxFolds bounds how many kinds of events are folded apart. Beyond that keys are not told
// apart, and beyond twice that events are not logged.
const maxFolds = 1024

// An eventLogger writes events to a handler of slog. A nil one writes nothing.
type eventLogger struct {
	handler slog.Handler

	mu    sync.Mutex
	folds map[foldID]*fold
	swept time.Time
}

// A foldID tells events apart.
type foldID struct {
	chain, policy, key string
	kind               middleware.Kind
	reason             string
}

// A fold is what has been logged of equal events, and what not.
type fold struct {
	logged  time.Time // the last record
	waiting int       // events since then
	last    remark    // of those
}

// A remark is an event that is to be logged.
type remark struct {
	event    middleware.Event
	trace    trace.TraceID
	repeated int // 0: it is the first one
}

func newEventLogger(l *slog.Logger) *eventLogger {
	if l == nil {
		return nil
	}
	return &eventLogger{handler: l.Handler(), folds: make(map[foldID]*fold)}
}

// levelOf returns the level of e.
func levelOf(e middleware.Event) slog.Level {
	switch e.Kind {
	case middleware.Transition:
		if opens(e) {
			return slog.LevelWarn
		}
	case middleware.RetryStopped:
		if e.Reason == "budget" {
			return slog.LevelWarn
		}
	case middleware.FallbackUsed:
		if failedToo(e) {
			return slog.LevelWarn
		}
	case middleware.Rejected, middleware.TimedOut, middleware.Injected, middleware.LeaseExpired:
		return slog.LevelWarn
	case middleware.RetryScheduled, middleware.HedgeStarted, middleware.HedgeWon, middleware.Waited:
		return slog.LevelDebug
	default:
	}
	return slog.LevelInfo
}

// folds reports whether events of the kind come with calls, so that there may be very many
// equal ones.
func (id *foldID) folds() bool {
	switch id.kind {
	case middleware.Rejected, middleware.WouldReject, middleware.RetryStopped, middleware.TimedOut,
		middleware.HedgeRefused, middleware.FallbackUsed, middleware.LimitChanged, middleware.Injected,
		middleware.NestedRetry, middleware.LeaseExpired:
		return true
	default:
		return false
	}
}

// observe logs e, or counts it.
func (l *eventLogger) observe(ctx context.Context, e middleware.Event) {
	if l == nil || !l.handler.Enabled(ctx, levelOf(e)) {
		return
	}
	now := remark{event: e, trace: sampledTrace(ctx)}
	var rest []remark
	switch id := (foldID{e.Chain, e.Policy, e.Key, e.Kind, e.Reason}); {
	case id.folds():
		var due bool
		if now.repeated, due, rest = l.fold(id, now); !due {
			l.log(rest)
			return
		}
	case e.Kind == middleware.Transition:
		rest = l.finish(e.Chain)
	}
	l.log(rest)
	l.write(ctx, now)
}

// fold counts an event. It is due when it is to be logged, and then stands for so many
// that were repeated. The rest is to be logged before it.
func (l *eventLogger) fold(id foldID, r remark) (repeated int, due bool, rest []remark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := r.event.Time
	if at.Sub(l.swept) >= foldTime {
		l.swept = at
		rest = l.sweep(func(other foldID, f *fold) bool { return other != id && at.Sub(f.logged) >= foldTime })
	}
	f := l.folds[id]
	if f == nil && len(l.folds) >= maxFolds {
		id.key = ""
		f = l.folds[id]
	}
	switch {
	case f == nil && len(l.folds) >= 2*maxFolds:
		return 0, false, rest
	case f == nil:
		l.folds[id] = &fold{logged: at}
		return 0, true, rest
	}
	f.waiting++
	if at.Sub(f.logged) < foldTime {
		f.last = r
		return 0, false, rest
	}
	repeated = f.waiting
	*f = fold{logged: at}
	return repeated, true, rest
}

// finish returns what has not been logged of a chain. What comes then is a first one.
func (l *eventLogger) finish(chain string) []remark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sweep(func(id foldID, _ *fold) bool { return id.chain == chain })
}

// flush logs what is left over of the time until a minute before at.
func (l *eventLogger) flush(at time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	rest := l.sweep(func(_ foldID, f *fold) bool { return at.Sub(f.logged) >= foldTime })
	l.mu.Unlock()
	l.log(rest)
}

// sweep drops folds and returns what they have not logged, in the order of the last events.
// The lock is held.
func (l *eventLogger) sweep(which func(foldID, *fold) bool) (rest []remark) {
	for id, f := range l.folds {
		if !which(id, f) {
			continue
		}
		if f.waiting > 0 {
			f.last.repeated = f.waiting
			rest = append(rest, f.last)
		}
		delete(l.folds, id)
	}
	slices.SortFunc(rest, func(a, b remark) int {
		return cmp.Or(a.event.Time.Compare(b.event.Time), cmp.Compare(a.event.Policy, b.event.Policy), cmp.Compare(a.event.Key, b.event.Key))
	})
	return rest
}

// log writes what was folded. It belongs to no context: the calls are over.
func (l *eventLogger) log(all []remark) {
	for _, r := range all {
		l.write(context.Background(), r)
	}
}

func (l *eventLogger) write(ctx context.Context, r remark) {
	n := entryOf(nil, r.event)
	if n.name == "" {
		return
	}
	record := slog.NewRecord(r.event.Time, levelOf(r.event), strings.TrimPrefix(n.name, Namespace), 0)
	record.AddAttrs(slog.String(bare(keyChain), r.event.Chain))
	for _, a := range n.attributes {
		record.AddAttrs(logged(a))
	}
	if r.repeated > 0 {
		record.AddAttrs(slog.Int("repeated", r.repeated))
	}
	if r.trace.IsValid() {
		record.AddAttrs(slog.String("trace_id", r.trace.String()))
	}
	_ = l.handler.Handle(ctx, record) // as slog.Logger does
}

func bare(k attribute.Key) string { return strings.TrimPrefix(string(k), Namespace) }

// logged returns an attribute of a span as one of a record.
func logged(a attribute.KeyValue) slog.Attr {
	switch a.Value.Type() {
	case attribute.BOOL:
		return slog.Bool(bare(a.Key), a.Value.AsBool())
	case attribute.INT64:
		return slog.Int64(bare(a.Key), a.Value.AsInt64())
	case attribute.FLOAT64:
		return slog.Float64(bare(a.Key), a.Value.AsFloat64())
	default:
		return slog.String(bare(a.Key), a.Value.String())
	}
}
