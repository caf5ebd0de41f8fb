package observability

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// A pad is what a handler of text writes to.
type pad struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (p *pad) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buffer.Write(b)
}

// lines returns what was written since the last time.
func (p *pad) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.TrimSuffix(p.buffer.String(), "\n")
	p.buffer.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// logsTo returns an observer that logs to a pad from a level on, and the chain "x" with it.
func logsTo(level slog.Level) (*middleware.Chain, *pad) {
	p := new(pad)
	l := slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return middleware.NewChain("x", New(WithLogger(l), WithLogger(l))), p
}

// sampled returns a context that belongs to a sampled trace.
func sampled(t *testing.T, id byte) context.Context {
	return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{id}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	}))
}

func wantLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsLogged(t *testing.T) {
	chain, p := logsTo(slog.LevelDebug)
	for _, row := range []struct {
		event middleware.Event
		want  string
	}{
		{
			middleware.Event{Kind: middleware.Transition, Policy: "breaker", Key: "eu", From: "closed", To: "open", Reason: "consecutive_failures", Wait: 30 * time.Second, Err: errLeak},
			`level=WARN msg=breaker.state_changed chain.name=x policy.name=breaker policy.key=eu breaker.state.from=closed breaker.state.to=open reason=consecutive_failures breaker.open_for=30 error.type=*errors.errorString`,
		},
		{
			middleware.Event{Kind: middleware.Transition, Policy: "breaker", From: "half_open", To: "closed", Reason: "probe_succeeded"},
			`level=INFO msg=breaker.state_changed chain.name=x policy.name=breaker breaker.state.from=half_open breaker.state.to=closed reason=probe_succeeded`,
		},
		{
			middleware.Event{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open", Wait: 1500 * time.Millisecond, Opener: "0102"},
			`level=WARN msg=policy.rejected chain.name=x policy.name=breaker retry_after=1.5 breaker.opened_by=0102 error.type=circuit_open breaker.state=open`,
		},
		{
			middleware.Event{Kind: middleware.RetryScheduled, Policy: "retry", Attempt: 1, Wait: 200 * time.Millisecond, Reason: "backoff", Err: errLeak},
			`level=DEBUG msg=retry.scheduled chain.name=x policy.name=retry attempt=1 retry.delay=0.2 retry.delay_source=backoff error.type=*errors.errorString`,
		},
		{
			middleware.Event{Kind: middleware.RetryStopped, Policy: "retry", Attempt: 3, Reason: "exhausted", Err: errLeak},
			`level=INFO msg=retry.stopped chain.name=x policy.name=retry attempt=3 retry.stop_reason=exhausted error.type=*errors.errorString`,
		},
		{
			middleware.Event{Kind: middleware.RetryStopped, Policy: "retry", Attempt: 1, Reason: "budget", Err: errLeak},
			`level=WARN msg=retry.stopped chain.name=x policy.name=retry attempt=1 retry.stop_reason=budget error.type=*errors.errorString`,
		},
		{
			middleware.Event{Kind: middleware.TimedOut, Policy: "total", Wait: time.Second, Err: errLeak},
			`level=WARN msg=timeout.exceeded chain.name=x policy.name=total timeout.limit=1`,
		},
		{
			middleware.Event{Kind: middleware.Waited, Policy: "bulkhead", Wait: time.Second, Reason: "bulkhead"},
			`level=DEBUG msg=policy.waited chain.name=x policy.name=bulkhead wait.duration=1`,
		},
		{middleware.Event{Kind: middleware.HedgeWon, Policy: "hedge", Attempt: 2}, `level=DEBUG msg=hedge.won chain.name=x policy.name=hedge attempt=2`},
		{middleware.Event{Kind: middleware.HealthCheckPassed, Policy: "breaker"}, `level=INFO msg=breaker.health_check_passed chain.name=x policy.name=breaker`},
		{
			middleware.Event{Kind: middleware.Injected, Policy: "chaos", Attempt: 1, Reason: "hang"},
			`level=WARN msg=chaos.injected chain.name=x policy.name=chaos chaos.fault=hang attempt=1`,
		},
		{
			middleware.Event{Kind: middleware.LeaseExpired, Policy: "bulkhead", Wait: time.Minute},
			`level=WARN msg=policy.lease_expired chain.name=x policy.name=bulkhead lease.held=60`,
		},
		{
			middleware.Event{Kind: middleware.NestedRetry, Policy: "retry", Attempt: 2, Reason: "context", Err: errLeak},
			`level=INFO msg=retry.nested chain.name=x policy.name=retry retry.outer_attempt=2 retry.outer_source=context error.type=*errors.errorString`,
		},
		{middleware.Event{Kind: 200, Policy: "unknown"}, ""},
	} {
		chain.Emit(t.Context(), row.event)
		var want []string
		if row.want != "" {
			want = []string{row.want}
		}
		wantLines(t, row.event.Kind.String(), p.lines(), want)
		row.event.Reason += "_else" // or it is folded
		chain.Emit(sampled(t, 0xab), row.event)
		if got := strings.Join(p.lines(), "\n"); row.want != "" && !strings.HasSuffix(got, " trace_id=ab000000000000000000000000000000") {
			t.Errorf("%s in a trace: %s", row.event.Kind, got)
		}
	}
}

// The levels are those of the log records of OpenTelemetry.
func TestLevelsAreThoseOfLogRecords(t *testing.T) {
	for kind := middleware.Rejected; kind.String() != "unknown"; kind++ {
		for _, e := range []middleware.Event{
			{Kind: kind},
			{Kind: kind, Reason: "budget"},
			{Kind: kind, Reason: "failed"},
			{Kind: kind, To: "open"},
			{Kind: kind, To: "observed_open"},
			{Kind: kind, To: "half_open"},
		} {
			want := slog.Level(int(entryOf(nil, e).severity) - int(log.SeverityInfo))
			if got := levelOf(e); got != want {
				t.Errorf("%v %q %q: %v, want %v", kind, e.Reason, e.To, got, want)
			}
		}
	}
}

// What there may be much of with each call is folded.
func TestWhichEventsAreFolded(t *testing.T) {
	for _, e := range []middleware.Event{
		{Kind: middleware.Rejected, Reason: "client_throttled"}, {Kind: middleware.WouldReject}, {Kind: middleware.LimitChanged, From: "2", To: "1"},
		{Kind: middleware.Injected, Reason: "error"}, {Kind: middleware.NestedRetry, Attempt: 2}, {Kind: middleware.LeaseExpired},
		{Kind: middleware.FallbackUsed, Reason: "failed"},
	} {
		chain, p := logsTo(slog.LevelInfo)
		for range 100 {
			chain.Emit(t.Context(), e)
		}
		if n := len(p.lines()); n != 1 {
			t.Errorf("%d records of 100 times %s, want 1", n, e.Kind)
		}
	}
}

func TestRepeatsAreFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, p := logsTo(slog.LevelInfo)
		reject := func(id byte, policy string) {
			chain.Emit(sampled(t, id), middleware.Event{Kind: middleware.Rejected, Policy: policy, Reason: "circuit_open"})
		}
		line := func(policy, more string) string {
			return "level=WARN msg=policy.rejected chain.name=x policy.name=" + policy + " error.type=circuit_open breaker.state=open" + more
		}
		in := func(id string) string { return " trace_id=" + id + strings.Repeat("0", 30) }
		reject(1, "a")
		reject(2, "a")
		reject(3, "b")
		wantLines(t, "at once", p.lines(), []string{line("a", in("01")), line("b", in("03"))})
		for range 57 {
			time.Sleep(time.Second)
			reject(4, "a")
			chain.Emit(t.Context(), middleware.Event{Kind: middleware.RetryScheduled, Policy: "retry"}) // nobody sees it
		}
		wantLines(t, "in the first minute", p.lines(), nil)
		time.Sleep(3 * time.Second)
		reject(5, "a")
		wantLines(t, "a minute later", p.lines(), []string{line("a", " repeated=59"+in("05"))})
		reject(6, "b")
		wantLines(t, "another that is a first one again", p.lines(), []string{line("b", in("06"))})
		reject(7, "a")
		reject(8, "b")
		time.Sleep(time.Second)
		reject(9, "a")
		chain.Emit(t.Context(), middleware.Event{Kind: middleware.Transition, Policy: "a", From: "open", To: "closed", Reason: "reset"})
		wantLines(t, "the end", p.lines(), []string{
			line("b", " repeated=1"+in("08")), line("a", " repeated=2"+in("09")),
			"level=INFO msg=breaker.state_changed chain.name=x policy.name=a breaker.state.from=open breaker.state.to=closed reason=reset",
		})
		reject(10, "a")
		wantLines(t, "after the end", p.lines(), []string{line("a", in("0a"))})
		reject(11, "a")
		time.Sleep(3 * time.Minute)
		reject(12, "b")
		wantLines(t, "what was left", p.lines(), []string{line("a", " repeated=1"+in("0b")), line("b", in("0c"))})
	})
}

