package observability_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// A looker reads the stream of a page.
type looker struct {
	lines  *bufio.Scanner
	cancel context.CancelFunc
	done   chan struct{}
}

// seen is an update as a browser gets it.
type seen struct {
	Event string

	Now   time.Time
	Hello *struct {
		Control, Observer, Live, History, Monitor bool
		TraceLink                                 string `json:"trace_link"`
	}
	Services []struct {
		Name, Status, State, Reason string
		Until                       time.Time
		Calls                       *int
		SuccessRate                 *float64 `json:"success_rate"`
		Spark                       [][4]int
	}
	Removed []string
	Alerts  []observability.Alert
	Events  []struct {
		ID, Chain, Kind, To string
		Count               int
	}
	Traces []struct {
		Key, Title string
		Spans      int
	}
}

// piped writes an answer into a pipe, as fast as it is read.
type piped struct {
	http.ResponseWriter
	to *io.PipeWriter
}

func (p piped) Write(b []byte) (int, error) { return p.to.Write(b) }
func (piped) Flush()                        {}

// look opens the stream. It ends with the test.
func look(t *testing.T, page http.Handler) *looker {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	from, to := io.Pipe()
	l := &looker{lines: bufio.NewScanner(from), cancel: cancel, done: make(chan struct{})}
	l.lines.Buffer(nil, 1<<20)
	go func() {
		defer close(l.done)
		page.ServeHTTP(piped{httptest.NewRecorder(), to}, httptest.NewRequestWithContext(ctx, "GET", "/stream", http.NoBody))
		_ = to.Close()
	}()
	t.Cleanup(func() { // before the bubble ends
		cancel()
		_ = from.Close()
		<-l.done
	})
	return l
}

// next returns the next event.
func (l *looker) next(t *testing.T) (s seen) {
	t.Helper()
	for l.lines.Scan() {
		switch name, value, _ := strings.Cut(l.lines.Text(), ": "); name {
		case "event":
			s.Event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &s); err != nil { //nolint:musttag // they differ in case only
				t.Fatalf("%v in %s", err, value)
			}
		case "":
			return s
		}
	}
	t.Fatalf("the stream has ended: %v", l.lines.Err())
	return s
}

var errDown = errors.New("down")

func fail(ctx context.Context, c *middleware.Chain) {
	_ = c.Do(ctx, func(context.Context) error { return errDown })
}

func TestStreamSendsAllAndThenWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(observability.New(observability.WithLive()), "billing", "mail")
		page := observability.Page(shelf, observability.AllowControl(func(*http.Request) bool { return false }))
		l := look(t, page)
		began := time.Now()
		first := l.next(t)
		if first.Event != "update" || len(first.Services) != 3 || first.Hello == nil || !first.Hello.Control || !first.Hello.Live || first.Alerts == nil {
			t.Errorf("first comes %+v", first)
		}
		if !time.Now().Equal(began) {
			t.Errorf("it came after %s", time.Since(began))
		}

		// Nothing happens: after a while there is a sign of life.
		if quiet := l.next(t); quiet.Event != "beat" || time.Since(began) != 5*time.Second {
			t.Errorf("after %s came %+v", time.Since(began), quiet)
		}

		// A breaker opens.
		fail(t.Context(), shelf.chains[0])
		opened := time.Now()
		next := l.next(t)
		if len(next.Services) != 1 || next.Services[0].Name != "billing" || next.Services[0].State != "open" || next.Services[0].Status != "warn" {
			t.Errorf("when a breaker opens comes %+v", next)
		}
		if late := time.Since(opened); late > time.Second {
			t.Errorf("it came after %s", late)
		}
		if next.Hello != nil || next.Alerts != nil || len(next.Removed) > 0 {
			t.Errorf("what has not changed came again: %+v", next)
		}
		if len(next.Events) == 0 || len(next.Traces) != 1 || next.Traces[0].Spans < 2 {
			t.Errorf("no events or no trace: %+v", next)
		}

		// Repeated events are one that counts.
		id := ""
		for _, e := range next.Events {
			if e.Kind == "transition" && e.To == "open" {
				id = e.ID
			}
		}
		if id == "" {
			t.Errorf("no transition in %+v", next.Events)
		}
		fail(t.Context(), shelf.chains[0])
		rejected := l.next(t)
		fail(t.Context(), shelf.chains[0])
		again := l.next(t)
		if len(again.Events) == 0 || again.Events[0].ID != rejected.Events[0].ID || again.Events[0].Count != rejected.Events[0].Count+1 {
			t.Errorf("a repeated event came as %+v, after %+v", again.Events, rejected.Events)
		}
	})
}

