package benchmarks

import (
	"context"
	"testing"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/fallback"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkFallback is a call that has an alternative, which succeeds at once. The
// alternative of failsafe-go belongs to the policy and not to the call.
func BenchmarkFallback(b *testing.B) { measureRows(b, fallbacks()) }

func TestFallbacks(t *testing.T) { checkRows(t, fallbacks()) }

func fallbacks() []row {
	chain := middleware.NewChain("x", policies.NewFallback(policies.FallbackConfig{}))
	return []row{
		{name: "success/tidegate", call: tidegateOr(chain, succeed), allocs: 1},
		{name: "success/failsafe-go", call: failsafeOr(succeedAlone)},
		{name: "success/hystrix-go", call: hystrixOr("fallback success", succeed)},
		{name: "failure/tidegate", call: tidegateOr(chain, fail), allocs: 1},
		{name: "failure/failsafe-go", call: failsafeOr(failAlone)},
		{name: "failure/hystrix-go", call: hystrixOr("fallback failure", fail)},

		{name: "success, with a value/tidegate", call: tidegateValueOr(chain, one), allocs: 2},
		{name: "success, with a value/failsafe-go", call: failsafeValueOr(oneAlone)},
		{name: "failure, with a value/tidegate", call: tidegateValueOr(chain, none), allocs: 3},
		{name: "failure, with a value/failsafe-go", call: failsafeValueOr(noneAlone)},
	}
}

// The operation with a value, that succeeds or fails at once.

func one(context.Context) (int, error)  { return 1, nil }
func none(context.Context) (int, error) { return 0, errBroken }
func oneAlone() (int, error)            { return 1, nil }
func noneAlone() (int, error)           { return 0, errBroken }

func tidegateOr(chain *middleware.Chain, op func(context.Context) error) call {
	return func(ctx context.Context, _ bool) error {
		return chain.DoOr(ctx, op, func(context.Context, error) error { return nil })
	}
}

func tidegateValueOr(chain *middleware.Chain, op func(context.Context) (int, error)) call {
	return func(ctx context.Context, _ bool) error {
		_, err := middleware.CallOr(ctx, chain, op, func(context.Context, error) (int, error) { return 1, nil })
		return err
	}
}

func failsafeOr(op func() error) call {
	executor := failsafe.With(fallback.NewWithFunc(func(failsafe.Execution[any]) (any, error) { return nil, nil }))
	return func(ctx context.Context, _ bool) error { return executor.WithContext(ctx).Run(op) }
}

func failsafeValueOr(op func() (int, error)) call {
	executor := failsafe.With(fallback.NewWithFunc(func(failsafe.Execution[int]) (int, error) { return 1, nil }))
	return func(ctx context.Context, _ bool) error {
		_, err := executor.WithContext(ctx).Get(op)
		return err
	}
}

// There is no fallback without its breaker, which never opens here.
func hystrixOr(name string, op func(context.Context) error) call {
	if hystrixBreaker(workload{name: name, mode: rolling, threshold: never}) == nil {
		return nil
	}
	instead := func(context.Context, error) error { return nil }
	return func(ctx context.Context, _ bool) error { return hystrix.DoC(ctx, name, op, instead) }
}
