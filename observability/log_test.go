package observability_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/log/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// Logs keep the records that they are given.
type logs struct {
	noop.LoggerProvider

	least log.Severity // what is below is off

	mu    sync.Mutex
	all   []log.Record
	spans []trace.SpanContext // where each was emitted
}

func (l *logs) Logger(string, ...log.LoggerOption) log.Logger { return logger{logs: l} }

type logger struct {
	noop.Logger
	*logs
}

func (l logger) Enabled(_ context.Context, p log.EnabledParameters) bool {
	return p.Severity >= l.least
}

func (l logger) Emit(ctx context.Context, r log.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all, l.spans = append(l.all, r), append(l.spans, trace.SpanContextFromContext(ctx))
}

// lines returns the records as text: severity, name, attributes.
func (l *logs) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, r := range l.all {
		var attributes []attribute.KeyValue
		r.WalkAttributes(func(a attribute.KeyValue) bool {
			attributes = append(attributes, a)
			return true
		})
		lines = append(lines, fmt.Sprintf("%s %s %s", r.Severity(), r.EventName(), text(attributes)))
	}
	return lines
}

// Events are span events, or log records, or both by option; never both otherwise.
func TestWhereEventsGo(t *testing.T) {
	for _, row := range []struct {
		name          string
		options       func(*logs) []observability.Option
		spans, record bool
	}{
		{"span events unless told", func(*logs) []observability.Option { return nil }, true, false},
		{"a nil provider of logs", func(*logs) []observability.Option {
			return []observability.Option{observability.WithLoggerProvider(nil)}
		}, true, false},
		{"log records", func(l *logs) []observability.Option {
			return []observability.Option{observability.WithLoggerProvider(l)}
		}, false, true},
		{"both", func(l *logs) []observability.Option {
			return []observability.Option{observability.WithSpanEvents(), observability.WithLoggerProvider(l)}
		}, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, l := newRecorder(), new(logs)
				chain := middleware.NewChain("x", r.observer(row.options(l)...), policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Jitter: -1}))
				_ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} })
				s := r.span(t, "x")
				if got := len(s.Events) > 0; got != row.spans {
					t.Errorf("the span has %d events", len(s.Events))
				}
				var want []string
				if row.record {
					want = []string{
						"DEBUG tidegate.retry.scheduled attempt=1 chain.name=x error.type=503 policy.name=retry retry.delay=1 retry.delay_source=backoff",
						"INFO tidegate.retry.stopped attempt=2 chain.name=x error.type=503 policy.name=retry retry.stop_reason=exhausted",
					}
				}
				if got := l.lines(); !slices.Equal(got, want) {
					t.Errorf("got the records\n%q, want\n%q", got, want)
				}
				for i, span := range l.spans {
					if !span.Equal(s.SpanContext) {
						t.Errorf("record %d belongs to %v, want the span of the call", i, span)
					}
				}
			})
		})
	}
}

