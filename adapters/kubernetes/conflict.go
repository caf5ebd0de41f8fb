package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/tidegate-go/tidegate/middleware"
)

// RetryOnConflict is retry.RetryOnConflict of client-go, each of whose tries is a call of
// [Do] with the verb [Update]: the breaker and the limits of chain see it, and ctx ends the
// waits. fn reads the object, changes it and updates it. It runs again while the server
// answers Conflict, up to backoff.Steps times, at least once; retry.DefaultRetry is a good
// backoff. A conflict that may be with an earlier attempt of the same try ends it, as an
// [*AmbiguousError], unless the call is [Idempotent].
//
// The error is the one of the last try; if ctx ended a wait, also that of ctx.
func RetryOnConflict(ctx context.Context, chain *middleware.Chain, backoff wait.Backoff, fn func(context.Context) error, opts ...Option) error {
	for {
		err := Do(ctx, chain, Update, fn, opts...)
		if backoff.Steps <= 1 || !apierrors.IsConflict(err) {
			return err
		}
		var ambiguous *AmbiguousError
		if errors.As(err, &ambiguous) && !optionsOf(opts).idempotent {
			return err
		}
		if !sleep(ctx, backoff.Step()) {
			return fmt.Errorf("kubernetes: %w, while it waited after: %w", ctx.Err(), err)
		}
	}
}

// sleep waits for d, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
