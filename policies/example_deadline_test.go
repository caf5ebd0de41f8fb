package policies_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A call that would come too late is not made.
func ExampleDeadline() {
	deadline := policies.NewDeadline(policies.DeadlineConfig{MinCalls: 3})
	chain := middleware.NewChain("report", deadline)
	contents := make([]byte, 1<<20) // far more than a microsecond's work
	for range 3 {
		_ = chain.Do(context.Background(), func(context.Context) error {
			sha256.Sum256(contents)
			return nil
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
	defer cancel()
	err := chain.Do(ctx, func(context.Context) error {
		fmt.Println("called although it takes longer")
		return nil
	})
	fmt.Println(errors.Is(err, middleware.ErrDeadline), errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
	// Output:
	// true true
	// report: deadline: the deadline leaves too little time
}
