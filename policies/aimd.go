package policies

// An aimd adds one to the limit for each window in which it was used by half and nothing was
// dropped: additive increase, multiplicative decrease (Chiu and Jain, Computer Networks and
// ISDN Systems 17, 1989), as in Netflix concurrency-limits (AIMDLimit.java). The decrease
// is that of the finder. For a dependency that refuses calls beyond C, or makes them slow,
// the limit goes up and down between Decrease * C and a little above C.
type aimd struct{}

func (aimd) next(limit float64, s sample) float64 {
	if s.busy(limit) {
		return limit + 1
	}
	return limit
}

func (aimd) doubtful(float64, sample) bool { return false }

func (aimd) usual() float64 { return 0 }

func (aimd) rebase(float64) {}
