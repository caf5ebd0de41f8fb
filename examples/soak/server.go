package main

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"
)

// A server answers with bodies of up to 64 KiB and their checksum. It fails in turns: well for
// most of a minute, then overloaded, then down, then slow.
type server struct {
	*httptest.Server
	begun    time.Time
	requests atomic.Int64
	running  atomic.Int64
}

func newServer() *server {
	s := &server{begun: time.Now()}
	s.Server = httptest.NewServer(s)
	return s
}

var content = make([]byte, 64<<10)

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.running.Add(1)
	defer s.running.Add(-1)
	switch second := int(time.Since(s.begun).Seconds()) % 60; {
	case second >= 55 && rand.IntN(4) == 0:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case second >= 50 && second < 55 && rand.IntN(10) != 0:
		if rand.IntN(3) == 0 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case second >= 45 && second < 50:
		select {
		case <-time.After(time.Duration(rand.IntN(50)) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	body := content[:rand.IntN(len(content))]
	sum := sha256.Sum256(body)
	w.Header().Set("Checksum", hex.EncodeToString(sum[:]))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
