package kubernetes_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A fault is an answer in place of the API server's.
type fault struct {
	name   string
	strike func(s *server, w http.ResponseWriter, r *http.Request)
}

// fairness is the 429 of API Priority and Fairness, which is no Status.
func fairness(retryAfter string) *fault {
	return &fault{"429", func(_ *server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Kubernetes-Pf-Flowschema-Uid", "flow")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
	}}
}

// unavailable is a 503 with a Status. retryAfter is its header, "" for none.
func unavailable(retryAfter string) *fault {
	return &fault{"503", func(_ *server, w http.ResponseWriter, _ *http.Request) {
		err := apierrors.NewServiceUnavailable("the server is currently unable to handle the request")
		if n, e := strconv.Atoi(retryAfter); e == nil && n > 0 {
			err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(n)}
		} else if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		writeStatus(w, err)
	}}
}

// failing answers with the Status of err.
func failing(err error) *fault {
	return &fault{"status", func(_ *server, w http.ResponseWriter, _ *http.Request) { writeStatus(w, err) }}
}

var (
	// reset ends the connection with ECONNRESET.
	reset = &fault{"reset", func(_ *server, w http.ResponseWriter, _ *http.Request) {
		hangUp(w, func(c *pipeEnd) { c.reset.Store(true) })
	}}
	// eof ends the connection without an answer.
	eof = &fault{"eof", func(_ *server, w http.ResponseWriter, _ *http.Request) { hangUp(w, func(*pipeEnd) {}) }}
	// hang never answers. Only who has read the body hears that the client has left.
	hang = &fault{"hang", func(_ *server, _ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}}
)

// severed answers as the server does, up to so many bytes of the body.
func severed(after int) *fault {
	return &fault{"cut", func(s *server, w http.ResponseWriter, r *http.Request) {
		s.handler.ServeHTTP(&severedWriter{w, after}, r)
		panic(http.ErrAbortHandler)
	}}
}

type severedWriter struct {
	http.ResponseWriter
	left int
}

func (w *severedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *severedWriter) Write(p []byte) (int, error) {
	if len(p) <= w.left {
		w.left -= len(p)
		return w.ResponseWriter.Write(p)
	}
	w.ResponseWriter.Write(p[:w.left])
	http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func hangUp(w http.ResponseWriter, how func(*pipeEnd)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		panic(fmt.Sprintf("hijack: %v", err))
	}
	if c, ok := conn.(*pipeEnd); ok {
		how(c)
	}
	conn.Close()
}

// lost carries the request out, and ends the connection before the answer.
var lost = &fault{"lost", func(s *server, w http.ResponseWriter, r *http.Request) {
	s.handler.ServeHTTP(httptest.NewRecorder(), r)
	hangUp(w, func(c *pipeEnd) { c.reset.Store(true) })
}}

// first makes only the first n requests meet f.
func (s *server) first(n int, f *fault) {
	s.plan(func(at int, _ *http.Request) *fault {
		if at <= n {
			return f
		}
		return nil
	})
}
