package observability

import (
	"cmp"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A tile is what the page shows of a service at a glance. Durations are in seconds.
type tile struct {
	Name   string `json:"name"`
	Status Status `json:"status"` // as in the health report

	// Of the breaker that lets the fewest calls through; no state without a breaker.
	State    string    `json:"state,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	OpenedBy string    `json:"opened_by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Share    float64   `json:"share"`
	Breakers int       `json:"breakers"`
	Troubled int       `json:"troubled"` // of them not closed

	Running int `json:"running"`
	Waiting int `json:"waiting"`

	Shedding float64 `json:"shedding,omitempty"` // the largest share of the calls that a throttle refuses
	Chaos    bool    `json:"chaos,omitempty"`    // calls are disturbed on purpose

	*measures // nil without WithLive
}

// measures are what the observer has counted of the calls of a chain in the last minute.
type measures struct {
	Calls         int64      `json:"calls"`                  // since the chain was first heard of
	SuccessRate   *float64   `json:"success_rate,omitempty"` // without the cancelled ones; nil without any
	Rate          float64    `json:"rate"`                   // calls in a second
	Amplification float64    `json:"amplification"`          // attempts for each call
	P50           float64    `json:"p50"`
	P95           float64    `json:"p95"`
	P99           float64    `json:"p99"`
	InFlight      int64      `json:"in_flight"`
	WouldRefuse   int64      `json:"would_refuse,omitempty"` // decisions of policies that only observe
	Spark         [][4]int64 `json:"spark"`                  // succeeded, failed, rejected, retried; the oldest first
}

const (
	measuredOver = time.Minute
	sparkBars    = 60 // of ten seconds each
)

// measuresOf returns what l knows of a chain.
func measuresOf(l *live, chain string, now time.Time) *measures {
	f := l.figures(chain, measuredOver)
	m := &measures{
		Calls: f.total.calls(), InFlight: f.inFlight, Spark: l.spark(chain, sparkBars),
		P50: f.took.quantile(0.5).Seconds(), P95: f.took.quantile(0.95).Seconds(), P99: f.took.quantile(0.99).Seconds(),
	}
	m.WouldRefuse = f.spared
	calls := f.calls()
	if calls == 0 {
		return m
	}
	m.Rate = float64(calls) / max(1, min(f.span, now.Sub(f.began)).Seconds())
	m.Amplification = float64(f.attempts) / float64(calls)
	if judged := calls - f.cancellations; judged > 0 {
		share := float64(f.successes) / float64(judged)
		m.SuccessRate = &share
	}
	return m
}

// tileOf looks at the policies of a chain. It measures no calls.
func tileOf(c *middleware.Chain) tile {
	t := tile{Name: c.Name(), Status: Pass, Share: 1}
	var worst *middleware.Circuit
	for r := range c.Reports {
		t.Running += r.Running
		t.Waiting += r.Waiting
		t.Shedding, t.Chaos = max(t.Shedding, shedBy(r)), t.Chaos || armed(r)
		if _, status := noteOf(r); status != Pass {
			t.Status = Warn
		}
		if r.Breaker == nil {
			continue
		}
		t.Breakers++
		if _, open := openSince(r.Breaker); open || r.Breaker.Share < 1 {
			t.Troubled++
			t.Status = Warn
		}
		if worst == nil || worseCircuit(r.Breaker, worst) {
			worst = r.Breaker
		}
	}
	if worst == nil {
		return t
	}
	t.State, t.Since, t.Until = worst.State, worst.Since, worst.Until
	t.OpenedBy, t.Reason, t.Share = worst.Opener, worst.Reason, worst.Share
	return t
}

const stateClosed = "closed"

// worseCircuit reports whether a lets fewer calls through than b, or as many and is less
// closed, or has changed later.
func worseCircuit(a, b *middleware.Circuit) bool {
	closed := func(c *middleware.Circuit) int {
		if c.State == stateClosed {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.Share, b.Share), cmp.Compare(closed(a), closed(b)), b.Since.Compare(a.Since)) < 0
}
