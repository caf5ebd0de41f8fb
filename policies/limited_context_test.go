package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var errGone = errors.New("the caller is gone")

type valueKey struct{}

// attempt is a limit of a second that counts for the stream too.
var scopes = []policies.TimeoutScope{policies.UntilResult, policies.EachRead, policies.UntilEnd}

var attempt = policies.TimeoutConfig{Name: "attempt", Limit: time.Second, Scope: policies.UntilEnd}

// open returns the context of an operation inside the given limits, outermost first,
// and what ends it as the end of a streamed result does. Without any it is attempt.
func open(parent context.Context, limits ...policies.TimeoutConfig) (ctx context.Context, release func()) {
	if limits == nil {
		limits = []policies.TimeoutConfig{attempt}
	}
	chain := middleware.NewChain("x")
	for _, limit := range limits {
		chain = middleware.NewChain("x", chain, policies.NewTimeout(limit))
	}
	ctx, release, _ = middleware.Stream(parent, chain, func(ctx context.Context) (context.Context, error) { return ctx, nil }, nil)
	return ctx, release
}

// closed reports whether ctx says that it is done.
func closed(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// A way is what may happen to a limited context.
type way struct {
	name   string
	limits []policies.TimeoutConfig // outermost first; the attempt's alone if not set
	parent time.Duration            // the caller's deadline
	happen func(cancel context.CancelCauseFunc, release func())
	err    error
	cause  string
}

var ways = []way{
	{name: "the limit passes",
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Second) },
		err:    context.DeadlineExceeded, cause: "x: attempt: time limit exceeded"},
	{name: "the limit passes, then the caller cancels",
		happen: func(cancel context.CancelCauseFunc, _ func()) { time.Sleep(time.Minute); cancel(errGone) },
		err:    context.DeadlineExceeded, cause: "x: attempt: time limit exceeded"},
	{name: "the limit passes, then the caller's deadline", parent: time.Minute,
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Hour) },
		err:    context.DeadlineExceeded, cause: "x: attempt: time limit exceeded"},
	{name: "the limit passes, then that around it",
		limits: []policies.TimeoutConfig{{Name: "total", Limit: time.Minute, Scope: policies.UntilEnd}, attempt},
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Hour) },
		err:    context.DeadlineExceeded, cause: "x: attempt: time limit exceeded"},
	{name: "the limit around it passes",
		limits: []policies.TimeoutConfig{attempt, {Name: "inner", Limit: time.Minute, Scope: policies.UntilEnd}},
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Second) },
		err:    context.DeadlineExceeded, cause: "x: attempt: time limit exceeded"},
	{name: "the limit around it passes first",
		limits: []policies.TimeoutConfig{attempt, {Name: "inner", Limit: time.Minute, Scope: policies.UntilEnd}},
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Hour) },
		err:    context.DeadlineExceeded, cause: "x: attempt: time limit exceeded"},
	{name: "the caller cancels",
		happen: func(cancel context.CancelCauseFunc, _ func()) { cancel(errGone) },
		err:    context.Canceled, cause: "the caller is gone"},
	{name: "the caller's deadline passes", parent: time.Millisecond,
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Millisecond) },
		err:    context.DeadlineExceeded, cause: "context deadline exceeded"},
	{name: "the caller's deadline passes first", parent: time.Millisecond,
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Hour) },
		err:    context.DeadlineExceeded, cause: "context deadline exceeded"},
	{name: "the call ends",
		happen: func(_ context.CancelCauseFunc, release func()) { release() },
		err:    context.Canceled, cause: "context canceled"},
	{name: "the call ends, then the limit passes",
		happen: func(_ context.CancelCauseFunc, release func()) { release(); time.Sleep(time.Minute) },
		err:    context.Canceled, cause: "context canceled"},
	{name: "the call ends, then the caller cancels",
		happen: func(cancel context.CancelCauseFunc, release func()) { release(); cancel(errGone) },
		err:    context.Canceled, cause: "context canceled"},
	{name: "the caller cancels after the limit was lifted",
		limits: []policies.TimeoutConfig{{Limit: time.Second}},
		happen: func(cancel context.CancelCauseFunc, _ func()) { time.Sleep(time.Minute); cancel(errGone) },
		err:    context.Canceled, cause: "the caller is gone"},
	{name: "the caller's deadline passes after the limit was lifted", parent: time.Minute,
		limits: []policies.TimeoutConfig{{Limit: time.Second}},
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Hour) },
		err:    context.DeadlineExceeded, cause: "context deadline exceeded"},
	{name: "the call ends after the limit was lifted",
		limits: []policies.TimeoutConfig{{Limit: time.Second}},
		happen: func(_ context.CancelCauseFunc, release func()) { time.Sleep(time.Minute); release() },
		err:    context.Canceled, cause: "context canceled"},
	{name: "nothing after the limit was lifted",
		limits: []policies.TimeoutConfig{{Limit: time.Second}},
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Hour) }},
	{name: "nothing",
		happen: func(context.CancelCauseFunc, func()) { time.Sleep(time.Second - 1) }},
}

