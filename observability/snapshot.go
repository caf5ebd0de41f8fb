package observability

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// A snapshot is all that the page shows, ready to be sent. Those who look at the same
// time share one.
type snapshot struct {
	at     time.Time
	hello  hello
	tiles  []sentTile
	alerts []byte
	events []sentEvent // the oldest first
	traces []byte
}

// hello tells the page what it can show and do.
type hello struct {
	Control   bool   `json:"control"`
	Observer  bool   `json:"observer"`
	Live      bool   `json:"live"`
	History   bool   `json:"history"`
	Monitor   bool   `json:"monitor"`
	TraceLink string `json:"trace_link"`
}

type sentTile struct {
	name  string
	state string // what must be seen at once
	text  []byte
}

type sentEvent struct {
	id    string
	count int
	text  []byte
}

const (
	pageEvents  = 200                    // newest records of the history that the page shows
	snapshotAge = 200 * time.Millisecond // that a snapshot may have when it is sent
)

// snapshot returns one that is new enough.
func (p *page) snapshot() *snapshot {
	now := time.Now()
	newest := p.newest.Load()
	if newest != nil && now.Sub(newest.at) < snapshotAge {
		return newest
	}
	s := p.take(now)
	// Without a lock, since it asks the policies: somebody else may have taken one meanwhile.
	p.newest.CompareAndSwap(newest, s)
	return s
}

// take looks at all services.
func (p *page) take(now time.Time) *snapshot {
	chains := p.chains()
	s := &snapshot{at: now, hello: hello{Control: p.auth != nil, Monitor: p.monitor != nil, TraceLink: p.traceLink}}
	observers := observersOf(chains)
	for _, o := range observers {
		s.hello.History = s.hello.History || o.history != nil
		s.hello.Live = s.hello.Live || o.live != nil
	}
	for _, c := range chains {
		t := tileOf(c)
		state := encode(t)
		if o := observerOf(c); o != nil && o.live != nil {
			t.measures = measuresOf(o.live, c.Name(), now)
		}
		s.tiles = append(s.tiles, sentTile{name: t.Name, state: string(state), text: encode(t)})
	}
	s.hello.Observer = len(observers) > 0
	s.alerts = encode(p.alerts(now))
	s.events = eventsOf(observers)
	s.traces = encode(linesOf(observers))
	return s
}

// encode writes what has only values that JSON has words for.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// eventsOf returns the newest records of the observers, the oldest first.
func eventsOf(observers []*Observer) []sentEvent {
	type numbered struct {
		id     string
		record Record
	}
	var all []numbered
	for i, o := range observers {
		if o.history == nil {
			continue
		}
		records, first := o.history.numbered()
		for j, r := range records {
			all = append(all, numbered{strconv.Itoa(i) + "-" + strconv.FormatUint(first+uint64(j), 10), r})
		}
	}
	if len(observers) > 1 {
		slices.SortStableFunc(all, func(a, b numbered) int { return a.record.Last.Compare(b.record.Last) })
	}
	all = all[max(0, len(all)-pageEvents):]
	sent := make([]sentEvent, len(all))
	for i, e := range all {
		// The id goes before what the record says of itself.
		text := append([]byte(`{"id":`+strconv.Quote(e.id)+`,`), encode(e.record)[1:]...)
		sent[i] = sentEvent{id: e.id, count: e.record.Count, text: text}
	}
	return sent
}

// alerts returns the alerts of the monitor. Without one the page looks by itself, as often
// as a monitor would.
func (p *page) alerts(now time.Time) []Alert {
	if p.monitor != nil {
		return append([]Alert{}, p.monitor.Alerts()...)
	}
	if a := p.found.Load(); a != nil && now.Sub(a.at) < alertsEvery {
		return a.alerts
	}
	a := &foundAlerts{now, append([]Alert{}, p.evaluator.evaluate(now)...)}
	p.found.Store(a)
	return a.alerts
}

// foundAlerts are what a page has found by itself.
type foundAlerts struct {
	at     time.Time
	alerts []Alert
}

const alertsEvery = 5 * time.Second