// Numbers change with every call. They are sent every second, a change of the state at
// once.
func TestStreamSendsNumbersLessOftenThanStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(observability.New(observability.WithLive(), observability.WithHistory(-1)), "billing")
		l := look(t, observability.Page(shelf))
		l.next(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_ = shelf.chains[0].Do(ctx, func(context.Context) error { return nil })
				time.Sleep(90 * time.Millisecond)
			}
		}()
		var times []time.Duration
		for last := time.Now(); len(times) < 5; {
			if s := l.next(t); len(s.Services) > 0 {
				times = append(times, time.Since(last))
				last = time.Now()
			}
		}
		cancel()
		<-done
		for i, d := range times {
			if d != time.Second && i > 0 {
				t.Errorf("numbers came after %v", times)
			}
		}
	})
}

func TestStreamForgetsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(observability.New(), "billing", "mail")
		l := look(t, observability.Page(shelf))
		l.next(t)
		synctest.Wait()
		shelf.mu.Lock()
		shelf.chains = shelf.chains[1:]
		shelf.mu.Unlock()
		if s := l.next(t); len(s.Removed) != 1 || s.Removed[0] != "billing" || len(s.Services) != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// The newest records are sent, however many there are.
func TestStreamBoundsTheEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observability.New(observability.WithHistory(1000))
		c := middleware.NewChain("billing", o)
		for i := range 900 {
			c.Emit(t.Context(), middleware.Event{Kind: middleware.RetryScheduled, Attempt: i})
		}
		s := look(t, observability.Page(&shelf{chains: []*middleware.Chain{c}})).next(t)
		if len(s.Events) != 200 || s.Events[199].ID != "0-900" {
			t.Errorf("%d events, the last one %+v", len(s.Events), s.Events[len(s.Events)-1])
		}
	})
}

func TestStreamSaysWhatItCannotShow(t *testing.T) {
	for _, row := range []struct {
		name              string
		chain             []middleware.Policy
		observer, history bool
		live              bool
	}{
		{"no observer", nil, false, false, false},
		{"an observer", []middleware.Policy{observability.New()}, true, true, false},
		{"no history", []middleware.Policy{observability.New(observability.WithHistory(-1))}, true, false, false},
		{"live", []middleware.Policy{observability.New(observability.WithLive())}, true, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := look(t, observability.Page(&shelf{chains: []*middleware.Chain{middleware.NewChain("x", row.chain...)}})).next(t).Hello
			if h == nil || h.Observer != row.observer || h.History != row.history || h.Live != row.live {
				t.Errorf("%s: %+v", row.name, h)
			}
		})
	}
}

