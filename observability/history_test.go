package observability_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// brief writes records in the order of the history.
func brief(records []observability.Record) string {
	all := ""
	for _, r := range records {
		all += fmt.Sprintf("%s/%s %s %s%s %dx\n", r.Chain, r.Policy, r.Kind, r.Reason, r.To, r.Count)
	}
	return all
}

func TestHistoryNeedsNoProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observability.New()
		chain := middleware.NewChain("billing", o,
			policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Jitter: -1}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: time.Minute}))
		for range 4 {
			time.Sleep(time.Second)
			_ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} })
		}
		want := `billing/retry retry_scheduled backoff 1x
billing/breaker transition consecutive_failuresopen 1x
billing/retry retry_stopped exhausted 1x
billing/breaker rejected circuit_open 3x
`
		got := o.History()
		if brief(got) != want {
			t.Errorf("got\n%swant\n%s", brief(got), want)
		}
		first, opened, folded := got[0], got[1], got[3]
		if first.Attempt != 1 || first.Wait != time.Second || first.ErrorType != "503" {
			t.Errorf("the retry is %+v", first)
		}
		if opened.From != "closed" || opened.Wait != time.Minute || opened.ErrorType != "503" || !opened.Last.Equal(opened.Time) {
			t.Errorf("the transition is %+v", opened)
		}
		if folded.Last.Sub(folded.Time) != 2*time.Second || folded.Wait != 57*time.Second {
			t.Errorf("the folded record is %+v", folded)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	for _, row := range []struct{ size, events, want int }{
		{3, 2, 2}, {3, 3, 3}, {3, 4, 3}, {3, 11, 3}, {1, 5, 1},
		{0, 300, observability.DefaultHistory}, {-1, 5, 0},
	} {
		o := observability.New(observability.WithHistory(row.size))
		chain := middleware.NewChain("x", o)
		for i := range row.events {
			chain.Emit(t.Context(), middleware.Event{Kind: middleware.RetryScheduled, Attempt: i + 1})
		}
		got := o.History()
		if len(got) != row.want {
			t.Errorf("size %d: %d records of %d events, want %d", row.size, len(got), row.events, row.want)
			continue
		}
		for i, r := range got {
			if want := row.events - len(got) + i + 1; r.Attempt != want {
				t.Errorf("size %d: record %d is of attempt %d, want %d: the newest ones, oldest first", row.size, i, r.Attempt, want)
			}
		}
	}
}

