// Package ledger is the backup service of the demonstration: an HTTP service that
// keeps a record of each backup.
package ledger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// A Record describes one backup.
type Record struct {
	ID     string `json:"id,omitempty"` // given by the service
	Bucket string `json:"bucket"`
	Object string `json:"object"`
	Commit string `json:"commit"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Files  []File `json:"files,omitempty"`
}

// A File is one file in a backup.
type File struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

const maxRecord = 16 << 20

// A Ledger serves
//
//	POST /backups       adds a record; the header Idempotency-Key is required
//	GET  /backups/{id}  returns one
//	GET  /healthz       says that it is well
//
// A POST with a key that was used before adds nothing and gives the same answer.
type Ledger struct {
	mu      sync.Mutex
	records []Record
	byKey   map[string]int
	posts   int
}

// New returns a Ledger without records.
func New() *Ledger { return &Ledger{byKey: map[string]int{}} }

// Counts returns how many records there are, and how many POST requests made them.
func (l *Ledger) Counts() (records, posts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.records), l.posts
}

// Handler returns the service.
func (l *Ledger) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backups", l.post)
	mux.HandleFunc("GET /backups/{id}", l.find)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

func (l *Ledger) post(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "the header Idempotency-Key is missing", http.StatusBadRequest)
		return
	}
	var record Record
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRecord)).Decode(&record); err != nil {
		http.Error(w, "the body is not a record in JSON", http.StatusBadRequest)
		return
	}
	record, added := l.add(key, record)
	status := http.StatusOK
	if added {
		status = http.StatusCreated
	}
	w.Header().Set("Location", "/backups/"+record.ID)
	answer(w, status, record)
}

func (l *Ledger) add(key string, record Record) (_ Record, added bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts++
	if n, found := l.byKey[key]; found {
		return l.records[n], false
	}
	record.ID = fmt.Sprintf("b%d", len(l.records)+1)
	l.byKey[key] = len(l.records)
	l.records = append(l.records, record)
	return record, true
}

func (l *Ledger) find(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range l.records {
		if record.ID == r.PathValue("id") {
			answer(w, http.StatusOK, record)
			return
		}
	}
	http.Error(w, "no such backup", http.StatusNotFound)
}

func answer(w http.ResponseWriter, status int, record Record) {
	body, err := json.Marshal(record)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
