package grpc

import (
	"context"

	"github.com/tidegate-go/tidegate/middleware"
)

// An Option changes what [DialOptions], [UnaryClientInterceptor] and
// [StreamClientInterceptor] make. A nil Option changes nothing.
type Option func(*options)

type options struct {
	idempotent func(method string) bool
	key        func(target, method string) string
	classify   func(Outcome) middleware.Verdict
	propagate  bool
}

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// WithIdempotent names the methods that may be repeated, and run beside themselves by a
// policies.Hedge: those for which several calls, also at the same time, do the same as one.
// is gets a name such as "pkg.Service/Method" and must be safe for concurrent use. For a
// single call use [Idempotent]. Nil, the default, names none.
func WithIdempotent(is func(method string) bool) Option {
	return func(o *options) { o.idempotent = is }
}

// WithKey sets the function that names what a call goes to, in place of the target of its
// connection: a service, a shard. It is the Key of the [middleware.Operation], by which
// policies.Keyed tells servers apart, so there should be few. key gets the target as it was
// given to grpc.NewClient and a name such as "pkg.Service/Method", and must be safe for
// concurrent use. Nil changes nothing.
func WithKey(key func(target, method string) string) Option {
	return func(o *options) { o.key = key }
}

// WithClassifier sets the function that judges each attempt, in place of [Classify], which it
// may ask for all that it does not know better. It is not asked about attempts that the
// caller or a time limit of the chain ended, nor about rejections. It must change nothing and
// be safe for concurrent use. What cannot be repeated, such as a stream that the caller has
// sent messages on, is not, whatever the verdict says. Nil is Classify.
func WithClassifier(classify func(Outcome) middleware.Verdict) Option {
	return func(o *options) { o.classify = classify }
}

type idempotentKey struct{}

// Idempotent returns a context whose calls may be repeated, or may not, whatever
// [WithIdempotent] says.
func Idempotent(ctx context.Context, is bool) context.Context {
	return context.WithValue(ctx, idempotentKey{}, is)
}

func (o *options) isIdempotent(ctx context.Context, method string) bool {
	if is, ok := ctx.Value(idempotentKey{}).(bool); ok {
		return is
	}
	return o.idempotent != nil && o.idempotent(method)
}

type skipKey struct{}

// SkipPolicies returns a context whose calls pass no chain: those of a health check that is
// to see what the policies would hold back.
func SkipPolicies(ctx context.Context) context.Context {
	return context.WithValue(ctx, skipKey{}, true)
}

func skips(ctx context.Context) bool { return ctx.Value(skipKey{}) != nil }
