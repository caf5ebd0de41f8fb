package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// expect checks, in a bubble, how many calls have a place and how many wait for one.
func expect(t *testing.T, b *policies.Bulkhead, when string, running, waiting int) {
	t.Helper()
	synctest.Wait()
	if s := b.Status(); s.Running != running || s.Waiting != waiting {
		t.Errorf("%s: %d run and %d wait, want %d and %d", when, s.Running, s.Waiting, running, waiting)
	}
}

func TestABulkheadBoundsTheCallsThatRun(t *testing.T) {
	for _, row := range []struct {
		config policies.BulkheadConfig
		want   policies.BulkheadStatus // Running and Waiting of 60 calls
	}{
		{policies.BulkheadConfig{}, policies.BulkheadStatus{Running: 25, MaxConcurrent: 25}},
		{policies.BulkheadConfig{MaxConcurrent: 3}, policies.BulkheadStatus{Running: 3, MaxConcurrent: 3}},
		{policies.BulkheadConfig{MaxConcurrent: 3, MaxQueue: 7}, policies.BulkheadStatus{Running: 3, Waiting: 7, MaxConcurrent: 3, MaxQueue: 7, MaxWait: time.Second}},
		{policies.BulkheadConfig{MaxConcurrent: 50, MaxQueue: 50, MaxWait: time.Hour}, policies.BulkheadStatus{Running: 50, Waiting: 10, MaxConcurrent: 50, MaxQueue: 50, MaxWait: time.Hour}},
	} {
		t.Run(fmt.Sprintf("%+v", row.config), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				b := policies.NewBulkhead(row.config)
				chain := middleware.NewChain("x", &seen, b)
				var passed atomic.Int64
				for range 60 {
					go func() {
						begin := time.Now()
						err := chain.Do(t.Context(), lasting(time.Millisecond, nil))
						if err == nil {
							passed.Add(1)
							return
						}
						r, ok := errors.AsType[*middleware.Rejection](err)
						if !ok || r.Reason != middleware.ErrBulkheadFull || r.Chain != "x" || r.Policy != "bulkhead" || r.RetryAfter != 0 || r.Timeout() || time.Since(begin) != 0 {
							t.Errorf("got %v, %+v after %v", err, r, time.Since(begin))
						}
					}()
				}
				synctest.Wait()
				if got := b.Status(); got != row.want {
					t.Errorf("got %+v, want %+v", got, row.want)
				}
				time.Sleep(time.Minute)
				expect(t, b, "at the end", 0, 0)
				admitted := row.want.Running + row.want.Waiting
				if passed.Load() != int64(admitted) {
					t.Errorf("%d passed, want %d", passed.Load(), admitted)
				}
				if e := seen.of(middleware.Rejected); len(e) != 60-admitted || len(e) > 0 && (e[0].Reason != "bulkhead_full" || e[0].Policy != "bulkhead") {
					t.Errorf("%d events of refusals, want %d: %+v", len(e), 60-admitted, e)
				}
				if e := seen.of(middleware.Waited); len(e) != row.want.Waiting {
					t.Errorf("%d events of waits, want %d", len(e), row.want.Waiting)
				}
			})
		})
	}
}

func TestABulkheadHasAName(t *testing.T) {
	for want, c := range map[string]policies.BulkheadConfig{"bulkhead": {}, "disk": {Name: "disk"}} {
		if got := policies.NewBulkhead(c).Name(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// First come, first served, and nobody overtakes a call that waits.
func TestNobodyOvertakesACallThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 10, MaxWait: time.Hour})
		chain := middleware.NewChain("x", &seen, b)
		_, end, _ := middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { return 1, nil }, nil)
		var order []int
		for i := range 5 {
			go func() {
				_ = chain.Do(t.Context(), func(context.Context) error { order = append(order, i); time.Sleep(time.Second); return nil })
			}()
			time.Sleep(time.Second)
		}
		expect(t, b, "before", 1, 5)
		end() // the place is taken at once, although nobody has woken up yet
		if s := b.Status(); s.Running != 1 || s.Waiting != 4 {
			t.Errorf("the place was free for a moment: %+v", s)
		}
		_ = chain.Do(t.Context(), func(context.Context) error { order = append(order, 5); return nil })
		if want := []int{0, 1, 2, 3, 4, 5}; !slices.Equal(order, want) {
			t.Errorf("the order was %v", order)
		}
		expect(t, b, "after", 0, 0)
		for i, e := range seen.of(middleware.Waited) {
			if e.Wait != 5*time.Second || e.Reason != "bulkhead" || e.Policy != "bulkhead" {
				t.Errorf("wait %d: %+v, want one of 5s", i, e)
			}
		}
	})
}

