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
	timeouts []limit
	breaker  int // where the outermost one stands, or -1
	names    cache[string, string]
}

// A limit is a timeout of a chain, which may stand around its retries or inside.
type limit struct {
	policy string
	length time.Duration
	inside bool
}

func newProfile(c *middleware.Chain) *profile {
	p := &profile{owner: weak.Make(c), chain: c.Name(), breaker: -1}
	var names []string
	retries := false
	for i, policy := range c.Policies() {
		named, ok := policy.(interface{ Name() string })
		if !ok {
			continue
		}
		names = append(names, named.Name())
		if r, ok := policy.(middleware.Reporter); ok && p.breaker < 0 && isBreaker(r) {
			p.breaker = i
		}
		switch policy := policy.(type) {
		case interface{ Attempts() int }:
			retries = true
		case interface{ Limit() time.Duration }:
			p.timeouts = append(p.timeouts, limit{named.Name(), policy.Limit(), retries})
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
		c.Policies()[p.breaker].(middleware.Reporter).Reports(func(r middleware.Report) bool {
			if r.Breaker != nil {
				attributes = append(attributes, keyState.String(r.Breaker.State))
			}
			return false
		})
	}
	return attributes
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
// is empty when two timeouts of the chain cannot be told apart.
func (p *profile) scope(e middleware.Event) string {
	inside, outside := e.Attempt > 1, false
	for _, t := range p.timeouts {
		if t.policy == e.Policy && t.length == e.Wait {
			inside, outside = inside || t.inside, outside || !t.inside
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
