package transports

import "context"

type idempotentKey struct{}

// Idempotent returns a context whose requests may be repeated, or may not, whatever their
// method, headers and options say.
func Idempotent(ctx context.Context, is bool) context.Context {
	return context.WithValue(ctx, idempotentKey{}, is)
}

type skipKey struct{}

// SkipPolicies returns a context whose requests go to the base transport directly: those
// of a health check that is to see what the policies would hold back.
func SkipPolicies(ctx context.Context) context.Context {
	return context.WithValue(ctx, skipKey{}, true)
}

func skips(ctx context.Context) bool { return ctx.Value(skipKey{}) != nil }