// The call that leaves the queue, from wherever in it, takes nobody else's turn.
func TestWhoLeavesTheQueueTakesNobodysTurn(t *testing.T) {
	for leaver := range 4 {
		for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"cancelled": context.WithCancel,
			"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 10*time.Second)
			},
		} {
			t.Run(fmt.Sprint(name, " ", leaver), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen recorder
					b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 4, MaxWait: time.Minute})
					chain := middleware.NewChain("x", &seen, b)
					go func() { _ = chain.Do(t.Context(), lasting(30*time.Second, nil)) }()
					synctest.Wait()
					ctx, cancel := leave(t.Context())
					defer cancel()
					time.AfterFunc(10*time.Second, cancel)
					var order []int
					var wg sync.WaitGroup
					for i := range 4 {
						c := t.Context()
						if i == leaver {
							c = ctx
						}
						wg.Go(func() {
							begin := time.Now()
							err := chain.Do(c, func(context.Context) error { order = append(order, i); return nil })
							if i == leaver && (!errors.Is(err, middleware.ErrCanceled) || !errors.Is(err, ctx.Err()) || middleware.VerdictOf(err).Class != middleware.Ignored || time.Since(begin) != 10*time.Second) {
								t.Errorf("who left: %v after %v", err, time.Since(begin))
							} else if i != leaver && err != nil {
								t.Errorf("call %d: %v", i, err)
							}
						})
						synctest.Wait()
					}
					time.Sleep(11 * time.Second)
					expect(t, b, "when one has left", 1, 3)
					wg.Wait()
					want := slices.Delete([]int{0, 1, 2, 3}, leaver, leaver+1)
					if !slices.Equal(order, want) {
						t.Errorf("the order was %v, want %v", order, want)
					}
					expect(t, b, "at the end", 0, 0)
					if n := len(seen.of(middleware.Rejected)); n != 0 {
						t.Errorf("%d events of refusals for a call that was given up", n)
					}
				})
			})
		}
	}
}

func TestACallWaitsForMaxWait(t *testing.T) {
	for want, c := range map[time.Duration]policies.BulkheadConfig{
		policies.DefaultQueueWait: {MaxConcurrent: 1, MaxQueue: 1},
		3 * time.Second:           {MaxConcurrent: 1, MaxQueue: 1, MaxWait: 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen recorder
			b := policies.NewBulkhead(c)
			chain := middleware.NewChain("x", &seen, b)
			go func() { _ = chain.Do(t.Context(), lasting(want+2, nil)) }()
			synctest.Wait()
			begin := time.Now()
			r := rejection(t, chain.Do(t.Context(), succeed))
			if r.Reason != middleware.ErrBulkheadFull || time.Since(begin) != want {
				t.Errorf("got %v after %v, want a refusal after %v", r, time.Since(begin), want)
			}
			if e := seen.of(middleware.Rejected); len(e) != 1 || e[0].Reason != "bulkhead_full" {
				t.Errorf("events %+v", e)
			}
			expect(t, b, "after the refusal", 1, 0)
			if err := chain.Do(t.Context(), succeed); err != nil {
				t.Errorf("the place that became free: %v", err)
			}
			expect(t, b, "at the end", 0, 0)
		})
	}
}