// questions are what may be asked of a context first, before it has ended or after.
var questions = []struct {
	name string
	ask  func(context.Context)
}{
	{"nothing", func(context.Context) {}},
	{"Cause", func(ctx context.Context) { context.Cause(ctx) }},
	{"Err", func(ctx context.Context) { ctx.Err() }},
	{"Done", func(ctx context.Context) { ctx.Done() }},
	{"Value", func(ctx context.Context) { ctx.Value(valueKey{}) }},
	{"Deadline", func(ctx context.Context) { ctx.Deadline() }},
	{"AfterFunc", func(ctx context.Context) { context.AfterFunc(ctx, func() {})() }},
}

// A derivation is how a context comes from a limited one.
type derivation struct {
	name    string
	cancels bool // it says that it was cancelled when the limit passes
	derive  func(context.Context) (context.Context, func())
}

var derivations = []derivation{
	{"itself", false, func(ctx context.Context) (context.Context, func()) { return ctx, func() {} }},
	{"WithValue", false, func(ctx context.Context) (context.Context, func()) {
		return context.WithValue(ctx, new(int), 1), func() {}
	}},
	{"WithCancel", true, func(ctx context.Context) (context.Context, func()) {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel
	}},
	{"WithTimeout", true, func(ctx context.Context) (context.Context, func()) {
		ctx, cancel := context.WithTimeout(ctx, 24*time.Hour)
		return ctx, cancel
	}},
	{"WithCancel of WithValue", true, func(ctx context.Context) (context.Context, func()) {
		ctx, cancel := context.WithCancel(context.WithValue(ctx, new(int), 1))
		return ctx, cancel
	}},
	{"WithValue of WithCancel", true, func(ctx context.Context) (context.Context, func()) {
		ctx, cancel := context.WithCancel(ctx)
		return context.WithValue(ctx, new(int), 1), cancel
	}},
	{"another limit", false, func(ctx context.Context) (context.Context, func()) {
		return open(ctx, policies.TimeoutConfig{Name: "derived", Limit: 24 * time.Hour, Scope: policies.UntilEnd})
	}},
}

// Whatever happens, whenever a context is derived and whichever question comes first,
// the answers are the same.
func TestLimitedContextEndsWithItsCause(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			for _, before := range questions {
				for _, first := range questions {
					for _, d := range derivations {
						for _, early := range []bool{true, false} {
							what := fmt.Sprintf("%s (derived before: %v), asked for %s before and %s first after", d.name, early, before.name, first.name)
							synctest.Test(t, func(t *testing.T) { goThrough(t, what, way, d, early, before.ask, first.ask) })
						}
					}
				}
			}
		})
	}
}

func goThrough(t *testing.T, what string, w way, d derivation, early bool, before, first func(context.Context)) {
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), valueKey{}, "value"))
	defer cancel(nil)
	if w.parent > 0 {
		var stop func()
		parent, stop = context.WithTimeout(parent, w.parent)
		defer stop()
	}
	goroutines := runtime.NumGoroutine()
	ctx, release := open(parent, w.limits...)
	defer release()
	before(ctx)
	synctest.Wait()
	if early {
		var drop func()
		ctx, drop = d.derive(ctx)
		defer drop()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%s: %d goroutines more than before", what, n-goroutines)
	}
	w.happen(cancel, release)
	synctest.Wait()
	if !early {
		var drop func()
		ctx, drop = d.derive(ctx)
		defer drop()
	}

	first(ctx)
	want := w.err
	if early && d.cancels && errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
		want = context.Canceled
	}
	done := ctx.Done()
	answers(ctx, t, what, want, w.cause)
	release()
	if want == nil {
		answers(ctx, t, what+", released", context.Canceled, "context canceled")
	} else {
		answers(ctx, t, what+", released", want, w.cause)
	}
	if ctx.Done() != done {
		t.Errorf("%s: Done returns another channel", what)
	}
	if ctx.Value(valueKey{}) != "value" {
		t.Errorf("%s: the caller's value is lost", what)
	}
}

