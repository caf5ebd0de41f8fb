package observability

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// The past is kept in buckets of ten seconds: what was counted in ten minutes, durations in
// five. One bucket more is there, because the newest has only begun, so a window reaches
// back at least as long as it says and at most a bucket longer.
const (
	bucketLength    = 10 * time.Second
	countBuckets    = 61
	durationBuckets = 31
)

// maxOpenings bounds how many openings of the breakers of a chain are remembered.
const maxOpenings = 256

// counts are what came of calls.
type counts struct {
	successes, failures, rejections, timeouts, cancellations int64 // by outcome

	attempts   int64 // that have ended
	retries    int64 // attempts that another one followed
	overBudget int64 // retries that a budget refused
	overRate   int64 // calls that a rate limit refused
	shed       int64 // calls that a throttle or an adaptive limit refused
	spared     int64 // decisions to refuse that were only observed
	disturbed  int64 // what chaos did
	cut        int64 // decisions of time limits to end what they limit
}

// calls returns how many calls have returned.
func (c *counts) calls() int64 {
	return c.successes + c.failures + c.rejections + c.timeouts + c.cancellations
}

func (c *counts) add(other *counts) {
	c.successes += other.successes
	c.failures += other.failures
	c.rejections += other.rejections
	c.timeouts += other.timeouts
	c.cancellations += other.cancellations
	c.attempts += other.attempts
	c.retries += other.retries
	c.overBudget += other.overBudget
	c.overRate += other.overRate
	c.shed += other.shed
	c.spared += other.spared
	c.disturbed += other.disturbed
	c.cut += other.cut
}

// called returns the counter of an outcome.
func (c *counts) called(outcome string) *int64 {
	switch outcome {
	case success:
		return &c.successes
	case rejected:
		return &c.rejections
	case timeout:
		return &c.timeouts
	case cancelled:
		return &c.cancellations
	default:
		return &c.failures
	}
}

// durations are the histograms of a bucket: of calls that were not refused, and of waits.
type durations struct{ calls, waits histogram }

// An opened is one opening of a breaker that was closed.
type opened struct {
	at          time.Time
	policy, key string
	trace       trace.TraceID
}

// A cause is a kind of event of which the newest trace is kept, for alerts.
type cause int

const (
	byRetry cause = iota
	byBudget
	byRate
	byLoad
	byWait
	byLimit
	byFailure
	byChaos
	causes
)

// A witness is the newest event of a cause. Its trace is that of the newest one that has
// one.
type witness struct {
	policy string
	trace  trace.TraceID
	at     time.Time // of the trace
}

// statistics are the rolling numbers of one chain.
type statistics struct {
	epoch time.Time
	began time.Time

	mu        sync.Mutex
	newest    int64 // number of the bucket, counted from the epoch
	counts    [countBuckets]counts
	durations [durationBuckets]durations
	total     counts
	inFlight  int64
	openings  []opened // oldest first
	witnesses [causes]witness
}

// now begins the bucket of now. The lock is held.
func (s *statistics) now() (at time.Time, c *counts, d *durations) {
	at = time.Now()
	n := int64(at.Sub(s.epoch) / bucketLength)
	for i := max(s.newest+1, n-countBuckets+1); i <= n; i++ {
		s.counts[i%countBuckets] = counts{}
	}
	for i := max(s.newest+1, n-durationBuckets+1); i <= n; i++ {
		d := &s.durations[i%durationBuckets]
		d.calls.reset()
		d.waits.reset()
	}
	s.newest = max(s.newest, n)
	return at, &s.counts[s.newest%countBuckets], &s.durations[s.newest%durationBuckets]
}

func (s *statistics) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
}

func (s *statistics) called(outcome string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, c, d := s.now()
	s.inFlight--
	*c.called(outcome)++
	*s.total.called(outcome)++
	if outcome != rejected { // it says nothing of the dependency how quickly a call is refused
		d.calls.add(took)
	}
}

func (s *statistics) attempt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, c, _ := s.now()
	c.attempts++
	s.total.attempts++
}

