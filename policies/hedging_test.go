package policies

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// No timer is left when a call has ended.
func TestACallLeavesNoTimer(t *testing.T) {
	for name, op := range map[string]func(context.Context) error{
		"at once":   func(context.Context) error { return nil },
		"a failure": func(context.Context) error { return context.Canceled },
		"hedged":    func(context.Context) error { time.Sleep(1500 * time.Millisecond); return nil },
		"a panic":   func(context.Context) error { panic("now") },
	} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHedge(HedgeConfig{Delay: time.Second, MaxHedges: 2})
			c := &hedging{Hedge: h, ctx: t.Context(), began: time.Now(), delay: h.Delay(), most: 2}
			_ = middleware.NewChain("x", middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
				defer func() { _ = recover() }()
				c.next = next
				return c.do()
			})).Do(t.Context(), op)
			if c.timer.Stop() {
				t.Errorf("%s: the timer still ran", name)
			}
			time.Sleep(time.Minute) // for the other run, which does not watch its context
		})
	}
}
