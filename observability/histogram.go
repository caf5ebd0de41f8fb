package observability

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations, so that quantiles of them can be told. Its buckets are an
// eighth of a power of two wide. A quantile is the middle of the bucket that the exact one
// (by nearest rank) is in, but neither below the least nor above the greatest duration, so
// it is off by a sixteenth of the exact one at the most, from a microsecond to 73
// minutes. Below that it is off by a microsecond, and above it is the greatest duration.
//
// The zero value is empty. It takes memory for the buckets from the lowest to the highest
// that was needed.
type histogram struct {
	counts      []uint32 // of the buckets from first on
	first       int
	total       int64
	least, most time.Duration
}

// The buckets between two powers of two, and which powers there are: 2^10 ns is about a
// microsecond, 2^42 ns about 73 minutes.
const (
	subBits     = 3
	lowestBits  = 10
	highestBits = 42
	lastBucket  = (highestBits - lowestBits) << subBits
)

// bucketOf returns the bucket that d is in.
func bucketOf(d time.Duration) int {
	n := bits.Len64(uint64(max(d, 0)))
	switch {
	case n <= lowestBits:
		return 0
	case n > highestBits:
		return lastBucket
	}
	sub := int(d>>(n-1-subBits)) & (1<<subBits - 1)
	return 1 + (n-1-lowestBits)<<subBits + sub
}

// middleOf returns the middle of a bucket.
func middleOf(bucket int) time.Duration {
	if bucket == 0 {
		return 1 << (lowestBits - 1)
	}
	bucket--
	sub := time.Duration(1<<subBits + bucket&(1<<subBits-1))
	return (2*sub + 1) << (bucket>>subBits + lowestBits - subBits - 1)
}

// add counts d.
func (h *histogram) add(d time.Duration) {
	h.addTo(bucketOf(d), 1)
	h.grow(1, d, d)
}

// merge counts all that other has counted.
func (h *histogram) merge(other *histogram) {
	if other.total == 0 {
		return
	}
	h.reach(other.first)
	h.reach(other.first + len(other.counts) - 1)
	for i, n := range other.counts {
		h.counts[other.first+i-h.first] += n
	}
	h.grow(other.total, other.least, other.most)
}

// reset empties the histogram and keeps its memory.
func (h *histogram) reset() { *h = histogram{counts: h.counts[:0]} }

func (h *histogram) addTo(bucket int, n uint32) {
	h.reach(bucket)
	h.counts[bucket-h.first] += n
}

// reach makes room for a bucket.
func (h *histogram) reach(bucket int) {
	if len(h.counts) == 0 {
		h.first = bucket
	}
	if before := h.first - bucket; before > 0 {
		h.counts = append(make([]uint32, before, before+len(h.counts)), h.counts...)
		h.first = bucket
	}
	for len(h.counts) <= bucket-h.first {
		h.counts = append(h.counts, 0)
	}
}

func (h *histogram) grow(n int64, least, most time.Duration) {
	if h.total == 0 {
		h.least, h.most = least, most
	}
	h.least, h.most = min(h.least, least), max(h.most, most)
	h.total += n
}

// quantile returns the duration that the share q of all, from 0 to 1, does not exceed, or
// zero when there is none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	const exact = 1 - 1e-12 // 0.07 * 100 is 7.000000000000001
	rank := min(max(int64(math.Ceil(q*float64(h.total)*exact)), 1), h.total)
	for i, n := range h.counts {
		if rank -= int64(n); rank > 0 {
			continue
		}
		if h.first+i == lastBucket {
			return h.most
		}
		return min(max(middleOf(h.first+i), h.least), h.most)
	}
	return h.most
}
