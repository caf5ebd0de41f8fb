package observability

import (
	"context"
	"maps"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tidegate-go/tidegate/middleware"
)

// states are those of a breaker that always have a series; another one has it once a
// breaker has been in it.
var states = []string{"closed", "open", "half_open"}

// observeStates makes the instruments that are read off the policies of the chains when
// somebody collects: what they hold just now, and the states of breakers.
func observeStates(m metric.Meter, c *chains) {
	active := handled(m.Int64ObservableUpDownCounter(metricActive, metric.WithUnit("{call}"),
		metric.WithDescription("Calls that hold a place in a policy, or wait for one.")))
	status := handled(m.Int64ObservableUpDownCounter(metricStatus, metric.WithUnit("1"),
		metric.WithDescription("How many circuit breakers are in the state: 1 or 0, and more where there is one for each key.")))
	spent := handled(m.Float64ObservableCounter(metricStateTime, metric.WithUnit("s"),
		metric.WithDescription("Time that circuit breakers were in the state.")))
	s := new(stateTimes)
	_ = handled(m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t, seconds := s.tally(c)
		for call, n := range t.calls {
			o.ObserveInt64(active, n, metric.WithAttributes(call.attributes()...))
		}
		for state, n := range t.breakers {
			o.ObserveInt64(status, n, metric.WithAttributes(state.attributes()...))
		}
		for state, seconds := range seconds {
			o.ObserveFloat64(spent, seconds, metric.WithAttributes(state.attributes()...))
		}
		return nil
	}, active, status, spent))
}

// A tally is what the policies of all chains come to, by name.
type tally struct {
	calls    map[calls]int64
	breakers map[state]int64
	times    map[breaker][]middleware.StateTime
}

type calls struct{ chain, kind, policy, state string }

func (c calls) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{keyChain.String(c.chain), keyPolicyType.String(c.kind), keyPolicy.String(c.policy), keyCallState.String(c.state)}
}

type state struct{ chain, policy, state string }

func (s state) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{keyChain.String(s.chain), keyPolicy.String(s.policy), keyState.String(s.state)}
}

func newTally(c *chains) tally {
	t := tally{make(map[calls]int64), make(map[state]int64), make(map[breaker][]middleware.StateTime)}
	c.reports(func(chain string, policy uintptr, r middleware.Report) bool {
		places := r.Type == "bulkhead" || r.Type == "adaptive_limit"
		if places || r.Running > 0 {
			t.calls[calls{chain, r.Type, r.Name, "running"}] += int64(r.Running)
		}
		if places || r.Type == "rate_limit" || r.Waiting > 0 {
			t.calls[calls{chain, r.Type, r.Name, "waiting"}] += int64(r.Waiting)
		}
		if r.Breaker != nil {
			t.add(chain, policy, r)
		}
		return true
	})
	return t
}

func (t *tally) add(chain string, policy uintptr, r middleware.Report) {
	for _, s := range states {
		t.breakers[state{chain, r.Name, s}] += 0
	}
	t.breakers[state{chain, r.Name, r.Breaker.State}]++
	for _, s := range r.Breaker.Times {
		t.breakers[state{chain, r.Name, s.State}] += 0
	}
	t.times[breaker{chain, r.Name, r.Key, policy}] = r.Breaker.Times
}

// A breaker is one of a chain. The address of the policy that told of it holds nobody back.
type breaker struct {
	chain, policy, key string
	address            uintptr
}

// stateTimes remember the time of breakers that are gone, as that of a key is when it has been
// idle, for a counter never falls. What a breaker did after somebody collected last is lost
// with it.
type stateTimes struct {
	mu   sync.Mutex
	last map[breaker][]middleware.StateTime
	gone map[state]time.Duration
	most map[state]time.Duration // ever told
}

// tally returns what the policies come to now, and the time in seconds that breakers, also
// those that are gone, were in each state.
func (s *stateTimes) tally(c *chains) (tally, map[state]float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := newTally(c)
	if s.gone == nil {
		s.gone, s.most = make(map[state]time.Duration), make(map[state]time.Duration)
	}
	for b, times := range s.last {
		if age(t.times[b]) < age(times) { // another one took its place, or none
			b.add(times, s.gone)
		}
	}
	s.last = t.times
	all := maps.Clone(s.gone)
	for b, times := range t.times {
		b.add(times, all)
	}
	seconds := make(map[state]float64, len(all))
	for in, d := range all {
		s.most[in] = max(s.most[in], d) // a snapshot that is taken just when the state changes may be ahead of the next
		seconds[in] = s.most[in].Seconds()
	}
	return t, seconds
}

func (b breaker) add(times []middleware.StateTime, to map[state]time.Duration) {
	for _, s := range times {
		to[state{b.chain, b.policy, s.State}] += s.Time
	}
}

func age(times []middleware.StateTime) (d time.Duration) {
	for _, s := range times {
		d += s.Time
	}
	return d
}
