package transports

import (
	"context"
	"net/http"

	"github.com/tidegate-go/tidegate/middleware"
)

// WithPropagation tells the server, in headers of each attempt, what [middleware.Propagate]
// does: the priority of the call (Tidegate-Priority, unless it is critical) and the number of the
// attempt (Tidegate-Attempt, from the second on). What the caller's request has under these
// names is not sent: the context decides, so a proxy hands on what it has believed
// and nothing else.
//
// A server believes it with [WithHandlerPropagation]. To others the headers mean
// nothing, but whoever gets them learns how much a call matters.
func WithPropagation() Option {
	return func(o *options) { o.propagate = true }
}

// WithHandlerPropagation has the policies, and next, know what the client tells by
// [WithPropagation]: the priority of the request, see [middleware.PriorityOf], which is that of
// the calls made for it too, and that it is a further attempt, so that these are not
// repeated once more at each stage. What is malformed is ignored.
//
// It believes the client, which may call anything critical. Use it only for clients
// that are trusted, and have a proxy before it remove the headers of all others.
func WithHandlerPropagation() HandlerOption {
	return func(h *handler) { h.propagate = true }
}

// propagate sets the headers of an attempt.
func propagate(ctx context.Context, header http.Header) {
	if header == nil { // net/http refuses the request
		return
	}
	header.Del(middleware.PriorityHeader)
	header.Del(middleware.AttemptHeader)
	middleware.Propagate(ctx, header.Set)
}
