package main

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	if err := run(context.Background(), os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// The server is up.
	//   apply 879e7dc: web 0 -> 2
	//   status pushed
	//   unchanged
	// Somebody pushes a change.
	//   apply ba86cfc: web 2 -> 3, worker 0 -> 1
	//   status pushed
	// The server answers 503. Somebody has pushed a change.
	//   stale copy of ba86cfc: server
	//   stale copy of ba86cfc: server
	//   the breaker is open
	// The server drops every connection.
	//   stale copy of ba86cfc: the breaker is open
	// The server is back.
	//   the breaker is closed
	//   apply 20bebe0: web 3 -> 4, worker 1 -> 2
	//   status pushed
	//   unchanged
	// syncs            8
	// unchanged        2
	// stale            3
	// failures         2
	// commits applied  3
	// status pushed    3
}