// Reasons, keys, kinds and chains are told apart; the attempt and the wait are not.
func TestWhatIsNotFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, p := logsTo(slog.LevelInfo)
		first := middleware.Event{Kind: middleware.RetryStopped, Policy: "retry", Reason: "exhausted", Attempt: 1}
		for i, change := range []func(*middleware.Event){
			func(*middleware.Event) {},
			func(e *middleware.Event) { e.Key = "eu" },
			func(e *middleware.Event) { e.Policy = "other" },
			func(e *middleware.Event) { e.Reason = "deadline" },
			func(e *middleware.Event) { e.Kind = middleware.TimedOut },
		} {
			e := first
			change(&e)
			chain.Emit(t.Context(), e)
			if n := len(p.lines()); n != 1 {
				t.Errorf("change %d: %d lines, want 1", i, n)
			}
		}
		e := first
		e.Attempt, e.Wait = 2, time.Second
		chain.Emit(t.Context(), e)
		wantLines(t, "another attempt", p.lines(), nil)
		for range 3 { // transitions never
			chain.Emit(t.Context(), middleware.Event{Kind: middleware.Transition, Policy: "breaker", To: "open"})
		}
		if n := len(p.lines()); n != 4 { // and the rest
			t.Errorf("%d lines, want 4", n)
		}
	})
}