// The alerts of a monitor are shown; without one the page finds them.
func TestPageShowsAlerts(t *testing.T) {
	for _, monitored := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			shelf := newShelf(observability.New(observability.WithLive()), "billing")
			var opts []observability.PageOption
			soonest := time.Minute // the default
			if monitored {
				soonest = time.Second
				monitor := observability.StartMonitoring(t.Context(), shelf, observability.WithInterval(time.Second),
					observability.WithThresholds(observability.Thresholds{BreakerOpen: soonest}))
				defer monitor.Close()
				opts = append(opts, observability.WithMonitor(monitor))
			}
			page := observability.Page(shelf, opts...)
			shelf.breakers["billing"].ForceOpen()
			l := look(t, page)
			for began := time.Now(); time.Since(began) < 2*time.Minute; {
				s := l.next(t)
				if len(s.Alerts) > 0 {
					late := time.Since(began) - soonest
					if s.Alerts[0].Name != "BreakerOpen" || s.Alerts[0].Chain != "billing" || late < 0 || late > 10*time.Second {
						t.Errorf("monitored %v: after %s %+v", monitored, time.Since(began), s.Alerts)
					}
					if w := ask(page, "GET", "/alerts", ""); !strings.Contains(w.Body.String(), "BreakerOpen") {
						t.Errorf("monitored %v: /alerts has %s", monitored, w.Body)
					}
					return
				}
			}
			t.Errorf("monitored %v: no alert", monitored)
		})
	}
}

// A stream ends with its request at once, and not when it next has something to say.
func TestStreamEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := look(t, observability.Page(newShelf(observability.New(), "billing")))
		l.next(t)
		synctest.Wait()
		began := time.Now()
		l.cancel()
		<-l.done
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %s", took)
		}
	})
}

// So it is with a real server, whose reader goes away. goleak would find what stays.
func TestStreamOfAServerEnds(t *testing.T) {
	server := httptest.NewServer(observability.Page(newShelf(observability.New(), "billing")))
	defer server.Close() // waits for its requests
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "event: update\n" {
		t.Errorf("read %q, %v", line, err)
	}
}

// Of many keys those in trouble are shown first, and how many are left out.
func TestChainShowsKeysInTrouble(t *testing.T) {
	type key struct{}
	keyed := policies.NewKeyed(policies.KeyedConfig{Key: func(ctx context.Context) string { return ctx.Value(key{}).(string) }},
		func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 1})
		})
	c := middleware.NewChain("hosts", keyed)
	for i := range 60 {
		_ = c.Do(context.WithValue(t.Context(), key{}, "host-"+strconv.Itoa(i)), func(context.Context) error {
			if i == 42 {
				return errDown
			}
			return nil
		})
	}
	var got struct {
		Policies []struct {
			Keys []struct{ Key string }
			More int
		}
	}
	w := ask(observability.Page(&shelf{chains: []*middleware.Chain{c}}), "GET", "/chain?service=hosts", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil { //nolint:musttag // they differ in case only
		t.Fatal(err)
	}
	if p := got.Policies; len(p) != 1 || len(p[0].Keys) != 50 || p[0].More != 10 || p[0].Keys[0].Key != "host-42" {
		t.Errorf("got %+v", p)
	}
}

// deaf is a client that takes nothing: a write ends with its deadline.
type deaf struct {
	http.ResponseWriter

	deadline time.Time
}

func (d *deaf) SetWriteDeadline(at time.Time) error { d.deadline = at; return nil }
func (*deaf) Flush()                                {}
func (d *deaf) Write([]byte) (int, error) {
	if d.deadline.IsZero() {
		select {}
	}
	time.Sleep(time.Until(d.deadline))
	return 0, os.ErrDeadlineExceeded
}

func TestStreamLeavesAReaderThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		observability.Page(nil).ServeHTTP(&deaf{ResponseWriter: httptest.NewRecorder()}, httptest.NewRequest("GET", "/stream", http.NoBody))
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// unflushable gathers what is written, as some middleware does.
type unflushable struct{ http.ResponseWriter }

func TestStreamNeedsFlush(t *testing.T) {
	w := httptest.NewRecorder()
	observability.Page(nil).ServeHTTP(unflushable{w}, httptest.NewRequest("GET", "/stream", http.NoBody))
	if w.Code != http.StatusNotImplemented {
		t.Errorf("got %d", w.Code)
	}
}