// Log records need no tracer. What no call brought about is among them.
func TestLogRecords(t *testing.T) {
	l := new(logs)
	o := observability.New(observability.WithLoggerProvider(l))
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	chain := middleware.NewChain("x", o, breaker)
	breaker.ForceOpen()
	_ = chain.Do(t.Context(), succeed)
	for _, e := range []middleware.Event{
		{Kind: middleware.Transition, Policy: "p", From: "closed", To: "open", Reason: "failure_rate", Rate: 0.5},
		{Kind: middleware.Transition, Policy: "p", From: "observed_closed", To: "observed_open", Wait: time.Minute},
		{Kind: middleware.Waited, Policy: "p", Wait: time.Second},
		{Kind: middleware.RetryStopped, Policy: "p", Attempt: 1, Reason: "budget"},
		{Kind: middleware.HedgeStarted, Policy: "p", Attempt: 2},
		{Kind: middleware.HedgeWon, Policy: "p", Attempt: 2},
		{Kind: middleware.HedgeRefused, Policy: "p", Attempt: 2, Reason: "budget"},
		{Kind: middleware.TimedOut, Policy: "p", Wait: time.Second},
		{Kind: middleware.WouldReject, Policy: "p", Key: "eu", Reason: "circuit_open", Opener: "abc"},
		{Kind: middleware.HealthCheckFailed, Policy: "p", Err: codedError{503}},
		{Kind: middleware.HealthCheckPassed, Policy: "p"},
		{Kind: middleware.LimitChanged, Policy: "p", From: "1", To: "2", Reason: "latency"},
		{Kind: middleware.FallbackUsed, Policy: "p", Err: codedError{503}},
		{Kind: middleware.FallbackUsed, Policy: "p", Err: codedError{503}, Reason: "failed"},
		{Kind: middleware.Injected, Policy: "p", Reason: "latency", Wait: time.Second, Attempt: 2},
		{Kind: middleware.Injected, Policy: "p", Reason: "error", Err: errors.New(canary)},
		{Kind: middleware.NestedRetry, Policy: "p", Reason: "header", Attempt: 2, Err: codedError{503}},
		{Kind: middleware.LeaseExpired, Policy: "p", Wait: time.Minute},
		{Kind: middleware.WouldReject, Policy: "p", Reason: "client_throttled"},
		{Kind: middleware.Kind(99), Policy: "p"},
	} {
		chain.Emit(t.Context(), e)
	}
	want := []string{
		"INFO tidegate.breaker.state_changed breaker.state.from=closed breaker.state.to=forced_open chain.name=x policy.name=breaker reason=forced",
		"WARN tidegate.policy.rejected breaker.state=open chain.name=x error.type=circuit_open policy.name=breaker",
		"WARN tidegate.breaker.state_changed breaker.failure_rate=0.5 breaker.state.from=closed breaker.state.to=open chain.name=x policy.name=p reason=failure_rate",
		"WARN tidegate.breaker.state_changed breaker.open_for=60 breaker.state.from=observed_closed breaker.state.to=observed_open chain.name=x policy.name=p reason=",
		"DEBUG tidegate.policy.waited chain.name=x policy.name=p wait.duration=1",
		"WARN tidegate.retry.stopped attempt=1 chain.name=x error.type=_OTHER policy.name=p retry.stop_reason=budget",
		"DEBUG tidegate.hedge.started attempt=2 chain.name=x hedge.delay=0 policy.name=p",
		"DEBUG tidegate.hedge.won attempt=2 chain.name=x policy.name=p",
		"INFO tidegate.hedge.refused attempt=2 chain.name=x policy.name=p reason=budget",
		"WARN tidegate.timeout.exceeded chain.name=x policy.name=p timeout.limit=1",
		"INFO tidegate.policy.would_reject breaker.opened_by=abc chain.name=x policy.key=eu policy.name=p reason=circuit_open",
		"INFO tidegate.breaker.health_check_failed chain.name=x error.type=503 policy.name=p",
		"INFO tidegate.breaker.health_check_passed chain.name=x policy.name=p",
		"INFO tidegate.policy.limit_changed chain.name=x limit.from=1 limit.to=2 policy.name=p reason=latency",
		"INFO tidegate.fallback.used chain.name=x error.type=503 policy.name=p",
		"WARN tidegate.fallback.used chain.name=x error.type=503 policy.name=p reason=failed",
		"WARN tidegate.chaos.injected attempt=2 chain.name=x chaos.duration=1 chaos.fault=latency policy.name=p",
		"WARN tidegate.chaos.injected chain.name=x chaos.fault=error error.type=*errors.errorString policy.name=p",
		"INFO tidegate.retry.nested chain.name=x error.type=503 policy.name=p retry.outer_attempt=2 retry.outer_source=header",
		"WARN tidegate.policy.lease_expired chain.name=x lease.held=60 policy.name=p",
		"INFO tidegate.policy.would_reject chain.name=x policy.name=p reason=client_throttled",
	}
	got := l.lines()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, line := range got {
		if l.all[i].Timestamp().IsZero() {
			t.Errorf("the record %q does not say when", line)
		}
		if strings.Contains(line, canary) || strings.Contains(fmt.Sprint(l.all[i]), canary) {
			t.Errorf("the text of an error is in the record %q", line)
		}
	}
}

// A record that nobody wants is not made.
func TestRecordsThatAreOff(t *testing.T) {
	l := &logs{least: log.SeverityError}
	chain := middleware.NewChain("x", observability.New(observability.WithLoggerProvider(l)))
	e := middleware.Event{Kind: middleware.Rejected, Policy: "p", Reason: "circuit_open"}
	chain.Emit(t.Context(), e)
	if n := len(l.all); n != 0 {
		t.Errorf("%d records were made", n)
	}
}