// However many keys there are, what is remembered is bounded, and no event is lost of those
// that there are few of.
func TestFoldsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pad)
		l := newEventLogger(slog.New(slog.NewTextHandler(p, nil)))
		event := func(policy, key string) {
			l.observe(t.Context(), middleware.Event{Time: time.Now(), Chain: "x", Kind: middleware.Rejected, Policy: policy, Key: key})
		}
		for i := range 5 * maxFolds {
			event("breaker", fmt.Sprint(i))
		}
		if n := len(p.lines()); n != maxFolds+1 { // the others are one
			t.Errorf("%d lines, want %d", n, maxFolds+1)
		}
		for i := range 5 * maxFolds {
			event(fmt.Sprint(i), "")
		}
		if len(l.folds) > 2*maxFolds {
			t.Errorf("%d folds, want %d at the most", len(l.folds), 2*maxFolds)
		}
		p.lines()
		time.Sleep(2 * foldTime)
		event("late", "")
		if n := len(p.lines()); len(l.folds) != 1 || n != 2 { // what the others came to, and the new one
			t.Errorf("two minutes later: %d folds, %d lines", len(l.folds), n)
		}
	})
}

// The handler gets the context of the call, and may log through the observer again.
func TestTheHandlerGetsTheContext(t *testing.T) {
	type key struct{}
	h := &probeHandler{}
	o := New(WithLogger(slog.New(h)))
	chain := middleware.NewChain("x", o)
	h.seen = func(ctx context.Context, r slog.Record) {
		if ctx.Value(key{}) != "call" || r.Time.IsZero() {
			t.Errorf("the handler got %v, %v", ctx, r)
		}
		if r.Level == slog.LevelWarn {
			chain.Emit(ctx, middleware.Event{Kind: middleware.HealthCheckPassed, Policy: "breaker"}) // no lock is held
		}
	}
	chain.Emit(context.WithValue(t.Context(), key{}, "call"), middleware.Event{Kind: middleware.Rejected, Policy: "limit", Reason: "rate_limited"})
	if h.records != 2 {
		t.Errorf("%d records, want 2", h.records)
	}
}

