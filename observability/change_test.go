package observability_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The policies of a chain may be others at the next call: a span tells no state of a breaker
// that is gone.
func TestPoliciesThatChangeBetweenCalls(t *testing.T) {
	r := newRecorder()
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	var slot middleware.Slot
	slot.Set(policies.NewRetry(policies.RetryConfig{}), breaker)
	chain := middleware.NewChain("x", r.observer(), &slot)
	for i, row := range []struct {
		policies []middleware.Policy
		state    bool
	}{
		{nil, true}, {[]middleware.Policy{}, false}, {[]middleware.Policy{emit(), emit()}, false},
		{[]middleware.Policy{emit(), breaker}, true},
	} {
		if row.policies != nil {
			slot.Set(row.policies...)
		}
		r.spans.Reset()
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Fatal(err)
		}
		if got := text(r.span(t, "x").Attributes); strings.Contains(got, "breaker.state=closed") != row.state {
			t.Errorf("step %d: %s", i, got)
		}
	}
}

// A bounded is a time limit that may be changed.
type bounded struct{ limit time.Duration }

func (*bounded) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }
func (*bounded) Name() string                                            { return "timeout" }
func (b *bounded) Limit() time.Duration                                  { return b.limit }

// A limit that was changed still is that of an attempt, or of the operation.
func TestTheScopeOfALimitThatHasChanged(t *testing.T) {
	r := newRecorder()
	outer, inner := &bounded{time.Minute}, &bounded{time.Second}
	var events eventful
	chain := middleware.NewChain("x", r.observer(), outer, policies.NewRetry(policies.RetryConfig{}), inner, &events)
	for i, row := range []struct {
		outer, inner, exceeded time.Duration
		want                   string
	}{
		{time.Minute, time.Second, time.Second, "timeout.scope=attempt"},
		{time.Hour, 2 * time.Second, 2 * time.Second, "timeout.scope=attempt"},
		{time.Hour, 2 * time.Second, time.Hour, "timeout.scope=operation"},
		{time.Hour, 2 * time.Second, time.Minute, ""},
		{time.Second, time.Second, time.Second, ""},
	} {
		outer.limit, inner.limit = row.outer, row.inner
		events.event = middleware.Event{Kind: middleware.TimedOut, Policy: "timeout", Wait: row.exceeded}
		r.spans.Reset()
		_ = chain.Do(t.Context(), succeed)
		if got := text(r.span(t, "x").Events[0].Attributes); !strings.Contains(got, row.want) || strings.Contains(got, "scope") != (row.want != "") {
			t.Errorf("step %d: %s, want %q", i, got, row.want)
		}
	}
}

// An eventful emits one event of each call.
type eventful struct{ event middleware.Event }

func (s *eventful) Execute(ctx context.Context, next middleware.Next) error {
	next.Emit(ctx, s.event)
	return next.Do(ctx)
}
