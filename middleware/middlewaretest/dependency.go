package middlewaretest

import (
	"fmt"
	"math"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Dependency is what the calls of a [Scenario] go to. What it does is a verdict for the
// policies: an answer is a Success; an error a Failure, and a request that is refused because
// the queue is full is Throttled, both of which may be repeated.
type Dependency struct {
	// Latency is how long a request is worked on. Nil is no time at all.
	Latency Latency

	// Errors is the share of requests, from 0 to 1, that fail, when they have been
	// worked on.
	Errors float64

	// Servers is how many requests are worked on at the same time; it bounds what the
	// dependency can do to Servers / Latency requests in a second. Others wait in the order in which
	// they came. Zero means any number.
	Servers int

	// Queue is how many requests may wait for a server. More than that are refused at
	// once. Zero means any number, negative none.
	Queue int

	// RetryAfter is how long a refused request is asked to wait. Zero is no hint.
	RetryAfter time.Duration

	// Notices says that the dependency stops to work for a caller who has gone. As most
	// do not, what nobody waits for any longer is worked on otherwise, and that is what
	// keeps an overload going.
	Notices bool

	// Outages are times at which all this is worse. Where two overlap, the first one
	// counts.
	Outages []Outage
}

// An Outage is what goes wrong with a [Dependency] from From until Until, counted from the
// beginning of the scenario. With nothing else set, each request fails at once.
type Outage struct {
	From, Until time.Duration

	// Errors is the share of requests, from 0 to 1, that fail.
	Errors float64

	// Hangs is the share of requests, from 0 to 1, that are lost: they are never answered,
	// not even after the outage.
	Hangs float64

	// Slow multiplies the Latency of requests that are taken on. Zero leaves it.
	Slow float64

	// Servers is how many servers are left. Zero leaves them all.
	Servers int
}

func (o Outage) down() bool { return o.Errors == 0 && o.Hangs == 0 && o.Slow == 0 && o.Servers == 0 }

func (d *Dependency) validate(p *problems) {
	const share = "between 0 and 1"
	p.require(d.Errors >= 0 && d.Errors <= 1, "Dependency.Errors", d.Errors, share)
	p.require(d.Servers >= 0, "Dependency.Servers", d.Servers, "a positive number, or 0 for any")
	p.require(d.Queue == 0 || d.Servers > 0, "Dependency.Queue", d.Queue, "0 without Servers")
	p.require(d.RetryAfter >= 0, "Dependency.RetryAfter", d.RetryAfter, "a positive duration, or 0 for none")
	for i, o := range d.Outages {
		name := fmt.Sprintf("Dependency.Outages[%d]", i)
		p.require(o.From >= 0 && o.Until > o.From, name+".Until", o.Until, fmt.Sprintf("later than From, which is %s and must not be negative", o.From))
		p.require(o.Errors >= 0 && o.Errors <= 1, name+".Errors", o.Errors, share)
		p.require(o.Hangs >= 0 && o.Hangs <= 1, name+".Hangs", o.Hangs, share)
		p.require(o.Slow >= 0 && o.Slow <= math.MaxInt32, name+".Slow", o.Slow, "a factor, or 0 for 1")
		p.require(o.Servers >= 0, name+".Servers", o.Servers, "a positive number, or 0 for all")
	}
}

func (d *Dependency) windows() []window {
	windows := make([]window, len(d.Outages))
	for i, o := range d.Outages {
		windows[i] = window{o.From, o.Until}
	}
	return windows
}

// at returns the dependency as it is at that time, and what is wrong with it.
func (d *Dependency) at(now time.Duration) (Dependency, Outage) {
	is := *d
	for _, o := range d.Outages {
		if !(window{o.From, o.Until}).contains(now) {
			continue
		}
		if o.Errors > 0 {
			is.Errors = o.Errors
		}
		if o.Servers > 0 {
			is.Servers = o.Servers
		}
		return is, o
	}
	return is, Outage{Slow: 1}
}

// A fault is an error of the dependency. Its text is its word in the outcomes.
type fault string

func (f fault) Error() string     { return string(f) }
func (f fault) ErrorType() string { return string(f) }

const (
	failed     fault = "failure"
	overloaded fault = "overloaded"
)

var (
	errFailed = middleware.Judged(failed, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "failure"})
)

func (d *Dependency) refusal() error {
	return middleware.Judged(overloaded, middleware.Verdict{Class: middleware.Throttled, Retry: true, After: d.RetryAfter, Reason: "overloaded"})
}
