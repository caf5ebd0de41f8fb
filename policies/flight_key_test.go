package policies

import (
	"context"
	"math"
	"testing"
)

// No key stays when its run is over, not even one that is never found again.
func TestAFlightKeepsNoKey(t *testing.T) {
	var flight Flight[float64, int]
	for _, key := range []float64{1, math.NaN(), 1} {
		_, _ = flight.Do(t.Context(), key, func(context.Context) (int, error) { return 1, nil })
	}
	if n := len(flight.runs); n != 0 {
		t.Errorf("%d keys", n)
	}
}
