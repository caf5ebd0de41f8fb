package observability

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
)

// A traceLine is a trace in the list of the page. Took is in seconds.
type traceLine struct {
	Key   string    `json:"key"` // by which the page asks for all of it
	ID    string    `json:"trace_id,omitempty"`
	Title string    `json:"title"`
	Chain string    `json:"chain"`
	Start time.Time `json:"start"`
	Took  float64   `json:"took"`
	Red   bool      `json:"red"`
	Spans int       `json:"spans"`
}

// A traceView is a trace as the page draws it. Offsets and lengths are in seconds.
type traceView struct {
	traceLine
	All []spanView `json:"all"`
}

type spanView struct {
	Name       string      `json:"name"`
	Kind       string      `json:"kind"`
	Parent     int         `json:"parent"` // its place in the list, or -1
	Start      float64     `json:"start"`
	Took       float64     `json:"took"`
	Lasts      bool        `json:"lasts,omitempty"` // it has not ended
	Red        bool        `json:"red"`
	Attributes [][2]string `json:"attributes,omitempty"`
	Events     []markView  `json:"events,omitempty"`
}

type markView struct {
	Name       string      `json:"name"`
	At         float64     `json:"at"`
	Attributes [][2]string `json:"attributes,omitempty"`
}

// kept yields the newest traces of the observers with their keys, the newest first.
func kept(observers []*Observer, yield func(key string, t *keptTrace) bool) {
	for i, o := range observers {
		if o.live == nil {
			continue
		}
		for _, t := range slices.Backward(o.live.traces.newer(0)) {
			if !yield(strconv.Itoa(i)+"-"+strconv.FormatUint(t.number, 10), t) {
				return
			}
		}
	}
}

// linesOf returns what there is to choose from, the newest first.
func linesOf(observers []*Observer) []traceLine {
	lines := []traceLine{}
	kept(observers, func(key string, t *keptTrace) bool {
		lines = append(lines, t.line(key))
		return true
	})
	if len(observers) > 1 {
		slices.SortStableFunc(lines, func(a, b traceLine) int { return b.Start.Compare(a.Start) })
	}
	return lines
}

// line describes a trace that has ended.
func (t *keptTrace) line(key string) traceLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.spans[0]
	return traceLine{
		Key: key, ID: t.id, Title: first.name, Chain: t.chain,
		Start: first.began, Took: first.ended.Sub(first.began).Seconds(), Red: first.red, Spans: len(t.spans),
	}
}

// trace answers with one of the newest traces.
func (p *page) trace(w http.ResponseWriter, r *http.Request) {
	wanted := r.URL.Query().Get("id")
	var found *traceView
	kept(observersOf(p.chains()), func(key string, t *keptTrace) bool {
		if key == wanted {
			v := viewTrace(t.line(key), t.snapshot(), time.Now())
			found = &v
		}
		return found == nil
	})
	if found == nil {
		writeJSON(w, http.StatusNotFound, refusal{"this call is no longer kept: newer ones have taken its place"})
		return
	}
	writeJSON(w, http.StatusOK, found)
}

// viewTrace lays out spans that come in the order in which they began. Those that last
// are as long as they have been until now.
func viewTrace(line traceLine, spans []keptSpan, now time.Time) traceView {
	v := traceView{traceLine: line, All: make([]spanView, len(spans))}
	since := func(at time.Time) float64 { return at.Sub(line.Start).Seconds() }
	for i, s := range spans {
		end, lasts := s.ended, s.ended.IsZero()
		if lasts {
			end = now
		}
		v.All[i] = spanView{
			Name: s.name, Kind: s.kind.String(), Parent: s.parent, Start: since(s.began), Took: end.Sub(s.began).Seconds(),
			Lasts: lasts, Red: s.red, Attributes: texts(s.attributes),
		}
		for _, e := range s.events {
			v.All[i].Events = append(v.All[i].Events, markView{e.name, since(e.at), texts(e.attributes)})
		}
	}
	return v
}

func texts(attributes []attribute.KeyValue) [][2]string {
	all := make([][2]string, len(attributes))
	for i, a := range attributes {
		all[i] = [2]string{string(a.Key), a.Value.String()}
	}
	return all
}
