package observability

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

const (
	streamEvery = 500 * time.Millisecond // between two updates
	figuresFor  = time.Second            // how long the figures of a tile stand, when its state does not change
	streamBeat  = 5 * time.Second        // the longest silence
	streamWait  = 10 * time.Second       // for a reader that takes nothing
)

// stream sends all that the page shows, and then what changes, as server-sent events.
func (p *page) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy in between must not gather events
	if r.Method == http.MethodHead {
		return
	}
	to := http.NewResponseController(w)
	send := func(event string, data []byte) error {
		// Where there are no deadlines, as behind some middleware, the server's own hold.
		_ = to.SetWriteDeadline(time.Now().Add(streamWait))
		var b bytes.Buffer
		b.WriteString("event: " + event + "\ndata: ")
		b.Write(data) // has no line breaks
		b.WriteString("\n\n")
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
		return to.Flush()
	}
	if err := to.Flush(); err != nil {
		http.Error(w, "this server cannot send events as they come", http.StatusNotImplemented)
		return
	}
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	v := viewer{tiles: make(map[string]seenTile), events: make(map[string]int)}
	for quiet := time.Now(); ; {
		s := p.snapshot()
		event, data := "update", v.changes(s)
		if data == nil && s.at.Sub(quiet) >= streamBeat {
			event, data = "beat", encode(update{Now: s.at})
		}
		if data != nil {
			quiet = s.at
			if send(event, data) != nil {
				return // the reader has gone
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// An update is what has changed since the last one. What has not is absent.
type update struct {
	Now      time.Time         `json:"now"`
	Hello    *hello            `json:"hello,omitempty"`
	Services []json.RawMessage `json:"services,omitempty"`
	Removed  []string          `json:"removed,omitempty"`
	Alerts   json.RawMessage   `json:"alerts,omitempty"` // all of them
	Events   []json.RawMessage `json:"events,omitempty"` // the oldest first
	Traces   json.RawMessage   `json:"traces,omitempty"` // all of them, the newest first
}

// A viewer is what one reader has been sent.
type viewer struct {
	hello  *hello
	tiles  map[string]seenTile
	alerts []byte
	events map[string]int // how many events the record stood for
	traces []byte
}

type seenTile struct {
	state string
	text  []byte
	at    time.Time
}

// changes returns what is new in s, and nil if nothing is.
func (v *viewer) changes(s *snapshot) []byte {
	u, changed := update{Now: s.at}, false
	if v.hello == nil || *v.hello != s.hello {
		v.hello, u.Hello, changed = &s.hello, &s.hello, true
	}
	for _, t := range s.tiles {
		seen, ok := v.tiles[t.name]
		if ok && (bytes.Equal(seen.text, t.text) || seen.state == t.state && s.at.Sub(seen.at) < figuresFor) {
			continue
		}
		v.tiles[t.name] = seenTile{state: t.state, text: t.text, at: s.at}
		u.Services, changed = append(u.Services, t.text), true
	}
	if len(v.tiles) > len(s.tiles) {
		u.Removed, changed = v.forget(s), true
	}
	if !bytes.Equal(v.alerts, s.alerts) {
		v.alerts, u.Alerts, changed = s.alerts, s.alerts, true
	}
	events := make(map[string]int, len(s.events))
	for _, e := range s.events {
		events[e.id] = e.count
		if v.events[e.id] != e.count {
			u.Events, changed = append(u.Events, e.text), true
		}
	}
	v.events = events
	if !bytes.Equal(v.traces, s.traces) {
		v.traces, u.Traces, changed = s.traces, s.traces, true
	}
	if !changed {
		return nil
	}
	return encode(u)
}

// forget drops the services that are no more, and returns their names.
func (v *viewer) forget(s *snapshot) (gone []string) {
	there := make(map[string]bool, len(s.tiles))
	for _, t := range s.tiles {
		there[t.name] = true
	}
	for name := range v.tiles {
		if !there[name] {
			delete(v.tiles, name)
			gone = append(gone, name)
		}
	}
	return gone
}
