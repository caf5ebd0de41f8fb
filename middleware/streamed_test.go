package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// A logged holder notes what is asked of it.
type logged struct {
	name string
	log  *[]string
}

func (h logged) Release() { *h.log = append(*h.log, "release "+h.name) }
func (h logged) Cancel()  { *h.log = append(*h.log, "cancel "+h.name) }

func holding(h middleware.Holder) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.DoUntil(ctx, h) })
}

// An opening is a streamed operation that gives 1, or fails.
type opening struct {
	log  *[]string
	fail int // so many runs
	runs int
}

func (o *opening) Run(context.Context) (int, error) {
	if o.runs++; o.runs <= o.fail {
		return o.runs, errors.New("failed")
	}
	return o.runs, nil
}

func (o *opening) Discard(n int) { *o.log = append(*o.log, fmt.Sprint("discard ", n)) }

func TestDoUntilCancelsWhenTheResultIsClosed(t *testing.T) {
	var log []string
	twice := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if err := next.Do(ctx); err != nil {
			log = append(log, "again")
			return next.Do(ctx)
		}
		return nil
	})
	chain := middleware.NewChain("x", holding(logged{"outer", &log}), twice, holding(logged{"inner", &log}))
	stream := func(fail int, use func(*middleware.Streamed[int])) {
		s := new(middleware.Streamed[int])
		s.Release()
		s.Close() // nothing is there yet
		n, err := s.Do(t.Context(), chain, &opening{log: &log, fail: fail})
		log = append(log, fmt.Sprint("returned ", n, " ", err))
		use(s)
	}
	ended := []string{"release inner", "cancel inner", "release outer", "cancel outer"}
	for _, row := range []struct {
		name string
		run  func()
		want []string
	}{
		{"a plain operation, at return", func() {
			_ = chain.Do(t.Context(), func(context.Context) error { log = append(log, "done"); return nil })
		}, append([]string{"done"}, ended...)},
		{"a value, at return", func() {
			_, _ = middleware.Call(t.Context(), chain, func(context.Context) (int, error) { return 1, nil })
		}, ended},
		{"a stream, when it ends", func() {
			_, end, _ := middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { return 1, nil }, nil)
			log = append(log, "returned")
			end()
			end()
		}, append([]string{"returned"}, ended...)},
		{"read to the end, then closed", func() {
			stream(0, func(s *middleware.Streamed[int]) {
				s.Release()
				s.Release()
				log = append(log, "read")
				s.Close()
				s.Close()
				s.Release()
			})
		}, []string{"returned 1 <nil>", "release inner", "release outer", "read", "cancel inner", "cancel outer"}},
		{"closed", func() {
			stream(0, (*middleware.Streamed[int]).Close)
		}, append([]string{"returned 1 <nil>"}, ended...)},
		{"of a failed run, when its result is given up", func() {
			stream(1, (*middleware.Streamed[int]).Close)
		}, append([]string{"again", "discard 1", "release inner", "cancel inner", "returned 2 <nil>"}, ended...)},
		{"with an error", func() {
			stream(2, func(s *middleware.Streamed[int]) { s.Release(); log = append(log, "read"); s.Close() })
		}, []string{
			"again", "discard 1", "release inner", "cancel inner", "returned 2 failed",
			"release inner", "release outer", "read", "cancel inner", "cancel outer",
		}},
		{"a panic", func() {
			defer func() { log = append(log, fmt.Sprint(recover())) }()
			_, _, _ = middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { panic("boom") }, nil)
		}, append(slices.Clone(ended), "boom")},
		{"a panic of a plain operation", func() {
			defer func() { log = append(log, fmt.Sprint(recover())) }()
			_ = chain.Do(t.Context(), func(context.Context) error { panic("boom") })
		}, append(slices.Clone(ended), "boom")},
		{"Goexit", func() {
			var wg sync.WaitGroup
			wg.Go(func() { _ = chain.Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil }) })
			wg.Wait()
		}, ended},
	} {
		t.Run(row.name, func(t *testing.T) {
			log = nil
			row.run()
			if !slices.Equal(log, row.want) {
				t.Errorf("\ngot  %q\nwant %q", log, row.want)
			}
		})
	}
}

// A CancelFunc holds nothing but the context.
func TestCancelFunc(t *testing.T) {
	var ctx context.Context
	chain := middleware.NewChain("x", middleware.PolicyFunc(func(parent context.Context, next middleware.Next) error {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(parent) //nolint:fatcontext // looked at below
		return next.DoUntil(ctx, middleware.CancelFunc(cancel))
	}))
	var s middleware.Streamed[int]
	if _, err := s.Do(t.Context(), chain, new(opening)); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if ctx.Err() != nil {
		t.Error("the context ended with what was held")
	}
	s.Close()
	if ctx.Err() == nil {
		t.Error("the context did not end")
	}
}

