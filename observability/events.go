package observability

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// MarshalJSON encodes the record with words for kinds and seconds for durations. The keys
// are time, last, count, chain, policy, key, kind, reason, from, to, attempt, wait,
// error_type, opened_by and trace_id; what says nothing is left out.
func (r Record) MarshalJSON() ([]byte, error) {
	id := ""
	if r.TraceID.IsValid() {
		id = r.TraceID.String()
	}
	return json.Marshal(struct {
		Time      time.Time `json:"time"`
		Last      time.Time `json:"last"`
		Count     int       `json:"count"`
		Chain     string    `json:"chain"`
		Policy    string    `json:"policy"`
		Key       string    `json:"key,omitzero"`
		Kind      string    `json:"kind"`
		Reason    string    `json:"reason,omitzero"`
		From      string    `json:"from,omitzero"`
		To        string    `json:"to,omitzero"`
		Attempt   int       `json:"attempt,omitzero"`
		Wait      float64   `json:"wait,omitzero"`
		ErrorType string    `json:"error_type,omitzero"`
		Opener    string    `json:"opened_by,omitzero"`
		TraceID   string    `json:"trace_id,omitzero"`
	}{
		r.Time, r.Last, r.Count, r.Chain, r.Policy, r.Key, r.Kind.String(), r.Reason, r.From, r.To,
		r.Attempt, r.Wait.Seconds(), r.ErrorType, r.Opener, id,
	})
}

// recordsOf returns the history of the services of m, or of one of them, newest first.
func recordsOf(m Manager, service string) []Record {
	chains := chainsOf(m)
	all := []Record{}
	for _, o := range observersOf(chains) {
		for _, r := range o.History() {
			if service == "" || r.Chain == service {
				all = append(all, r)
			}
		}
	}
	slices.Reverse(all) // of events at the same time, the last one is the newest
	slices.SortStableFunc(all, func(a, b Record) int { return b.Last.Compare(a.Last) })
	return all
}

// EventsHandler returns a handler that answers with the history of the observers of the
// chains of m as JSON, newest first. The query service=NAME asks for the events of one
// chain, and limit=N for the newest N records.
func EventsHandler(m Manager) http.Handler {
	return readOnly(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		records := recordsOf(m, query.Get("service"))
		if query.Has("limit") {
			n, err := strconv.Atoi(query.Get("limit"))
			if err != nil || n < 0 {
				http.Error(w, "limit must be a number, 0 or more", http.StatusBadRequest)
				return
			}
			records = records[:min(n, len(records))]
		}
		answer(w, http.StatusOK, "application/json", struct {
			Events []Record `json:"events"`
		}{records})
	})
}
