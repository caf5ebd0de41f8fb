package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A history is a random life of a breaker: calls that begin and end, pauses, and
// what a person does. Each test named after a sentence of the documentation looks at
// every step of many histories.
type history struct {
	*rand.Rand
	config  policies.BreakerConfig
	breaker *policies.Breaker
	chain   *middleware.Chain
	calls   []*historicCall
}

type historicCall struct {
	generation uint64
	probe      bool
	end        chan error
	done       chan error
	ran        bool
}

func newHistory(seed int) *history {
	r := rand.New(rand.NewPCG(uint64(seed), 5))
	c := policies.BreakerConfig{
		FailureThreshold: 1 + r.IntN(4),
		Timeout:          time.Duration(1+r.IntN(10)) * time.Second,
		SuccessThreshold: 1 + r.IntN(4),
		ProbeLease:       time.Hour,
		RecoveryBackoff:  1 + r.Float64(),
	}
	c.RecoveryTime = c.Timeout + time.Duration(r.IntN(10))*time.Second
	c.MaxProbes = 1 + r.IntN(c.SuccessThreshold)
	if r.IntN(2) == 0 {
		c.FailureRate, c.MinCalls, c.WindowCalls = float64(1+r.IntN(10))/10, 1+r.IntN(5), 5+r.IntN(10)
	}
	b := policies.NewBreaker(c)
	return &history{Rand: r, config: c, breaker: b, chain: middleware.NewChain("x", b)}
}

// begin starts a call, which ran unless it was rejected.
func (h *history) begin() *historicCall {
	c := &historicCall{end: make(chan error), done: make(chan error, 1)}
	go func() {
		c.done <- h.chain.Do(context.Background(), func(context.Context) error { c.ran = true; return <-c.end })
	}()
	synctest.Wait()
	if c.ran {
		s := h.breaker.Status()
		c.generation, c.probe = s.Generation, s.State == policies.HalfOpen
		h.calls = append(h.calls, c)
	}
	return c
}

func (h *history) finish(i int, result error) *historicCall {
	c := h.calls[i]
	h.calls = append(h.calls[:i], h.calls[i+1:]...)
	c.end <- result
	<-c.done
	return c
}

// probes returns how many probes of the present generation are in flight.
func (h *history) probes() (n int) {
	for _, c := range h.calls {
		if c.probe && c.generation == h.breaker.Status().Generation {
			n++
		}
	}
	return n
}

// A happening is one step of a history, with the status before and after it.
type happening struct {
	what          string // "call", "end", "pause" or "order"
	before, after policies.BreakerStatus
	call          *historicCall // of call and end
	err           error         // of a call that was rejected
	result        error         // of end
	probes        int           // in flight before it
}

// everyStep runs many histories and shows each step.
func everyStep(t *testing.T, look func(h *history, s happening) string) {
	t.Helper()
	for seed := range 60 {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(seed)
			for step := range 200 {
				s := happening{before: h.breaker.Status(), probes: h.probes()}
				switch n := h.IntN(100); {
				case n < 20:
					s.what = "pause"
					time.Sleep(time.Duration(h.IntN(4000)) * time.Millisecond)
				case n < 60 && len(h.calls) > 0:
					s.what, s.result = "end", results(h.Rand)
					s.call = h.finish(h.IntN(len(h.calls)), s.result)
				case n < 98:
					s.what = "call"
					if s.call = h.begin(); !s.call.ran {
						s.err = <-s.call.done
					}
				default:
					s.what = "order"
					[]func(){h.breaker.ForceOpen, h.breaker.ForceClose, h.breaker.Disable, h.breaker.Release, h.breaker.Reset}[h.IntN(5)]()
					if h.IntN(3) > 0 {
						h.breaker.Release()
					}
				}
				s.after = h.breaker.Status()
				if says := look(h, s); says != "" {
					t.Errorf("seed %d, step %d (%s): %s\nbefore %+v\nafter  %+v", seed, step, s.what, says, s.before, s.after)
					break
				}
			}
			for len(h.calls) > 0 {
				h.finish(0, nil)
			}
		})
	}
}

func TestWhileItIsOpenItRejectsEveryCall(t *testing.T) {
	n := 0
	everyStep(t, func(_ *history, s happening) string {
		if s.what != "call" || s.before.State != policies.Open {
			return ""
		}
		n++
		r := new(middleware.Rejection)
		if s.call.ran || !errors.Is(s.err, middleware.ErrOpen) || !errors.As(s.err, &r) {
			return fmt.Sprintf("let through or rejected with %v", s.err)
		}
		if left := time.Until(s.before.NextProbe); r.RetryAfter != left {
			return fmt.Sprintf("retry after %v, %v remain", r.RetryAfter, left)
		}
		return ""
	})
	atLeast(t, n, 500)
}