// What has ended already neither waits nor keeps others from waiting, and still runs where
// there is a place.
func TestACallThatHasEndedDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1})
		chain := middleware.NewChain("x", b)
		for _, row := range []struct {
			name         string
			left         time.Duration // to the deadline
			reason, also error
		}{
			{"deadline passed", -time.Second, middleware.ErrDeadline, context.DeadlineExceeded},
			{"deadline now", 0, middleware.ErrDeadline, context.DeadlineExceeded},
			{"cancelled", time.Minute, middleware.ErrCanceled, context.Canceled},
		} {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(row.left))
			cancel()
			if err := chain.Do(ctx, succeed); err != nil {
				t.Errorf("%s, with a place: %v", row.name, err)
			}
			go func() { _ = chain.Do(t.Context(), lasting(500*time.Millisecond, nil)) }()
			synctest.Wait()
			begin := time.Now()
			err := chain.Do(ctx, succeed)
			if r := rejection(t, err); !errors.Is(r.Reason, row.reason) || !errors.Is(err, row.also) || time.Since(begin) != 0 {
				t.Errorf("%s: got %v after %v", row.name, err, time.Since(begin))
			}
			expect(t, b, row.name, 1, 0)
			if err := chain.Do(t.Context(), succeed); err != nil {
				t.Errorf("the next call, %s: %v", row.name, err)
			}
		}
	})
}

// A streamed result keeps the place until it has been read or closed, unless
// UntilResult is set.
func TestAStreamedResultKeepsItsPlace(t *testing.T) {
	for _, until := range []bool{false, true} {
		kept := 1
		if until {
			kept = 0
		}
		synctest.Test(t, func(t *testing.T) {
			b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, UntilResult: until})
			chain := middleware.NewChain("x", b)
			one := func(context.Context) (int, error) {
				expect(t, b, "while the operation runs", 1, 0)
				return 1, nil
			}
			_, end, err := middleware.Stream(t.Context(), chain, one, nil)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, b, "while it is read", kept, 0)
			end()
			end()
			expect(t, b, "closed", 0, 0)

			var s middleware.Streamed[int]
			_, _ = s.Do(t.Context(), chain, streamer(one))
			expect(t, b, "while it is read", kept, 0)
			s.Release()
			expect(t, b, "read to its end", 0, 0)
			s.Close()
			expect(t, b, "closed after that", 0, 0)
			if _, err := middleware.Call(t.Context(), chain, one); err != nil {
				t.Error(err)
			}
			expect(t, b, "a result that is complete", 0, 0)
		})
	}
}

type streamer func(context.Context) (int, error)

func (s streamer) Run(ctx context.Context) (int, error) { return s(ctx) }
func (s streamer) Discard(int)                          {}

// The place of an attempt whose result nobody reads is free before the wait for the next
// one.
func TestARetryHoldsNoPlaceWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}), b)
		time.AfterFunc(time.Second/2, func() { expect(t, b, "between attempts", 0, 0) })
		_, end, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) {
			if middleware.Attempt(ctx) == 1 {
				return 503, errBroken
			}
			return 200, nil
		}, nil)
		if err != nil {
			t.Error(err)
		}
		expect(t, b, "while it is read", 1, 0)
		end()
		expect(t, b, "closed", 0, 0)
	})
}

// A call gives its place back when it is over, in whatever way.
func TestEveryEndGivesThePlaceBack(t *testing.T) {
	for _, until := range []bool{false, true} {
		for name, op := range map[string]func(context.Context) error{
			"success": succeed,
			"failure": fail,
			"panic":   func(context.Context) error { panic("boom") },
			"Goexit":  func(context.Context) error { runtime.Goexit(); return nil },
		} {
			t.Run(fmt.Sprint(name, " ", until), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 2, UntilResult: until})
					chain := middleware.NewChain("x", b)
					var ends atomic.Int64
					call := func(run func()) {
						go func() {
							defer func() { ends.Add(1); _ = recover() }()
							run()
						}()
						synctest.Wait()
					}
					slow := func(ctx context.Context) error { time.Sleep(time.Second / 4); return op(ctx) }
					call(func() { _ = chain.Do(t.Context(), slow) })
					call(func() { _ = chain.Do(t.Context(), slow) })
					call(func() {
						_, end, _ := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) { return 1, slow(ctx) }, nil)
						end()
					})
					expect(t, b, "before", 1, 2)
					time.Sleep(time.Second)
					expect(t, b, "after", 0, 0)
					if ends.Load() != 3 {
						t.Errorf("%d calls have ended, want 3", ends.Load())
					}
				})
			})
		}
	}
}

