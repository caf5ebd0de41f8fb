package tidegate

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
)

// Metrics are how many calls of a service have ended, since it was made. A call
// that was repeated is one call.
type Metrics struct {
	// Total is the sum of the others.
	Total uint64 `json:"total"`

	// Successful calls are those that the dependency answered. The caller may still
	// have an error, as with an object that does not exist.
	Successful uint64 `json:"successful"`

	// Failed calls are those that the dependency failed, or was too slow for.
	Failed uint64 `json:"failed"`

	// Rejected calls are those that a policy of the service refused, see
	// [IsRejected].
	Rejected uint64 `json:"rejected"`

	// Ignored calls say nothing about the dependency: mostly the caller gave up.
	Ignored uint64 `json:"ignored"`
}

// IsRejected reports whether err says that a policy refused a call before any of
// it ran: a breaker is open, has its probes or recovers, a rate limit is reached,
// the deadline is too near to wait for a turn. Nothing was sent through the chain that
// the *[middleware.Rejection] in err names, which also says why and, if it is known,
// when to come back.
//
// A time-out is no refusal, nor is the caller's cancellation. Nor is the end of the
// retries for lack of time, or a breaker that opened between two attempts: there the
// operation ran, and the Rejection wraps its error.
func IsRejected(err error) bool {
	r, ok := errors.AsType[*middleware.Rejection](err)
	return ok && refuses(r)
}

func refuses(r *middleware.Rejection) bool {
	return r.Err == nil && !r.Timeout() && !errors.Is(r, middleware.ErrCanceled)
}

// A meter is the policy that counts the calls of a service. It has no name, as it decides
// nothing that anybody could see.
type meter struct {
	successful, failed, rejected, ignored atomic.Uint64
}

// Plan implements [middleware.Planner]: a meter does nothing to a call.
func (m *meter) Plan() middleware.Plan { return middleware.Plan{} }

// Execute implements [middleware.Policy].
func (m *meter) Execute(ctx context.Context, next middleware.Next) error {
	count := &m.failed // unless next returns: a panic or Goexit
	defer func() { count.Add(1) }()
	err := next.Do(ctx)
	count = m.counter(next.Chain().Name(), err)
	return err
}

func (m *meter) counter(chain string, err error) *atomic.Uint64 {
	switch middleware.VerdictOf(err).Class {
	case middleware.Success:
		return &m.successful
	case middleware.Failure, middleware.Throttled:
		return &m.failed
	default:
	}
	// A chain inside the operation may have rejected too: that is the operation's
	// affair.
	r, ok := errors.AsType[*middleware.Rejection](err)
	switch {
	case !ok || r.Chain != chain:
		return &m.ignored
	case r.Timeout():
		return &m.failed
	case refuses(r):
		return &m.rejected
	default:
		return &m.ignored
	}
}

func (m *meter) metrics() Metrics {
	n := Metrics{
		Successful: m.successful.Load(),
		Failed:     m.failed.Load(),
		Rejected:   m.rejected.Load(),
		Ignored:    m.ignored.Load(),
	}
	n.Total = n.Successful + n.Failed + n.Rejected + n.Ignored
	return n
}
