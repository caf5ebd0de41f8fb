package main

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// A server is an S3 server in memory that can be made to answer something else.
type server struct {
	*httptest.Server

	answer atomic.Pointer[answer]
	puts   atomic.Int32 // requests
}

type answer func(w http.ResponseWriter, r *http.Request, s3 http.Handler)

func up(w http.ResponseWriter, r *http.Request, s3 http.Handler) { s3.ServeHTTP(w, r) }

func down(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

func newServer(bucket string) (*server, error) {
	objects := s3mem.New()
	if err := objects.CreateBucket(bucket); err != nil {
		return nil, err
	}
	s3 := gofakes3.New(objects, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := new(server)
	s.become(up)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			s.puts.Add(1)
		}
		(*s.answer.Load())(w, r, s3)
	}))
	return s, nil
}

func (s *server) become(a answer) { s.answer.Store(&a) }