// An observer that panics does not take the place with it.
func TestAPanicOfAnObserverGivesThePlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1})
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(context.Context, middleware.Event) { panic("observer") }), b)
		go func() { _ = chain.Do(t.Context(), lasting(time.Millisecond, nil)) }()
		synctest.Wait()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the observer was not called")
				}
			}()
			_ = chain.Do(t.Context(), succeed)
		}()
		expect(t, b, "after", 0, 0)
	})
}

// A call that is cancelled at the very moment when it gets its place gives it back.
func TestACancelledCallGivesThePlaceOnThatItGot(t *testing.T) {
	b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 2, MaxWait: time.Hour})
	chain := middleware.NewChain("x", b)
	var ran, cancelled int
	for i := range 2000 {
		_, end, err := middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { return 1, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() {
			err := chain.Do(ctx, func(context.Context) error { ran++; return nil })
			if errors.Is(err, middleware.ErrCanceled) {
				cancelled++
			} else if err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := chain.Do(t.Context(), succeed); err != nil {
				t.Error(err)
			}
		})
		for b.Status().Waiting < 2 {
			runtime.Gosched()
		}
		switch i % 3 {
		case 0: // the order says what must come of it
			cancel()
			end()
		case 1:
			both.Go(cancel)
			both.Go(end)
		default:
			both.Go(end)
			both.Go(cancel)
		}
		both.Wait()
		if s := b.Status(); s.Running != 0 || s.Waiting != 0 {
			t.Fatalf("a place is lost: %+v", s)
		}
	}
	if ran+cancelled != 2000 || cancelled < 2000/3 {
		t.Errorf("%d ran and %d were cancelled, of 2000", ran, cancelled)
	}
}

// However calls come and go there are never more than MaxConcurrent, and in the end all
// places are free.
func TestABulkheadUnderFire(t *testing.T) {
	for _, c := range []policies.BulkheadConfig{
		{MaxConcurrent: 1, MaxQueue: 4, MaxWait: time.Hour},
		{MaxConcurrent: 3, MaxQueue: 100, MaxWait: time.Microsecond},
		{MaxConcurrent: 3, MaxQueue: 2, UntilResult: true},
		{MaxConcurrent: 4},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			b := policies.NewBulkhead(c)
			var events [32]atomic.Int64
			chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) { events[e.Kind].Add(1) }), b)
			var inside, ran atomic.Int64
			op := func(end int) func(context.Context) error {
				return func(context.Context) error {
					if n := inside.Add(1); n > int64(c.MaxConcurrent) {
						t.Errorf("%d calls at the same time, want %d at the most", n, c.MaxConcurrent)
					}
					defer inside.Add(-1)
					ran.Add(1)
					for range 3 {
						runtime.Gosched()
					}
					switch end {
					case 0:
						panic("boom")
					case 1:
						runtime.Goexit()
					case 2:
						return errBroken
					}
					return nil
				}
			}
			call := func(dice *rand.Rand) {
				defer func() { _ = recover() }()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if dice.IntN(3) == 0 {
					go cancel()
				}
				run := op(dice.IntN(12))
				if dice.IntN(2) == 0 {
					_ = chain.Do(ctx, run)
					return
				}
				_, end, _ := middleware.Stream(ctx, chain, func(ctx context.Context) (int, error) { return 1, run(ctx) }, nil)
				runtime.Gosched()
				end()
			}
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					dice := rand.New(rand.NewPCG(uint64(i), 1))
					for range 300 {
						var one sync.WaitGroup // Goexit ends a goroutine
						one.Go(func() { call(dice) })
						one.Wait()
					}
				})
			}
			wg.Wait()
			if s := b.Status(); s.Running != 0 || s.Waiting != 0 {
				t.Errorf("at the end: %+v", s)
			}
			t.Logf("%d ran, %d waited, %d were refused", ran.Load(), events[middleware.Waited].Load(), events[middleware.Rejected].Load())
			if ran.Load() == 0 || c.MaxQueue > 0 && c.MaxWait != time.Microsecond && events[middleware.Waited].Load() == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

// A visit is one call in a random history.
type visit struct {
	arrive, hold, patience time.Duration
}

