package grpc

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/tidegate-go/tidegate/middleware"
)

// WithPropagation tells the server, in metadata of each attempt, what [middleware.Propagate]
// does: the priority of the call (tidegate-priority, unless it is critical) and the number of the
// attempt (tidegate-attempt, from the second on). They take the place of what the caller's
// metadata has under these names.
//
// A server believes it with [WithServerPropagation]. To others the metadata means
// nothing, but whoever gets it learns how much a call matters.
func WithPropagation() Option {
	return func(o *options) { o.propagate = true }
}

// WithServerPropagation has the policies, and the handler, know what the client tells by
// [WithPropagation]: the priority of the call, see [middleware.PriorityOf], which is that of
// the calls made for it too, and that it is a further attempt, so that these are not
// repeated once more at each stage. What is malformed is ignored.
//
// It believes the client, which may call anything critical. Use it only for clients
// that are trusted. For the handlers of streams, which no interceptor of this package
// runs, [middleware.WithPropagated] does the same.
func WithServerPropagation() ServerOption {
	return func(s *server) { s.propagate = true }
}

// propagated returns the context of a call with what its client told.
func propagated(ctx context.Context) context.Context {
	return middleware.WithPropagated(ctx, func(name string) string {
		if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
			return values[0]
		}
		return ""
	})
}
