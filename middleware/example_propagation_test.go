package middleware_test

import (
	"context"
	"fmt"

	"github.com/tidegate-go/tidegate/middleware"
)

// A message carries the priority and the attempt of the call that sends it, over anything
// that has headers.
func ExamplePropagate() {
	headers := map[string]string{}
	ctx := middleware.WithPriority(context.Background(), middleware.Sheddable)
	ctx = middleware.WithAttempt(ctx, 2) // as a retry does
	middleware.Propagate(ctx, func(name, value string) { headers[name] = value })
	fmt.Println(headers)

	// In the process that receives the message:
	received := middleware.WithPropagated(context.Background(), func(name string) string { return headers[name] })
	fmt.Println(middleware.PriorityOf(received))
	// Output:
	// map[Tidegate-Attempt:2 Tidegate-Priority:sheddable]
	// sheddable
}