func TestRecoveryTimeAfterItOpenedItIsHalfOpen(t *testing.T) {
	n := 0
	everyStep(t, func(h *history, s happening) string {
		if s.after.State == policies.Open && s.before.State != policies.Open {
			n++
			wait := s.after.NextProbe.Sub(s.after.Since)
			if s.before.State != policies.HalfOpen && wait != h.config.RecoveryTime || wait < h.config.RecoveryTime {
				return fmt.Sprintf("the wait is %v, RecoveryTime %v", wait, h.config.RecoveryTime)
			}
		}
		if s.after.State == policies.Open && !time.Now().Before(s.after.NextProbe) {
			return "it is time for probes"
		}
		if s.after.State == policies.HalfOpen && s.after.Last.To == policies.Open && time.Now().Before(s.after.NextProbe) {
			return "it is too early for probes"
		}
		return ""
	})
	atLeast(t, n, 200)
}

func TestItLetsUpToMaxProbesCallsThroughAtATime(t *testing.T) {
	n := 0
	everyStep(t, func(h *history, s happening) string {
		if s.what != "call" || s.before.State != policies.HalfOpen {
			return ""
		}
		n++
		room := s.probes < h.config.MaxProbes && s.probes+s.before.Counts.Successes < h.config.SuccessThreshold
		switch {
		case s.call.ran != room:
			return fmt.Sprintf("%d probes in flight, %d have succeeded: let through %v", s.probes, s.before.Counts.Successes, s.call.ran)
		case !room && !errors.Is(s.err, middleware.ErrTooManyProbes):
			return fmt.Sprintf("rejected with %v", s.err)
		}
		return ""
	})
	atLeast(t, n, 200)
}

func TestItClosesWhenSuccessThresholdOfThemHaveSucceededAndOpensAgainWhenOneFails(t *testing.T) {
	closed, opened := 0, 0
	everyStep(t, func(h *history, s happening) string {
		if s.what != "end" || s.before.State != policies.HalfOpen || s.call.generation != s.before.Generation {
			return ""
		}
		want := policies.HalfOpen
		switch {
		case s.result == errBroken:
			want = policies.Open
			opened++
		case s.result == nil && s.before.Counts.Successes+1 == h.config.SuccessThreshold:
			want = policies.Closed
			closed++
		}
		if s.after.State != want {
			return fmt.Sprintf("after %v it is %v, want %v", s.result, s.after.State, want)
		}
		return ""
	})
	atLeast(t, closed, 10)
	atLeast(t, opened, 50)
}

func TestAResultThatBelongsToAnEarlierGenerationChangesNothing(t *testing.T) {
	n := 0
	everyStep(t, func(_ *history, s happening) string {
		if s.what != "end" || s.call.generation == s.before.Generation {
			return ""
		}
		n++
		if s.before != s.after {
			return fmt.Sprintf("%v of generation %d changed something", s.result, s.call.generation)
		}
		return ""
	})
	atLeast(t, n, 200)
}

func TestIgnoredCountsAsNeither(t *testing.T) {
	n := 0
	everyStep(t, func(_ *history, s happening) string {
		if s.what != "end" || s.result != errIgnored || s.call.generation != s.before.Generation || s.before.State == policies.Disabled {
			return ""
		}
		n++
		s.before.Counts.Ignored++
		s.before.InFlight--
		if s.before != s.after {
			return "it changed something"
		}
		return ""
	})
	atLeast(t, n, 100)
}

// A generation begins with the last transition, and counts begin with it.
func TestEachTransitionBeginsANewGeneration(t *testing.T) {
	n := 0
	everyStep(t, func(_ *history, s happening) string {
		switch moved := s.before.Last != s.after.Last; {
		case moved && s.before.Generation == s.after.Generation:
			return "a transition without a new generation"
		case moved:
			n++
			if c := s.after.Counts; c.Failures != 0 || c.Successes != 0 || c.ConsecutiveFailures != 0 {
				return "a new generation with old counts"
			}
			if s.after.Last.To == s.after.Last.From || !s.after.Since.Equal(s.after.Last.Time) {
				return "a transition that is none"
			}
		case s.what != "order" && s.before.Generation != s.after.Generation:
			return "a new generation without a transition"
		}
		return ""
	})
	atLeast(t, n, 500)
}

// atLeast fails a test that has seen too little.
func atLeast(t *testing.T, n, want int) {
	t.Helper()
	if n < want {
		t.Errorf("seen %d times, want %d at the least", n, want)
	}
}
