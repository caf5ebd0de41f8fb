package kubernetes

import (
	"context"
	"errors"
	"regexp"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tidegate-go/tidegate/middleware"
)

// A settled error, of a request, is one that client-go must neither repeat nor hide. A
// watch that ends with what looks like a time-out or the end of a connection, client-go
// repeats ten times and then calls a success without events. The text of the error stays,
// but for words that client-go goes by.
type settled struct {
	error

	of apiRequest
}

// mistakable are the words by which k8s.io/apimachinery/pkg/util/net knows a broken
// connection. An article in them keeps their sense.
var mistakable = regexp.MustCompile(`(?i)(reset by |use of |http2: |request on )` +
	`(peer|closed network connection|server sent GOAWAY|client connection lost|broken connection)`)

func (e *settled) Error() string { return mistakable.ReplaceAllString(e.error.Error(), "${1}the ${2}") }

// Is leads to the error itself.
func (e *settled) Is(target error) bool { return errors.Is(e.error, target) }

// As leads to the error itself, but not to the number of a reset connection, by which
// client-go decides, and from the refusal of a watch to a 429.
func (e *settled) As(target any) bool {
	switch target := target.(type) {
	case *syscall.Errno:
		var number syscall.Errno
		if errors.As(e.error, &number) && number == syscall.ECONNRESET {
			return false
		}
	case *apierrors.APIStatus:
		if status := e.status(); status != nil {
			*target = status
			return true
		}
	}
	return errors.As(e.error, target)
}

// status returns what the refusal of a watch is to client-go: the server's answer that
// there are too many requests. An informer then waits and opens the watch again where it
// was; after any other error it reads all of its objects anew, and so would all informers
// at once when a server comes back. A watch that begins with all objects has no place to
// keep, and a reflector that waits after a 429 to it says nothing and does not look whether
// it is to stop. A time limit and the end of the caller's context are no refusals.
func (e *settled) status() apierrors.APIStatus {
	r, ok := errors.AsType[*middleware.Rejection](e.error)
	if e.of.verb != "watch" || e.of.initial || !ok || errors.Is(r, context.DeadlineExceeded) || errors.Is(r, middleware.ErrCanceled) {
		return nil
	}
	seconds := (r.RetryAfter + time.Second - 1) / time.Second
	return apierrors.NewTooManyRequests(e.Error(), int(seconds))
}

// Timeout reports whether the request ran out of time, but never of a watch.
func (e *settled) Timeout() bool {
	var t interface{ Timeout() bool }
	return e.of.verb != "watch" && errors.As(e.error, &t) && t.Timeout()
}

// Temporary is false.
func (*settled) Temporary() bool { return false }

// ErrorType returns that of the error, for the attribute error.type.
func (e *settled) ErrorType() string {
	var t interface{ ErrorType() string }
	if errors.As(e.error, &t) {
		return t.ErrorType()
	}
	return "error"
}

func isRejection(err error) bool {
	_, ok := errors.AsType[*middleware.Rejection](err)
	return ok
}
