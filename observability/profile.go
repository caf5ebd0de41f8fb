package observability

import (
	"reflect"
	"runtime"
	"time"
	"weak"

	"go.opentelemetry.io/otel/attribute"

	"github.com/tidegate-go/tidegate/middleware"
)

// Profiles are those of the chains that were called. One that nobody uses any more is
// forgotten. The zero value is empty and ready.
type profiles struct {
	cache[uintptr, *profile] // by address, since making a weak pointer for each call takes a lock
}

func (s *profiles) of(c *middleware.Chain) *profile {
	key := reflect.ValueOf(c).Pointer()
	if p, ok := s.load(key); ok {
		if p.owner.Value() == c {
			return p
		}
		s.remove(key) // that of a chain which is gone, in whose place c is
	}
	p := newProfile(c)
	if kept := s.store(key, p); kept != p {
		return kept
	}
	runtime.AddCleanup(c, s.remove, key)
	return p
}

// A profile is what an observer knows of a chain before its first call. It holds nothing
// that could keep the chain.
type profile struct {
	owner    weak.Pointer[middleware.Chain]
	chain    string
	policies attribute.KeyValue
	breaker  int // where the outermost one stands, or -1
	names    cache[string, string]
}

func newProfile(c *middleware.Chain) *profile {
	p := &profile{owner: weak.Make(c), chain: c.Name(), breaker: -1}
	var names []string
	for i, policy := range c.Policies() {
		named, ok := policy.(interface{ Name() string })
		if !ok {
			continue
		}
		names = append(names, named.Name())
		if r, ok := policy.(middleware.Reporter); ok && p.breaker < 0 && isBreaker(r) {
			p.breaker = i
		}
	}
	p.policies = keyPolicies.StringSlice(names)
	return p
}

// name returns the name of the span of an operation. It is all that a sampler sees:
// attributes for it would be an allocation of each call that it does not sample.
func (p *profile) name(operation string) string {
	if operation == "" {
		return p.chain
	}
	if n, ok := p.names.load(operation); ok {
		return n
	}
	return p.names.store(operation, p.chain+" "+operation)
}

// opening returns the attributes that are known before a call through the chain c.
func (p *profile) opening(c *middleware.Chain, operation middleware.Operation) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 1, 8) // those known later have room
	attributes[0] = keyChain.String(p.chain)
	if operation.Name != "" {
		attributes = append(attributes, keyOperation.String(operation.Name))
	}
	if operation.Key != "" {
		attributes = append(attributes, keyOperationKey.String(operation.Key))
	}
	if p.breaker >= 0 {
		if state := stateOf(c.Policies(), p.breaker); state != "" {
			attributes = append(attributes, keyState.String(state))
		}
	}
	return attributes
}

// stateOf returns the state of the circuit that the policy at that place is, or "" if another
// policy has come there.
func stateOf(policies []middleware.Policy, place int) (state string) {
	if place >= len(policies) {
		return ""
	}
	if r, ok := policies[place].(middleware.Reporter); ok {
		r.Reports(func(r middleware.Report) bool {
			if r.Breaker != nil {
				state = r.Breaker.State
			}
			return false
		})
	}
	return state
}

// isBreaker reports whether a policy is one circuit, and not one for each key.
func isBreaker(r middleware.Reporter) (found bool) {
	r.Reports(func(r middleware.Report) bool {
		found = r.Breaker != nil
		return false
	})
	return found
}

// scope says what the timeout of e limits: an attempt or the whole operation. It
// is empty when two timeouts of the chain cannot be told apart. Their limits may be others
// than before.
func (p *profile) scope(e middleware.Event) string {
	inside, outside := e.Attempt > 1, false
	retries := false
	for _, policy := range p.owner.Value().Policies() {
		switch policy := policy.(type) {
		case interface{ Attempts() int }:
			retries = true
		case interface {
			Name() string
			Limit() time.Duration
		}:
			if policy.Name() == e.Policy && policy.Limit() == e.Wait {
				inside, outside = inside || retries, outside || !retries
			}
		}
	}
	switch {
	case e.Attempt > 1, inside && !outside:
		return "attempt"
	case outside && !inside:
		return "operation"
	default:
		return ""
	}
}