// A visited is when a call began, or why and when it did not.
type visited struct {
	reason error
	at     time.Duration
}

// queueing says what becomes of the calls, in order of arrival, by the rules alone.
func queueing(c policies.BulkheadConfig, visits []visit) []visited {
	type event struct {
		at   time.Duration
		kind int // 0: a place becomes free, 1: call i gives up, 2: it arrives
		i    int
	}
	var events []event
	for i, v := range visits {
		events = append(events, event{v.arrive, 2, i})
	}
	outcomes := make([]visited, len(visits))
	var queue []int
	running := 0
	begin := func(i int, at time.Duration) {
		outcomes[i] = visited{nil, at}
		events = append(events, event{at + visits[i].hold, 0, i})
	}
	for len(events) > 0 {
		next := 0
		for j := range events {
			if events[j].at < events[next].at {
				next = j
			}
		}
		e := events[next]
		events = slices.Delete(events, next, next+1)
		switch e.kind {
		case 0:
			if len(queue) == 0 {
				running--
				continue
			}
			at := 0
			if c.Order == policies.LIFO {
				at = len(queue) - 1
			}
			begin(queue[at], e.at)
			queue = slices.Delete(queue, at, at+1)
		case 1:
			if at := slices.Index(queue, e.i); at >= 0 {
				queue = slices.Delete(queue, at, at+1)
				outcomes[e.i] = visited{middleware.ErrCanceled, e.at}
				if c.MaxWait < visits[e.i].patience {
					outcomes[e.i].reason = middleware.ErrBulkheadFull
				}
			}
		default:
			switch {
			case running < c.MaxConcurrent:
				running++
				begin(e.i, e.at)
			case len(queue) >= c.MaxQueue:
				outcomes[e.i] = visited{middleware.ErrBulkheadFull, e.at}
			default:
				queue = append(queue, e.i)
				events = append(events, event{e.at + min(c.MaxWait, visits[e.i].patience), 1, e.i})
			}
		}
	}
	return outcomes
}

// Random histories in virtual time end as the rules of a queue say.
func TestABulkheadIsAQueue(t *testing.T) {
	kinds := map[error]int{}
	for seed := range uint64(60) {
		dice := rand.New(rand.NewPCG(seed, 2))
		c := policies.BulkheadConfig{MaxConcurrent: 1 + dice.IntN(4), MaxQueue: 1 + dice.IntN(6), MaxWait: time.Second, Order: policies.QueueOrder(seed % 2)}
		visits := make([]visit, 60)
		for i := range visits {
			visits[i] = visit{
				arrive:   time.Duration(dice.Int64N(int64(20 * time.Second))),
				hold:     time.Duration(dice.Int64N(int64(2 * time.Second))),
				patience: time.Duration(dice.Int64N(int64(3 * time.Second))),
			}
		}
		want := queueing(c, visits)
		synctest.Test(t, func(t *testing.T) {
			chain := middleware.NewChain("x", policies.NewBulkhead(c))
			begin := time.Now()
			got := make([]visited, len(visits))
			var wg sync.WaitGroup
			for i, v := range visits {
				wg.Go(func() {
					time.Sleep(v.arrive)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					patience := time.AfterFunc(v.patience, cancel)
					err := chain.Do(ctx, func(context.Context) error {
						patience.Stop()
						got[i].at = time.Since(begin)
						time.Sleep(v.hold)
						return nil
					})
					if err == nil {
						return
					}
					got[i] = visited{middleware.ErrBulkheadFull, time.Since(begin)}
					if errors.Is(err, middleware.ErrCanceled) {
						got[i].reason = middleware.ErrCanceled
					}
				})
			}
			wg.Wait()
			if !slices.Equal(got, want) {
				t.Errorf("seed %d, %+v:\ngot  %v\nwant %v", seed, c, got, want)
			}
		})
		for _, o := range want {
			kinds[o.reason]++
		}
	}
	if kinds[nil] == 0 || kinds[middleware.ErrBulkheadFull] == 0 || kinds[middleware.ErrCanceled] == 0 {
		t.Errorf("the histories are too dull: %v", kinds)
	}
}