// answers fails the test unless ctx has ended with the error and the cause, if any.
func answers(ctx context.Context, t *testing.T, what string, err error, cause string) {
	t.Helper()
	if got := ctx.Err(); got != err {
		t.Errorf("%s: the error is %v, want %v", what, got, err)
	}
	if closed(ctx) != (err != nil) {
		t.Errorf("%s: Done is closed: %v, but the error is %v", what, closed(ctx), err)
	}
	if got := context.Cause(ctx); got == nil && cause != "" || got != nil && got.Error() != cause {
		t.Errorf("%s: the cause is %v, want %q", what, got, cause)
	}
}

func TestLimitedContextIsADeadline(t *testing.T) {
	for _, row := range []struct {
		name   string
		limits []policies.TimeoutConfig
		parent time.Duration
		want   time.Duration // 0: none
	}{
		{"the limit", nil, 0, time.Second},
		{"the caller's, if it is earlier", nil, time.Millisecond, time.Millisecond},
		{"the limit, if it is earlier", nil, time.Minute, time.Second},
		{"none once the limit was lifted", []policies.TimeoutConfig{{}}, 0, 0},
		{"the caller's once the limit was lifted", []policies.TimeoutConfig{{}}, time.Hour, time.Hour},
		{"the earlier of two limits", []policies.TimeoutConfig{{Limit: time.Minute, Scope: policies.UntilEnd}, attempt}, 0, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent := t.Context()
				if row.parent > 0 {
					var cancel func()
					parent, cancel = context.WithTimeout(parent, row.parent)
					defer cancel()
				}
				ctx, release := open(parent, row.limits...)
				for i, q := range append(questions, questions...) {
					if i == len(questions) {
						release()
					}
					q.ask(ctx)
					if d, ok := ctx.Deadline(); ok != (row.want > 0) || ok && time.Until(d) != row.want {
						t.Errorf("after %s: got %v, %v, want one in %v", q.name, time.Until(d), ok, row.want)
					}
				}
			})
		})
	}
}

// Whoever begins to wait late does not wait longer.
func TestLimitedContextEndsOnTime(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second / 2, time.Second - 1, time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, release := open(t.Context())
			defer release()
			begin := time.Now()
			time.Sleep(late)
			<-ctx.Done()
			if d := time.Since(begin); d != max(late, time.Second) {
				t.Errorf("ended after %v for one who waits since %v", d, late)
			}
		})
	}
}

// When the call is over neither a timer nor the caller's context holds on to it.
func TestLimitedContextIsLetGo(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, q := range questions {
		for _, scope := range scopes {
			value := askAndRelease(parent, q.ask, policies.TimeoutConfig{Limit: time.Hour, Scope: scope})
			for range 100 {
				if runtime.GC(); value.Value() == nil {
					break
				}
				runtime.Gosched() // what was ended may not be gone yet
			}
			if value.Value() != nil {
				t.Errorf("asked for %s: the caller's value is still there", q.name)
			}
		}
	}
}

// askAndRelease returns a value of the caller's context of a limited context that was
// asked and released. The caller's context is curious, so that two calls do the same
// work at once and one of them does it in vain.
func askAndRelease(parent context.Context, ask func(context.Context), limit policies.TimeoutConfig) weak.Pointer[[1 << 10]byte] {
	value := new([1 << 10]byte)
	caller := &curious{Context: context.WithValue(parent, valueKey{}, value)}
	ctx, release := open(caller, limit)
	caller.below = ctx
	ask(ctx)
	release()
	return weak.Make(value)
}

func TestLimitedContextIsMonotonic(t *testing.T) {
	ctx, release := open(t.Context())
	defer release()
	if d, _ := ctx.Deadline(); !strings.Contains(d.String(), " m=+") {
		t.Errorf("the deadline %v moves when the clock is set", d)
	}
}

// A context that outlives its call has ended.
func TestLimitedContextEndsWithThePlainCall(t *testing.T) {
	for _, q := range questions {
		for _, scope := range scopes {
			for _, op := range []func(context.Context) error{succeed, fail} {
				chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Scope: scope}))
				kept, _ := middleware.Call(t.Context(), chain, func(ctx context.Context) (context.Context, error) { return ctx, op(ctx) })
				q.ask(kept)
				answers(kept, t, q.name, context.Canceled, "context canceled")
			}
		}
	}
}

