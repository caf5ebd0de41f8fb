package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var errIgnored = judged(middleware.Verdict{Class: middleware.Ignored, Reason: "x"})

// A twin is a breaker beside gobreaker alone, with settings that both have.
type twin struct {
	breaker *policies.Breaker
	chain   *middleware.Chain
	oracle  *gobreaker.TwoStepCircuitBreaker[struct{}]
	windows bool
}

// newTwin makes a twin of random settings.
func newTwin(r *rand.Rand) *twin {
	c := policies.BreakerConfig{
		Timeout: time.Duration(1+r.IntN(20)) * time.Second, RecoveryBackoff: 1, SuccessThreshold: 1 + r.IntN(4), ProbeLease: time.Hour,
	}
	o := gobreaker.Settings{
		MaxRequests: uint32(c.SuccessThreshold), Timeout: c.Timeout - 1, // gobreaker waits for more than that
		IsExcluded: func(err error) bool { return errors.Is(err, errIgnored) },
	}
	t := &twin{windows: r.IntN(2) == 0}
	if t.windows {
		c.FailureRate, c.MinCalls = float64(1+r.IntN(10))/10, 1+r.IntN(10)
		c.Buckets = 2 + r.IntN(9)
		c.Window = time.Duration(c.Buckets) * time.Duration(1+r.IntN(3)) * time.Second
		o.Interval, o.BucketPeriod = c.Window, c.Window/time.Duration(c.Buckets)
		o.ReadyToTrip = func(n gobreaker.Counts) bool {
			all := n.TotalSuccesses + n.TotalFailures
			return int(all) >= c.MinCalls && float64(n.TotalFailures)/float64(all) >= c.FailureRate
		}
	} else {
		c.FailureThreshold = 1 + r.IntN(5)
		o.ReadyToTrip = func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= c.FailureThreshold }
	}
	t.breaker, t.oracle = policies.NewBreaker(c), gobreaker.NewTwoStepCircuitBreaker[struct{}](o)
	t.chain = middleware.NewChain("x", t.breaker)
	return t
}

// A twinCall is a call in flight through both.
type twinCall struct {
	end  chan error
	done chan struct{}
	tell func(error) // nil if the oracle has refused it
}

// begin starts a call through both, and says how they differ about it.
func (tw *twin) begin() (*twinCall, string) {
	c := &twinCall{end: make(chan error), done: make(chan struct{})}
	began, refused := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(c.done)
		ran := false
		err := tw.chain.Do(context.Background(), func(context.Context) error { ran = true; close(began); return <-c.end })
		if !ran {
			refused <- err
		}
	}()
	tell, oracle := tw.oracle.Allow()
	c.tell = tell
	select {
	case <-began:
		if oracle != nil {
			return c, "let through, gobreaker says " + oracle.Error()
		}
	case err := <-refused:
		<-c.done
		want := map[error]error{gobreaker.ErrOpenState: middleware.ErrOpen, gobreaker.ErrTooManyRequests: middleware.ErrTooManyProbes}[oracle]
		if want == nil || !errors.Is(err, want) {
			return c, fmt.Sprintf("refused with %v, gobreaker says %v", err, oracle)
		}
	}
	return c, ""
}

// finish ends a call in both.
func (c *twinCall) finish(result error) {
	c.end <- result
	<-c.done
	c.tell(result)
}

// differ says how the states and counts of both differ.
func (tw *twin) differ() string {
	s, state, counts := tw.breaker.Status(), tw.oracle.State(), tw.oracle.Counts()
	want := map[gobreaker.State]policies.State{
		gobreaker.StateClosed: policies.Closed, gobreaker.StateOpen: policies.Open, gobreaker.StateHalfOpen: policies.HalfOpen,
	}[state]
	if s.State != want {
		return fmt.Sprintf("%v, gobreaker is %v", s.State, state)
	}
	if s.Counts.Successes != int(counts.TotalSuccesses) || s.Counts.Failures != int(counts.TotalFailures) {
		return fmt.Sprintf("%v with %+v, gobreaker has %+v", state, s.Counts, counts)
	}
	if !tw.windows && s.Counts.ConsecutiveFailures != int(counts.ConsecutiveFailures) {
		return fmt.Sprintf("%d consecutive failures, gobreaker has %d", s.Counts.ConsecutiveFailures, counts.ConsecutiveFailures)
	}
	return ""
}

func results(r *rand.Rand) error {
	switch n := r.IntN(20); {
	case n < 10:
		return nil
	case n < 18:
		return errBroken
	default:
		return errIgnored
	}
}

// gobreaker is the authority: whatever is done to both, they are in the same state
// and let the same calls through.
func TestTheBreakerDoesAsGobreakerDoes(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	states := map[policies.State]int{}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 3))
			tw := newTwin(r)
			var open []*twinCall
			for step := range 400 {
				what, says := "a call", ""
				switch n := r.IntN(10); {
				case n == 0:
					d := time.Duration(r.IntN(5000)) * time.Millisecond
					what = "a pause of " + d.String()
					time.Sleep(d)
				case n < 4 && len(open) > 0 && !tw.windows:
					i, result := r.IntN(len(open)), results(r)
					what = fmt.Sprint("the end of a call with ", result)
					open[i].finish(result)
					open = append(open[:i], open[i+1:]...)
				default:
					var c *twinCall
					if c, says = tw.begin(); says == "" && c.tell != nil {
						// gobreaker counts a call in the bucket in which it began, the breaker in the
						// one in which it ends: with windows calls end at once.
						if tw.windows || r.IntN(2) == 0 {
							result := results(r)
							what = fmt.Sprint("a call with ", result)
							c.finish(result)
						} else {
							open = append(open, c)
						}
					}
				}
				if says == "" {
					says = tw.differ()
				}
				if says != "" {
					t.Errorf("seed %d, step %d, after %s: %s", seed, step, what, says)
					break
				}
				states[tw.breaker.State()]++
			}
			for _, c := range open {
				c.finish(nil)
			}
		})
	}
	if len(states) != 3 {
		t.Errorf("only these states came: %v", states)
	}
}

// The same with many goroutines at once. Which of them comes first is not known, so
// all that are under way end alike.
func TestTheBreakerDoesAsGobreakerDoesWithManyGoroutines(t *testing.T) {
	for seed := range 40 {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			tw := newTwin(r)
			for round := range 60 {
				n, result := 1+r.IntN(16), results(r)
				release := make(chan struct{})
				var ours, theirs atomic.Int64
				var wg sync.WaitGroup
				for range n {
					wg.Go(func() {
						_ = tw.chain.Do(context.Background(), func(context.Context) error { ours.Add(1); <-release; return result })
					})
					wg.Go(func() {
						if tell, err := tw.oracle.Allow(); err == nil {
							theirs.Add(1)
							<-release
							tell(result)
						}
					})
				}
				synctest.Wait()
				close(release)
				wg.Wait()
				if says := tw.differ(); says != "" || ours.Load() != theirs.Load() {
					t.Fatalf("seed %d, round %d, %d calls with %v: %d let through, gobreaker %d; %s", seed, round, n, result, ours.Load(), theirs.Load(), says)
				}
				time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			}
		})
	}
}