// More policies than a call has frames for.
func TestManyHolders(t *testing.T) {
	var log []string
	chain := middleware.NewChain("x")
	for i := range 12 {
		chain = middleware.NewChain("x", chain, holding(logged{fmt.Sprint(i), &log}))
	}
	var s middleware.Streamed[int]
	if _, err := s.Do(t.Context(), chain, new(opening)); err != nil {
		t.Fatal(err)
	}
	s.Release()
	s.Close()
	var want []string
	for _, what := range []string{"release ", "cancel "} {
		for i := range 12 {
			want = append(want, what+fmt.Sprint(11-i))
		}
	}
	if !slices.Equal(log, want) {
		t.Errorf("\ngot  %q\nwant %q", log, want)
	}
}

// Release and Close come from different goroutines: each holder hears of both once.
func TestReleaseAndCloseAtOnce(t *testing.T) {
	for range 500 {
		var mu sync.Mutex
		var log []string
		safe := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			return next.DoUntil(ctx, guarded{&mu, logged{"x", &log}})
		})
		var s middleware.Streamed[int]
		if _, err := s.Do(t.Context(), middleware.NewChain("x", safe, safe), new(opening)); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for _, f := range []func(){s.Release, s.Close, s.Release, s.Close} {
			group.Go(f)
		}
		group.Wait()
		mu.Lock()
		slices.Sort(log)
		if want := []string{"cancel x", "cancel x", "release x", "release x"}; !slices.Equal(log, want) {
			t.Fatalf("got %q", log)
		}
		mu.Unlock()
	}
}

type guarded struct {
	mu *sync.Mutex
	middleware.Holder
}

func (g guarded) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Holder.Release()
}

func (g guarded) Cancel() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Holder.Cancel()
}

// A call has room for what two policies hold; each further one costs an allocation.
func TestStreamedAllocatesNothing(t *testing.T) {
	hold := holding(middleware.CancelFunc(func() {}))
	chain := middleware.NewChain("x", hold, hold)
	calls := make([]struct {
		middleware.Streamed[int]
		opening
	}, 1002)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		c := &calls[i]
		i++
		_, _ = c.Do(t.Context(), chain, &c.opening)
		c.Close()
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestReadsAreHeardByAllWhoAsked(t *testing.T) {
	if middleware.ReadsOf(t.Context()) != nil {
		t.Error("somebody listens who did not ask")
	}
	var log []string
	note := func(name string) func(bool) {
		return func(begin bool) { log = append(log, fmt.Sprint(name, " ", begin)) }
	}
	ctx := middleware.WithReads(middleware.WithReads(t.Context(), note("outer")), note("inner"))
	middleware.ReadsOf(ctx)(true)
	middleware.ReadsOf(ctx)(false)
	if want := []string{"outer true", "inner true", "outer false", "inner false"}; !slices.Equal(log, want) {
		t.Errorf("got %q", log)
	}
}

func TestAnOperationContextIsItsContext(t *testing.T) {
	type key struct{}
	want := middleware.Operation{Name: "GET", Key: "server", Idempotent: true}
	own := &middleware.OperationContext{Context: context.WithValue(t.Context(), key{}, 1), Operation: want}
	for _, ctx := range []context.Context{own, middleware.WithOperation(context.WithValue(t.Context(), key{}, 1), want)} {
		if got := middleware.OperationOf(ctx); got != want || ctx.Value(key{}) != 1 {
			t.Errorf("%+v, %v", got, ctx.Value(key{}))
		}
	}
	if got := middleware.OperationOf(t.Context()); got != (middleware.Operation{}) {
		t.Errorf("without one: %+v", got)
	}
}

// However close the end and the closing of a result come, what is held is given back before
// the context is cancelled.
func TestCancelComesAfterRelease(t *testing.T) {
	for range 200 {
		slow := &orderly{t: t, release: make(chan struct{})}
		var s middleware.Streamed[int]
		if _, err := s.Do(t.Context(), middleware.NewChain("x", holding(slow), holding(slow)), new(opening)); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		group.Go(s.Release)
		<-slow.release
		group.Go(s.Close)
		group.Wait()
		if n := slow.cancelled.Load(); n != 2 {
			t.Fatalf("%d contexts were cancelled, want 2", n)
		}
	}
}

type orderly struct {
	t         *testing.T
	once      sync.Once
	release   chan struct{}
	released  atomic.Int64
	cancelled atomic.Int64
}

func (o *orderly) Release() {
	o.once.Do(func() { close(o.release) })
	for range 10 {
		runtime.Gosched() // so that Close comes in between
	}
	o.released.Add(1)
}

func (o *orderly) Cancel() {
	if o.cancelled.Add(1); o.released.Load() != 2 {
		o.t.Error("a context was cancelled while something was held")
	}
}
