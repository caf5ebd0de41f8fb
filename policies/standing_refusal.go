package policies

import (
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
)

// A standingRefusal is the error of calls that a policy refuses, where it is the same for
// all calls of a chain. It is made once for the chain that needs it, because under overload
// that is very often; of several chains the last one has it. It takes no lock.
type standingRefusal struct{ last atomic.Pointer[refusal] }

// in returns the error for a chain, which may be nil.
func (s *standingRefusal) in(c *middleware.Chain, policy string, reason error) error {
	if r := s.last.Load(); r != nil && r.chain == c {
		return r.err
	}
	r := &refusal{chain: c, err: &middleware.Rejection{Chain: c.Name(), Policy: policy, Reason: reason}}
	s.last.Store(r)
	return r.err
}
