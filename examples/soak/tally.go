package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
)

// A tally counts what calls came to.
type tally struct {
	mu    sync.Mutex
	begun int
	ended map[string]int
	wrong []string // what must not be
}

func newTally() *tally { return &tally{ended: map[string]int{}} }

func (t *tally) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
}

func (t *tally) end(outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[outcome]++
}

func (t *tally) defect(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.wrong) < 20 {
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	}
}

// total returns how many calls have begun and ended.
func (t *tally) total() (begun, ended int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.ended {
		ended += n
	}
	return t.begun, ended
}

// defects returns what must not be, joined.
func (t *tally) defects() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, w := range t.wrong {
		errs = append(errs, errors.New(w))
	}
	return errors.Join(errs...)
}

func (t *tally) print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, outcome := range slices.Sorted(maps.Keys(t.ended)) {
		fmt.Fprintf(w, "%d\t%.3f %%\t  %s\n", t.ended[outcome], 100*float64(t.ended[outcome])/float64(t.begun), outcome)
	}
	_ = w.Flush()
}