// An outage of one dependency must not push the transitions of others out.
func TestHistoryFoldsRepeatsOfAChain(t *testing.T) {
	o := observability.New(observability.WithHistory(4))
	a, b := middleware.NewChain("a", o), middleware.NewChain("b", o)
	open := middleware.Event{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open"}
	half := middleware.Event{Kind: middleware.Transition, Policy: "breaker", To: "half_open"}
	for range 100 {
		a.Emit(t.Context(), open)
		b.Emit(t.Context(), open)
	}
	a.Emit(t.Context(), half)
	a.Emit(t.Context(), open)
	want := `a/breaker rejected circuit_open 100x
b/breaker rejected circuit_open 100x
a/breaker transition half_open 1x
a/breaker rejected circuit_open 1x
`
	if got := brief(o.History()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Each refusal also ends the retries of its call: the two alternate.
func TestHistoryFoldsRepeatsThatAlternate(t *testing.T) {
	o := observability.New(observability.WithHistory(8))
	chain := middleware.NewChain("a", o)
	call := func() {
		chain.Emit(t.Context(), middleware.Event{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open"})
		chain.Emit(t.Context(), middleware.Event{Kind: middleware.RetryStopped, Policy: "retry", Reason: "not_retryable", Attempt: 1})
	}
	for range 100 {
		call()
	}
	chain.Emit(t.Context(), middleware.Event{Kind: middleware.Transition, Policy: "breaker", To: "half_open"})
	call()
	want := `a/breaker rejected circuit_open 100x
a/retry retry_stopped not_retryable 100x
a/breaker transition half_open 1x
a/breaker rejected circuit_open 1x
a/retry retry_stopped not_retryable 1x
`
	if got := brief(o.History()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// So must an outage of one key not push the others out, nor count as theirs.
func TestHistoryFoldsRepeatsOfAKey(t *testing.T) {
	o := observability.New(observability.WithHistory(4))
	chain := middleware.NewChain("a", o)
	for range 50 {
		for _, key := range []string{"x", "y", ""} {
			chain.Emit(t.Context(), middleware.Event{Kind: middleware.Rejected, Policy: "breaker", Key: key, Reason: "circuit_open"})
		}
	}
	chain.Emit(t.Context(), middleware.Event{Kind: middleware.HealthCheckFailed, Policy: "breaker", Key: "x", Err: codedError{503}})
	got := o.History()
	want := `a/breaker rejected circuit_open 50x
a/breaker rejected circuit_open 50x
a/breaker rejected circuit_open 50x
a/breaker health_check_failed  1x
`
	if brief(got) != want {
		t.Fatalf("got\n%swant\n%s", brief(got), want)
	}
	for i, key := range []string{"x", "y", "", "x"} {
		if got[i].Key != key {
			t.Errorf("record %d is of key %q, want %q", i, got[i].Key, key)
		}
	}
	if got[3].ErrorType != "503" {
		t.Errorf("the failed check is %+v", got[3])
	}
}

// A limit that changes step by step in one direction is one record: from where to where. In
// another direction it is another one.
func TestHistoryFoldsChangesOfALimit(t *testing.T) {
	o := observability.New()
	chain := middleware.NewChain("a", o)
	change := func(policy, from, to, reason string) {
		chain.Emit(t.Context(), middleware.Event{Kind: middleware.LimitChanged, Policy: policy, From: from, To: to, Reason: reason})
		chain.Emit(t.Context(), middleware.Event{Kind: middleware.Injected, Policy: "chaos", Reason: "error"})
	}
	change("limit", "10", "11", "growth")
	change("limit", "11", "12", "growth")
	change("other", "1", "2", "growth")
	change("limit", "12", "6", "drop")
	change("other", "2", "3", "growth")
	change("limit", "6", "7", "growth")
	change("limit", "7", "8", "growth")
	var got []string
	for _, r := range o.History() {
		if r.Kind == middleware.LimitChanged {
			got = append(got, fmt.Sprintf("%s %s %s-%s %dx", r.Policy, r.Reason, r.From, r.To, r.Count))
		} else if r.Count != 7 {
			t.Errorf("%d disturbances are in one record, want all 7", r.Count)
		}
	}
	want := []string{"limit growth 10-12 2x", "other growth 1-3 2x", "limit drop 12-6 1x", "limit growth 6-8 2x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHistoryIsACopy(t *testing.T) {
	o := observability.New()
	middleware.NewChain("x", o).Emit(t.Context(), middleware.Event{Policy: "p"})
	o.History()[0].Policy = "changed"
	if got := o.History()[0].Policy; got != "p" {
		t.Errorf("got %q", got)
	}
}

// A record leads to the trace of its call, if that can be seen anywhere.
func TestHistoryNamesTheTrace(t *testing.T) {
	for name, sampler := range map[string]sdktrace.Sampler{"sampled": sdktrace.AlwaysSample(), "not": sdktrace.NeverSample()} {
		r := newRecorder(sdktrace.WithSampler(sampler))
		o := r.observer()
		_ = middleware.NewChain("x", o, emit(middleware.Event{Kind: middleware.Waited, Policy: "p"})).Do(t.Context(), succeed)
		got := o.History()[0].TraceID
		if name == "not" {
			if got.IsValid() {
				t.Errorf("a trace that is not sampled is named: %s", got)
			}
			continue
		}
		if want := r.span(t, "x").SpanContext.TraceID(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNoHistory(t *testing.T) {
	var none *observability.Observer
	if none.History() != nil || new(observability.Observer).History() != nil {
		t.Error("a nil or zero Observer has a history")
	}
}

// The reason of a verdict says more than the Go type of an error.
func TestHistoryNamesAJudgedErrorByItsReason(t *testing.T) {
	o := observability.New()
	chain := middleware.NewChain("archive", o, policies.NewRetry(policies.RetryConfig{Attempts: 1}))
	_ = chain.Do(t.Context(), func(context.Context) error {
		return middleware.Judged(errors.New("SlowDown"), middleware.Verdict{Class: middleware.Throttled, Reason: "slow_down"})
	})
	if got := o.History(); len(got) != 1 || got[0].ErrorType != "slow_down" {
		t.Errorf("got %+v, want the reason of the verdict", got)
	}
}