// What runs after the context may use it, and derive others, whoever ended it.
func TestLimitedContextRunsAfterFuncs(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if way.parent > 0 {
					var stop func()
					parent, stop = context.WithTimeout(parent, way.parent)
					defer stop()
				}
				ctx, release := open(parent, way.limits...)
				ran := 0
				context.AfterFunc(ctx, func() {
					ran++
					if way.err != nil {
						answers(ctx, t, "inside", way.err, way.cause)
					}
					child, drop := context.WithTimeout(ctx, time.Hour)
					defer drop()
					if !closed(child) {
						t.Error("a context derived after the end has not ended")
					}
					release()
				})
				stop := context.AfterFunc(ctx, func() { t.Error("it ran although it was stopped") })
				if !stop() {
					t.Error("it cannot be stopped")
				}
				way.happen(cancel, release)
				synctest.Wait()
				release()
				synctest.Wait()
				if ran != 1 {
					t.Errorf("it ran %d times", ran)
				}
			})
		})
	}
}

// A context without cancellation has nothing of the limit but the values.
func TestLimitedContextCanBeLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, release := open(context.WithValue(t.Context(), valueKey{}, "value"))
		defer release()
		free := context.WithoutCancel(ctx)
		child, cancel := context.WithTimeout(free, time.Hour)
		defer cancel()
		time.Sleep(time.Minute)
		for range 2 { // before the limited context was asked, and after
			for _, c := range []context.Context{free, child} {
				if c.Err() != nil || context.Cause(c) != nil || c.Value(valueKey{}) != "value" {
					t.Errorf("it has ended with %v, its value is %v", context.Cause(c), c.Value(valueKey{}))
				}
			}
			answers(ctx, t, "the limited one", context.DeadlineExceeded, "x: attempt: time limit exceeded")
		}
	})
}

// A curious context asks the one below it whenever it is asked itself. It would wait
// for ever if its code ran under a lock.
type curious struct {
	context.Context
	asking atomic.Bool
	below  context.Context
}

func (c *curious) ask() {
	if c.below != nil && c.asking.CompareAndSwap(false, true) {
		defer c.asking.Store(false)
		c.below.Err()
		c.below.Done()
		c.below.Value(valueKey{})
		c.below.Deadline()
	}
}

func (c *curious) Done() <-chan struct{}       { c.ask(); return c.Context.Done() }
func (c *curious) Err() error                  { c.ask(); return c.Context.Err() }
func (c *curious) Value(key any) any           { c.ask(); return c.Context.Value(key) }
func (c *curious) Deadline() (time.Time, bool) { c.ask(); return c.Context.Deadline() }

func TestLimitedContextHoldsNoLockForItsParent(t *testing.T) {
	for _, way := range ways {
		if way.limits != nil || way.parent > 0 {
			continue
		}
		t.Run(way.name, func(t *testing.T) {
			for _, q := range questions {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					asks := &curious{Context: parent}
					ctx, release := open(asks)
					asks.below = ctx
					q.ask(ctx)
					way.happen(cancel, release)
					synctest.Wait()
					answers(ctx, t, q.name, way.err, way.cause)
					release()
				})
			}
		})
	}
}

// A parent may state a deadline that it does not keep. The limit then holds.
type careless struct {
	context.Context
	deadline time.Time
}

func (c careless) Deadline() (time.Time, bool) { return c.deadline, true }

func TestLimitedContextTrustsNoDeadline(t *testing.T) {
	for _, q := range questions {
		synctest.Test(t, func(t *testing.T) {
			ctx, release := open(careless{t.Context(), time.Now().Add(time.Millisecond)})
			defer release()
			q.ask(ctx)
			time.Sleep(time.Minute)
			answers(ctx, t, q.name, context.DeadlineExceeded, "x: attempt: time limit exceeded")
		})
	}
}

