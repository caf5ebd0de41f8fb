package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tidegate-go/tidegate/middleware"
)

func announce(name string) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		fmt.Println("enter", name)
		err := next.Do(ctx)
		fmt.Println("leave", name)
		return err
	})
}

// The first policy is the outermost. A chain among the policies is flattened,
// and nil policies are skipped.
func ExampleNewChain() {
	pair := middleware.NewChain("pair", announce("second"), announce("third"))
	chain := middleware.NewChain("billing", announce("first"), nil, pair)
	_ = chain.Do(context.Background(), func(context.Context) error {
		fmt.Println("operation")
		return nil
	})
	// Output:
	// enter first
	// enter second
	// enter third
	// operation
	// leave third
	// leave second
	// leave first
}

func ExampleCall() {
	chain := middleware.NewChain("billing")
	total, err := middleware.Call(context.Background(), chain, func(context.Context) (int, error) { return 42, nil })
	fmt.Println(total, err)
	// Output: 42 <nil>
}

// A policy of one's own is a function. This one refuses calls in a maintenance
// window.
func ExamplePolicyFunc() {
	errMaintenance := errors.New("closed for maintenance")
	maintenance := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
		return next.Reject(middleware.Rejection{Policy: "maintenance", Reason: errMaintenance})
	})
	chain := middleware.NewChain("billing", maintenance)
	err := chain.Do(context.Background(), func(context.Context) error { return nil })
	fmt.Println(err)
	fmt.Println(errors.Is(err, errMaintenance))
	// Output:
	// billing: maintenance: closed for maintenance
	// true
}

// A judge tells the policies what the errors of an operation mean. The caller
// gets the error itself.
func ExampleJudge() {
	notThere := middleware.Judge(func(err error) middleware.Verdict {
		if errors.Is(err, os.ErrNotExist) {
			return middleware.Verdict{Class: middleware.Success, Reason: "not_found"}
		}
		return middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "io"}
	})
	watch := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		fmt.Printf("%+v\n", middleware.VerdictOf(err))
		return err
	})
	chain := middleware.NewChain("files", watch, notThere)
	err := chain.Do(context.Background(), func(context.Context) error { return os.ErrNotExist })
	fmt.Println(err == os.ErrNotExist)
	// Output:
	// {Class:success Retry:false After:0s Reason:not_found}
	// true
}