func (s *statistics) observe(e middleware.Event, id trace.TraceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, c, d := s.now()
	count := func(of func(*counts) *int64, by cause) {
		*of(c)++
		*of(&s.total)++
		s.witness(by, e, id, at)
	}
	switch e.Kind {
	case middleware.Transition:
		if e.From == "closed" && e.To == "open" {
			s.open(opened{at, e.Policy, e.Key, id})
		}
	case middleware.RetryScheduled:
		count(func(c *counts) *int64 { return &c.retries }, byRetry)
	case middleware.RetryStopped:
		if e.Reason == "budget" {
			count(func(c *counts) *int64 { return &c.overBudget }, byBudget)
		}
		s.witness(byFailure, e, id, at)
	case middleware.Rejected:
		switch e.Reason {
		case "rate_limited":
			count(func(c *counts) *int64 { return &c.overRate }, byRate)
		case "client_throttled", "concurrency_limited":
			count(func(c *counts) *int64 { return &c.shed }, byLoad)
		}
		s.witness(byFailure, e, id, at)
	case middleware.TimedOut:
		count(func(c *counts) *int64 { return &c.cut }, byLimit)
		s.witness(byFailure, e, id, at)
	case middleware.WouldReject:
		c.spared++
		s.total.spared++
	case middleware.Injected:
		count(func(c *counts) *int64 { return &c.disturbed }, byChaos)
	case middleware.Waited:
		if forTurn(e.Reason) {
			d.waits.add(e.Wait)
			s.witness(byWait, e, id, at)
		}
	default:
	}
}

// forTurn reports whether a wait with that reason was one in a rate limit, a bulkhead or an
// adaptive limit.
func forTurn(reason string) bool {
	return reason == "rate" || reason == "pause" || reason == "bulkhead" || reason == "adaptive_limit"
}

// witness remembers the event. The lock is held.
func (s *statistics) witness(of cause, e middleware.Event, id trace.TraceID, at time.Time) {
	w := &s.witnesses[of]
	w.policy = e.Policy
	if id.IsValid() {
		w.trace, w.at = id, at
	}
}

// open remembers an opening, in place of the oldest one when there are too many. The lock
// is held.
func (s *statistics) open(o opened) {
	if len(s.openings) == maxOpenings {
		s.openings = append(s.openings[:0], s.openings[1:]...)
	}
	s.openings = append(s.openings, o)
}

// figures are what is known of a chain over a while.
type figures struct {
	counts
	took, waits histogram // of calls, and of waits for a turn

	span     time.Duration // the while: the whole one, even if the chain is younger
	began    time.Time     // when the chain was first heard of
	total    counts        // since then
	inFlight int64
	openings []opened // of breakers that were closed
	witness  [causes]witness
}

func (s *statistics) figures(d time.Duration) figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _, _ := s.now()
	back := min(int64((d+bucketLength-1)/bucketLength), countBuckets-1)
	f := figures{
		began: s.began, total: s.total, inFlight: s.inFlight, witness: s.witnesses,
		span: at.Sub(s.epoch) - time.Duration(s.newest-back)*bucketLength,
	}
	for i := max(0, s.newest-back); i <= s.newest; i++ {
		f.add(&s.counts[i%countBuckets])
		if s.newest-i < durationBuckets {
			f.took.merge(&s.durations[i%durationBuckets].calls)
			f.waits.merge(&s.durations[i%durationBuckets].waits)
		}
	}
	for _, o := range s.openings {
		if at.Sub(o.at) <= d {
			f.openings = append(f.openings, o)
		}
	}
	for i := range f.witness {
		if w := &f.witness[i]; at.Sub(w.at) > f.span {
			w.trace = trace.TraceID{}
		}
	}
	return f
}

func (s *statistics) spark(buckets int) [][4]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now()
	all := make([][4]int64, buckets)
	for i := range all {
		n := s.newest - int64(buckets-1-i)
		if n < 0 || s.newest-n >= countBuckets {
			continue
		}
		c := &s.counts[n%countBuckets]
		all[i] = [4]int64{c.successes, c.failures + c.timeouts, c.rejections, c.retries}
	}
	return all
}
