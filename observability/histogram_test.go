package observability

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sample are durations as they come, between a nanosecond and an hour, of all orders of
// magnitude.
func sample(r *rand.Rand, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(math.Exp(r.Float64() * math.Log(float64(time.Hour))))
	}
	return all
}

// exactQuantile is the quantile by nearest rank of sorted durations.
func exactQuantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))*(1-1e-12))), 1)-1]
}

func TestQuantilesAreOffByASixteenthAtTheMost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 20, 100, 5000} {
		var whole, half histogram
		all := sample(r, n)
		for i, d := range all {
			if i%2 == 0 {
				whole.add(d)
			} else {
				half.add(d)
			}
		}
		whole.merge(&half)
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.07, 0.5, 0.9, 0.95, 0.99, 1} {
			got, want := whole.quantile(q), exactQuantile(all, q)
			if off := (got - want).Abs(); off > want/16+1 && off > time.Microsecond {
				t.Errorf("the quantile %v of %d durations is %v, exactly it is %v", q, n, got, want)
			}
		}
		if whole.total != int64(n) {
			t.Errorf("%d durations, want %d", whole.total, n)
		}
	}
}

func TestQuantilesAtTheEnds(t *testing.T) {
	for _, row := range []struct {
		name      string
		durations []time.Duration
		q         float64
		want      time.Duration
	}{
		{"of nothing", nil, 0.5, 0},
		{"of one", []time.Duration{500 * time.Millisecond}, 0.95, 500 * time.Millisecond},
		{"of equal ones", []time.Duration{time.Second, time.Second, time.Second}, 0.5, time.Second},
		{"of zero", []time.Duration{0}, 0.5, 0},
		{"of less than zero", []time.Duration{-time.Second}, 0.5, -time.Second},
		{"of days", []time.Duration{24 * time.Hour, 48 * time.Hour}, 0.5, 48 * time.Hour},
	} {
		var h histogram
		for _, d := range row.durations {
			h.add(d)
		}
		if got := h.quantile(row.q); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestBucketsAreInOrderAndHoldTheirMiddle(t *testing.T) {
	for b := range lastBucket {
		if got := bucketOf(middleOf(b)); got != b {
			t.Fatalf("the middle of bucket %d, %v, is in bucket %d", b, middleOf(b), got)
		}
		if b > 0 && middleOf(b) <= middleOf(b-1) {
			t.Fatalf("bucket %d is not after the one before", b)
		}
	}
}

func TestAHistogramThatIsResetIsEmptyAndAllocatesNothing(t *testing.T) {
	var h histogram
	n := testing.AllocsPerRun(100, func() {
		h.reset()
		if h.quantile(0.5) != 0 || h.total != 0 {
			t.Fatalf("after reset: %+v", h)
		}
		for _, d := range []time.Duration{time.Millisecond, time.Second, 20 * time.Millisecond} {
			h.add(d)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Whatever the durations are, and in whatever order they come, quantiles are off by no more
// than they may, and merging loses nothing.
func FuzzHistogram(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255, 255, 255, 255, 255, 255}, uint8(50))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0}, uint8(100))
	f.Fuzz(func(t *testing.T, data []byte, percent uint8) {
		var all []time.Duration
		for chunk := range slices.Chunk(data, 8) {
			var n uint64
			for _, b := range chunk {
				n = n<<8 | uint64(b)
			}
			all = append(all, time.Duration(n>>(n%64)))
		}
		if len(all) == 0 {
			return
		}
		var one, two histogram
		for i, d := range all {
			[]*histogram{&one, &two}[i%2].add(d)
		}
		one.merge(&two)
		slices.Sort(all)
		q := float64(min(percent, 100)) / 100
		got, want := one.quantile(q), exactQuantile(all, q)
		if want >= 1<<highestBits {
			want = all[len(all)-1]
		}
		if off := (got - want).Abs(); one.total != int64(len(all)) || off > want/16+1 && off > time.Microsecond && want > 0 {
			t.Errorf("the quantile %v of %v is %v, exactly it is %v", q, all, got, want)
		}
	})
}
