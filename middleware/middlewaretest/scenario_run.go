package middlewaretest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A simulation is one run of a scenario. One goroutine, that of run, decides all that happens
// outside of the chains, one thing after the other. After each of them it waits until the
// goroutines of the calls have come to rest, and takes what they noted.
type simulation struct {
	Scenario

	rand   *rand.Rand
	began  time.Time
	ctx    context.Context // of all calls
	cancel context.CancelFunc
	chains []*middleware.Chain
	agenda agenda
	server server
	calls  int // that have been planned
	open   int // that have begun and not ended
	result *Result
	wake   chan struct{} // has a value when there are notes

	mu    sync.Mutex
	notes notes
}

// notes are what the goroutines of calls tell the one of the simulation.
type notes struct {
	came  []*request
	left  []*request
	ended []*call
}

// A call is one call of one caller.
type call struct {
	number   int
	client   bool // one of the Clients made it
	began    time.Duration
	took     time.Duration
	attempts int
	outcome  string
}

// grain is what all that happens is late by at the most, and shares how many moments of it each
// call has.
const (
	grain  = 20 * time.Microsecond
	shares = 8
)

// moment returns the first moment at that time or later which belongs to the call alone, and
// within it to one of its attempts, or, with 0, to its beginning. So timers of policies, which as
// a rule are set to multiples of the grain, do not meet: the clock of the bubble would have them
// come in any order.
func (c *call) moment(at time.Duration, serial int) time.Duration {
	own := time.Duration(c.number*shares+min(serial, shares-1)) % grain
	return at + (own-at%grain+grain)%grain
}

// patience is how long calls in flight may take at the end of a scenario.
const patience = time.Hour

func newSimulation(scenario Scenario, newChain func() *middleware.Chain) *simulation {
	s := &simulation{
		Scenario: scenario,
		rand:     rand.New(rand.NewPCG(scenario.Seed, 0)),
		began:    time.Now(),
		wake:     make(chan struct{}, 1),
		result:   newResult(scenario),
	}
	s.server.simulation = s
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for i := range max(1, s.Load.Processes) {
		chain := newChain()
		s.chains = append(s.chains, middleware.NewChain(chain.Name(), &witness{simulation: s, process: i}, chain))
	}
	return s
}

func (s *simulation) now() time.Duration { return time.Since(s.began) }

func (s *simulation) run() *Result {
	defer s.close()
	s.agenda.add(s.Duration, func() {}) // it is not over before
	if s.Load.Rate > 0 {
		s.arrive(0)
	}
	for range s.Load.Clients {
		s.think()
	}
	for _, edge := range edges(s.Dependency.windows(), 0) {
		s.agenda.add(edge, s.server.fill)
	}
	s.agenda.add(s.Duration+patience, s.cancel)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		synctest.Wait()
		s.settle()
		if s.open == 0 && s.now() >= s.Duration {
			break
		}
		next, ok := s.agenda.next()
		if ok && next <= s.now() {
			s.agenda.take()()
			continue
		}
		if !ok {
			<-s.wake
			continue
		}
		timer.Reset(next - s.now())
		select {
		case <-timer.C:
		case <-s.wake:
		}
	}
	s.result.Peak = s.server.peak
	s.result.finish()
	return s.result
}

// close ends what the policies own.
func (s *simulation) close() {
	s.cancel()
	for _, chain := range s.chains {
		for _, p := range chain.Policies() {
			if c, ok := p.(io.Closer); ok {
				_ = c.Close()
			}
		}
	}
}

// arrive plans the next call that comes at the rate, after one that was due at that time.
func (s *simulation) arrive(last time.Duration) {
	gap := 1.0
	if !s.Load.Even {
		gap = s.rand.ExpFloat64()
	}
	next, ok := s.Load.after(last, gap)
	if !ok {
		next = s.Duration
	}
	s.plan(next, false, func() { s.arrive(next) })
}

// think plans the next call of a client.
func (s *simulation) think() {
	s.plan(s.now()+s.Load.Think.draw(s.rand, 1), true, func() {})
}

// plan plans a call, and what happens with it, unless it comes when no others begin.
func (s *simulation) plan(at time.Duration, client bool, and func()) {
	c := &call{number: s.calls, client: client}
	if c.began = c.moment(at, 0); c.began >= s.Duration {
		return
	}
	s.calls++
	s.agenda.add(c.began, func() {
		s.open++
		go s.do(c)
		and()
	})
}

// do is the goroutine of a call.
func (s *simulation) do(c *call) {
	c.outcome = other
	defer s.note(func(n *notes) { n.ended = append(n.ended, c) })
	ctx := s.ctx
	if s.Load.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Load.Timeout)
		defer cancel()
	}
	if s.Load.Context != nil {
		ctx = s.Load.Context(ctx, c.number)
	}
	err := s.chains[c.number%len(s.chains)].Do(ctx, func(ctx context.Context) error { return s.request(ctx, c) })
	c.took = s.now() - c.began
	c.outcome = word(ctx, err)
}

// The outcomes of calls that no policy names.
const (
	succeeded  = "success"
	outOfTime  = "deadline"
	unfinished = "unfinished"
	other      = "other"
)

// word returns the outcome of a call.
func word(ctx context.Context, err error) string {
	var typed interface{ ErrorType() string }
	switch {
	case err == nil:
		return succeeded
	case errors.As(err, &typed): // a rejection, or a fault of the dependency
		return typed.ErrorType()
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		return outOfTime
	case ctx.Err() != nil:
		return unfinished
	default:
		return other
	}
}

// note takes down something under the lock, and wakes the simulation.
func (s *simulation) note(down func(*notes)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	down(&s.notes)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle takes what was noted, in an order that does not depend on which goroutine was first.
func (s *simulation) settle() {
	s.mu.Lock()
	n := s.notes
	s.notes = notes{}
	s.mu.Unlock()
	select {
	case <-s.wake:
	default:
	}
	byNumber := func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.call.number, b.call.number), cmp.Compare(a.serial, b.serial))
	}
	slices.SortFunc(n.left, byNumber)
	for _, r := range n.left {
		s.server.leave(r)
	}
	slices.SortFunc(n.came, byNumber)
	for _, r := range n.came {
		s.server.take(r)
	}
	slices.SortFunc(n.ended, func(a, b *call) int { return cmp.Compare(a.number, b.number) })
	for _, c := range n.ended {
		s.open--
		s.result.add(c)
		if c.client {
			s.think()
		}
	}
}

// A witness is the outermost policy of a chain, and keeps what its policies tell.
type witness struct {
	*simulation

	process int
}

// Execute lets the call through.
func (w *witness) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

// Observe counts the event.
func (w *witness) Observe(_ context.Context, e middleware.Event) {
	at := w.now()
	w.note(func(*notes) { w.result.observe(w.process, at, e) })
}
