package main

import (
	"context"
	"os"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// After a request that failed minio-go waits a share of this even when no other follows.
	miniogo.DefaultRetryUnit = time.Millisecond
	goleak.VerifyTestMain(m)
}

func Example() {
	if err := run(context.Background(), os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// The primary is up.
	//   put monday: the primary has it; requests to the primary: 1
	//   put tuesday: the primary has it; requests to the primary: 1
	//   put wednesday: the primary has it; requests to the primary: 1
	// The primary goes down.
	//   put wednesday: the secondary has it; requests to the primary: 2
	//   put thursday: the secondary has it; requests to the primary: 1
	//   the primary's breaker is open
	//   put friday: the secondary has it; requests to the primary: 0
	//   put friday: the secondary has it; requests to the primary: 0
	//   get wednesday: all of wednesday, from the secondary
	//   get friday: all of friday, from the secondary
	//   get monday: only the primary has it, whose breaker is open
	// The primary is back.
	//   the primary's breaker is closed
	//   get wednesday: all of wednesday, from the secondary
	//   reconcile: 4 copied, 0 dropped
	//   reconcile: 0 copied, 0 dropped
	//   get friday: all of friday, from the primary
	//   get monday: all of monday, from the primary
	//   get thursday: all of thursday, from the primary
	//   get tuesday: all of tuesday, from the primary
	//   get wednesday: all of wednesday, from the primary
}
