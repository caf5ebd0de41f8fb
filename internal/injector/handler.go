package injector

import (
	"bufio"
	"fmt"
	"io"
	"net"
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

// answerSlowDown answers one request, and asks the client for another connection. The
// code is in a header too, as MinIO has it for the answer to HEAD, which has no body.
func answerSlowDown(client net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(client))
	if err != nil {
		return
	}
	// An answer before the end of the request may be lost with the connection.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	body := "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
	const head = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/xml\r\n" +
		"X-Minio-Error-Code: SlowDown\r\nX-Amz-Request-Id: injected\r\nContent-Length: %d\r\n\r\n"
	_, _ = fmt.Fprintf(client, head, len(body))
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(client, body)
	}
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
