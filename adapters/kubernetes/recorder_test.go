package kubernetes_test

import (
	"context"
	"sync"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// A recorder is a policy that keeps what the policies of a chain see of each run.
type recorder struct {
	mu   sync.Mutex
	runs []*run
}

type run struct {
	operation middleware.Operation
	verdict   middleware.Verdict
	held      bool // the run is not over for the policies
}

func (r *recorder) Execute(ctx context.Context, next middleware.Next) error {
	one := &run{operation: middleware.OperationOf(ctx), held: true}
	r.mu.Lock()
	r.runs = append(r.runs, one)
	r.mu.Unlock()
	err := next.DoThen(ctx, func() { r.set(func() { one.held = false }) })
	r.set(func() { one.verdict = middleware.VerdictOf(err) })
	return err
}

func (r *recorder) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// take returns copies of the runs since the last call.
func (r *recorder) take() (runs []run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.runs {
		runs = append(runs, *one)
	}
	r.runs = nil
	return runs
}

// one returns the only run since the last call.
func (r *recorder) one(t *testing.T) run {
	t.Helper()
	runs := r.take()
	if len(runs) != 1 {
		t.Fatalf("%d runs, want 1: %+v", len(runs), runs)
	}
	return runs[0]
}
