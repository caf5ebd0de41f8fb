package main

import (
	"strings"
	"testing"
	"time"
)

// A second of it: no call is lost and nothing is left.
func TestSoak(t *testing.T) {
	var out strings.Builder
	if err := soak(t.Context(), &out, time.Second, 16, 300*time.Millisecond); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"goroutines", "requests were sent", "calls began", "success", "events injected"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\nhas no %q", out.String(), want)
		}
	}
}

func TestATallySaysWhatMustNotBe(t *testing.T) {
	tally := newTally()
	tally.begin()
	if begun, ended := tally.total(); begun != 1 || ended != 0 {
		t.Errorf("%d calls began and %d ended", begun, ended)
	}
	tally.defect("a call is %s", "lost")
	if err := tally.defects(); err == nil || err.Error() != "a call is lost" {
		t.Errorf("the defects are %v", err)
	}
}