// A probeHandler shows what it gets.
type probeHandler struct {
	seen    func(context.Context, slog.Record)
	records int
}

func (*probeHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *probeHandler) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h *probeHandler) WithGroup(string) slog.Handler          { return h }
func (h *probeHandler) Handle(ctx context.Context, r slog.Record) error {
	h.records++
	h.seen(ctx, r)
	return nil
}

// What has no level, no logger or is folded allocates nothing.
func TestLoggingAllocatesNothingWhenItIsOff(t *testing.T) {
	warn := slog.New(slog.NewTextHandler(new(pad), &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx := sampled(t, 1)
	for name, row := range map[string]struct {
		logger *slog.Logger
		event  middleware.Event
	}{
		"no logger": {nil, middleware.Event{Kind: middleware.Transition, To: "open"}},
		"debug":     {warn, middleware.Event{Kind: middleware.RetryScheduled, Err: errLeak}},
		"info":      {warn, middleware.Event{Kind: middleware.RetryStopped, Err: errLeak}},
		"discard":   {slog.New(slog.DiscardHandler), middleware.Event{Kind: middleware.Transition, To: "open"}},
		"folded":    {warn, middleware.Event{Kind: middleware.Rejected, Reason: "circuit_open"}},
	} {
		l := newEventLogger(row.logger)
		row.event.Time = noon
		l.observe(ctx, row.event)
		if n := testing.AllocsPerRun(1000, func() { l.observe(ctx, row.event) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func TestManyLogAtOnce(t *testing.T) {
	chain, p := logsTo(slog.LevelInfo)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 300 {
				chain.Emit(t.Context(), middleware.Event{Kind: middleware.Rejected, Policy: "a", Reason: fmt.Sprint(j % 3)})
				if i == 0 && j%100 == 50 {
					chain.Emit(t.Context(), middleware.Event{Kind: middleware.Transition, Policy: "a", To: "open"})
				}
			}
		})
	}
	all.Wait()
	chain.Emit(t.Context(), middleware.Event{Kind: middleware.Transition, Policy: "a", To: "closed"})
	n := 0
	for _, line := range p.lines() {
		if !strings.Contains(line, "policy.rejected") {
			continue
		}
		repeated := 1
		if _, after, found := strings.Cut(line, "repeated="); found {
			if _, err := fmt.Sscan(after, &repeated); err != nil {
				t.Fatal(err)
			}
		}
		n += repeated
	}
	if n != 8*300 {
		t.Errorf("the log tells of %d events, want %d", n, 8*300)
	}
}

// A Monitor sees to it that the rest of an outage is logged though nothing follows.
func TestAMonitorFlushesTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, p := logsTo(slog.LevelInfo)
		monitor := StartMonitoring(t.Context(), managed{chain})
		defer monitor.Close()
		for range 5 {
			chain.Emit(t.Context(), middleware.Event{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open"})
		}
		if got := p.lines(); len(got) != 1 {
			t.Errorf("at once: %q", got)
		}
		time.Sleep(59 * time.Second)
		if got := p.lines(); len(got) != 0 {
			t.Errorf("within the minute: %q", got)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if got := p.lines(); len(got) != 1 || !strings.Contains(got[0], "repeated=4") {
			t.Errorf("afterwards: %q", got)
		}
		time.Sleep(time.Hour)
		if got := p.lines(); len(got) != 0 {
			t.Errorf("later: %q", got)
		}
	})
}

type managed []*middleware.Chain

func (m managed) Chains() []*middleware.Chain { return m }
func (managed) ForceOpen(string) error        { return nil }
func (managed) Release(string) error          { return nil }
func (managed) Reset(string) error            { return nil }