// The verdict on an operation does not depend on whether it looked at its context.
func TestTimeoutJudgesByTheClock(t *testing.T) {
	const (
		changed = "changed"
		same    = "unchanged"
	)
	answer := middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Success})
	busy := middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Throttled, Retry: true, Reason: "busy"})
	for _, row := range []struct {
		name  string
		takes time.Duration
		gives error
		want  string
		class middleware.Class
	}{
		{"fails just before the limit", time.Second - 1, errBroken, same, middleware.Failure},
		{"fails after the limit", time.Second + 1, errBroken, changed, middleware.Failure},
		{"fails long after the limit", time.Hour, errBroken, changed, middleware.Failure},
		{"is refused after the limit", time.Minute, busy, changed, middleware.Throttled},
		{"answers after the limit", time.Minute, answer, same, middleware.Success},
		{"succeeds after the limit", time.Minute, nil, same, middleware.Success},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, q := range questions {
				for _, scope := range scopes {
					synctest.Test(t, func(t *testing.T) {
						var events recorder
						var verdict middleware.Verdict
						outer := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
							err := next.Do(ctx)
							verdict = middleware.VerdictOf(err)
							return err
						})
						limit := attempt
						limit.Scope = scope
						chain := middleware.NewChain("x", &events, outer, policies.NewTimeout(limit))
						op := func(ctx context.Context) error {
							q.ask(ctx)
							time.Sleep(row.takes)
							return row.gives
						}
						for _, run := range []func() error{
							func() error { return chain.Do(t.Context(), op) },
							func() error {
								_, err := middleware.Call(t.Context(), chain, func(ctx context.Context) (int, error) { return 0, op(ctx) })
								return err
							},
							func() error {
								_, end, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) { return 0, op(ctx) }, nil)
								end()
								return err
							},
						} {
							err := run()
							timeouts := 0
							if row.want == changed {
								timeouts = 1
								if rejection(t, err).Policy != "attempt" || !errors.Is(err, middleware.ErrTimeout) || !errors.Is(err, errBroken) {
									t.Errorf("asked for %s: got %v, want the timeout around the operation's error", q.name, err)
								}
							} else if err != middleware.Unjudged(row.gives) {
								t.Errorf("asked for %s: got %v, want %v unchanged", q.name, err, row.gives)
							}
							if verdict.Class != row.class {
								t.Errorf("asked for %s: the verdict is %+v, want %v", q.name, verdict, row.class)
							}
							if got := len(events.of(middleware.TimedOut)); got != timeouts {
								t.Errorf("asked for %s: %d events of a timeout, want %d", q.name, got, timeouts)
							}
							events.events = nil
						}
					})
				}
			}
		})
	}
}

// Whoever never looked cannot know that the caller cancelled before the limit. It
// has taken longer all the same.
func TestTimeoutCountsWhenNobodySawTheCaller(t *testing.T) {
	for _, q := range questions {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			var cause error
			chain := middleware.NewChain("x", policies.NewTimeout(attempt))
			err := chain.Do(ctx, func(ctx context.Context) error {
				time.Sleep(time.Second / 2)
				cancel(errGone)
				q.ask(ctx)
				time.Sleep(time.Minute)
				cause = context.Cause(ctx)
				return errBroken
			})
			seen := q.name != "nothing" && q.name != "Value" && q.name != "Deadline"
			if seen && (err != errBroken || cause != errGone) || !seen && (!errors.Is(err, middleware.ErrTimeout) || !errors.Is(cause, middleware.ErrTimeout)) {
				t.Errorf("asked for %s: got %v with the cause %v", q.name, err, cause)
			}
		})
	}
}

// Only one of nested limits can have passed first, and the caller may have ended
// before either.
func TestTimeoutsAreToldApartByTheClock(t *testing.T) {
	for _, row := range []struct {
		name                   string
		caller, total, attempt time.Duration
		want                   []string // the policies that say so, the innermost last
	}{
		{"none", 3 * time.Hour, 3 * time.Hour, 3 * time.Hour, nil},
		{"the outer one", 3 * time.Hour, time.Minute, 2 * time.Hour, []string{"total"}},
		{"the outer one first", 3 * time.Hour, time.Second, time.Minute, []string{"total"}},
		{"the inner one", 3 * time.Hour, 2 * time.Hour, time.Minute, []string{"attempt"}},
		{"the inner one first", 3 * time.Hour, time.Minute, time.Second, []string{"attempt", "total"}},
		{"the caller", time.Second, 2 * time.Hour, 3 * time.Hour, nil},
		{"the caller first", time.Second, time.Minute, 2 * time.Minute, nil},
		{"the inner one, then the caller", time.Minute, time.Hour, time.Second, []string{"attempt"}},
		{"the outer one, then the caller", time.Minute, time.Second, time.Hour, []string{"total"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, q := range questions {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), row.caller)
					defer cancel()
					var events recorder
					chain := middleware.NewChain("x", &events,
						policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: row.total}),
						policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: row.attempt}))
					err := chain.Do(ctx, func(ctx context.Context) error {
						q.ask(ctx)
						time.Sleep(time.Hour + 1)
						return errBroken
					})
					var got []string
					for _, e := range events.of(middleware.TimedOut) {
						got = append(got, e.Policy)
					}
					if fmt.Sprint(got) != fmt.Sprint(row.want) || errors.Is(err, middleware.ErrTimeout) != (row.want != nil) || !errors.Is(err, errBroken) {
						t.Errorf("asked for %s: %v by %v, want %v", q.name, err, got, row.want)
					}
				})
			}
		})
	}
}

func TestASuccessAfterTheLimitCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		ctx, release, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (context.Context, error) {
			time.Sleep(time.Minute)
			return ctx, nil
		}, nil)
		if err != nil || ctx.Err() != nil {
			t.Errorf("got %v, and its context has ended with %v", err, ctx.Err())
		}
		release()
	})
}

// Everything at once: whoever wins, nobody sees the context come back to life, two
// channels or two causes, and it has ended when release has returned.
func TestLimitedContextIsSafeForConcurrentUse(t *testing.T) {
	const askers = 6
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for range rounds {
		parent, cancel := context.WithCancelCause(context.Background())
		limit := policies.TimeoutConfig{Limit: 1 + rand.N(20*time.Microsecond), Scope: scopes[rand.N(len(scopes))]}
		ctx, release := open(parent, limit)
		var all sync.WaitGroup
		dones := make([]<-chan struct{}, askers)
		seen := make([]error, askers)
		for i := range askers {
			all.Go(func() {
				for range rand.N(4) {
					questions[rand.N(len(questions))].ask(ctx)
				}
				child, drop := context.WithCancel(ctx)
				defer drop()
				seen[i], dones[i] = context.Cause(ctx), ctx.Done()
				if seen[i] != nil && ctx.Err() == nil {
					t.Error("there is a cause and no error")
				}
				if closed(ctx) && ctx.Err() == nil {
					t.Error("it is done and has no error")
				}
				if err := ctx.Err(); err != nil && (!closed(ctx) || ctx.Err() != err || context.Cause(ctx) == nil) {
					t.Error("it has an error and is not done, or says something else the next time")
				}
				<-child.Done()
			})
		}
		all.Go(func() {
			time.Sleep(rand.N(20 * time.Microsecond))
			if rand.N(2) == 0 {
				cancel(errGone)
			}
			release()
			if ctx.Err() == nil || !closed(ctx) {
				t.Error("it has not ended when the call has")
			}
		})
		all.Wait()
		cancel(nil)
		cause := context.Cause(ctx)
		if !errors.Is(cause, middleware.ErrTimeout) && cause != errGone && cause != context.Canceled {
			t.Errorf("the cause is %v", cause)
		}
		for i := range askers {
			if seen[i] != nil && seen[i] != cause {
				t.Errorf("the cause was %v and is %v", seen[i], cause)
			}
			if dones[i] != ctx.Done() {
				t.Error("Done returned two channels")
			}
		}
	}
}

// Many may see the end of the limit at once.
func TestTimeoutIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(attempt))
		for range 1000 {
			err := chain.Do(t.Context(), func(ctx context.Context) error {
				time.Sleep(time.Minute)
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() { answers(ctx, t, "one of many", context.DeadlineExceeded, "x: attempt: time limit exceeded") })
				}
				all.Wait()
				return errBroken
			})
			if !errors.Is(err, middleware.ErrTimeout) {
				t.Fatalf("got %v, want the timeout", err)
			}
		}
	})
}

// The numbers are what the code reaches, to notice when it costs more.
func TestTimeoutAllocatesLittle(t *testing.T) {
	for _, row := range []struct {
		name string
		op   func(context.Context) error
		want float64
	}{
		// The context.
		{"an operation that does not look at its context", succeed, 1},
		{"an operation that asks whether it should go on", func(ctx context.Context) error { return ctx.Err() }, 1},
		{"an operation that fails", fail, 1},
		// And the inner context, its cancel function and channel, the timer and its function.
		{"an operation that waits", func(ctx context.Context) error { ctx.Done(); return nil }, 6},
	} {
		t.Run(row.name, func(t *testing.T) {
			chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{}))
			if got := testing.AllocsPerRun(1000, func() { _ = chain.Do(t.Context(), row.op) }); got != row.want {
				t.Errorf("%v allocations, want %v", got, row.want)
			}
		})
	}
}
