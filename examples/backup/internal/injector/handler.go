package injector

import (
	"io"
	"net/http"
	"strconv"
)

// Handler returns next with the faults that a server itself would show.
func (i *Injector) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch fault := i.take(busy, corrupt); fault.kind {
		case busy:
			// An answer before the end of the request may be lost with the connection.
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Retry-After", strconv.Itoa(int(fault.after.Seconds())))
			http.Error(w, "the injector says: come back later", http.StatusServiceUnavailable)
		case corrupt:
			next.ServeHTTP(&spoiler{ResponseWriter: w, left: fault.bytes}, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// A spoiler flips a bit of the byte that follows left others.
type spoiler struct {
	http.ResponseWriter
	left int64
}

// Write writes p, or a copy with the bit flipped.
func (s *spoiler) Write(p []byte) (int, error) {
	if s.left >= 0 && s.left < int64(len(p)) {
		p = append([]byte(nil), p...)
		p[s.left] ^= 1
		s.left = -1
	} else {
		s.left -= int64(len(p))
	}
	return s.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (s *spoiler) Unwrap() http.ResponseWriter { return s.ResponseWriter }
