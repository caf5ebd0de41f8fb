package policies

// evenly returns a number from 0 to 1 for the n-th of several decisions. The fractional
// parts of the multiples of the golden ratio are spread evenly (Weyl's theorem; Knuth, The
// Art of Computer Programming, volume 3, section 6.4), so the decisions for which it is
// below a share are that share of all, and are spread evenly, too.
func evenly(n uint64) float64 {
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	return float64(n*golden) / (1 << 64)
}
