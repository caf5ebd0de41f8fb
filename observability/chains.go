package observability

import (
	"reflect"
	"slices"
	"sync"
	"weak"

	"github.com/tidegate-go/tidegate/middleware"
)

// Chains are those that an observer is part of. One that nobody uses any more is
// forgotten. The zero value is empty and ready.
type chains struct {
	mu  sync.Mutex
	all []weak.Pointer[middleware.Chain]

	types cache[policyName, string]
}

// A policyName is a policy by the names that events tell.
type policyName struct{ chain, policy string }

func (s *chains) add(c *middleware.Chain) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == cap(s.all) { // before it grows
		s.all = slices.DeleteFunc(s.all, func(p weak.Pointer[middleware.Chain]) bool { return p.Value() == nil })
	}
	s.all = append(s.all, weak.Make(c))
}

// reports yields the reports of the policies of all chains with the name of the chain and
// the address of the policy. A policy that is in several chains of one name comes once.
func (s *chains) reports(yield func(chain string, policy uintptr, r middleware.Report) bool) {
	s.mu.Lock()
	all := slices.Clone(s.all)
	s.mu.Unlock()
	type place struct {
		chain  string
		policy middleware.Policy
	}
	seen := make(map[place]bool)
	for _, p := range all {
		c := p.Value()
		if c == nil {
			continue
		}
		for _, p := range c.Policies() {
			r, ok := p.(middleware.Reporter)
			if !ok {
				continue
			}
			var address uintptr
			switch v := reflect.ValueOf(p); {
			case v.Kind() == reflect.Pointer:
				address = v.Pointer()
				fallthrough
			case v.Comparable():
				if seen[place{c.Name(), p}] {
					continue
				}
				seen[place{c.Name(), p}] = true
			}
			more := true
			r.Reports(func(r middleware.Report) bool {
				more = yield(c.Name(), address, r)
				return more
			})
			if !more {
				return
			}
		}
	}
}

// policyType returns the kind of the policy with the name in the chain, or "".
func (s *chains) policyType(chain, policy string) (found string) {
	if known, ok := s.types.load(policyName{chain, policy}); ok {
		return known
	}
	s.reports(func(name string, _ uintptr, r middleware.Report) bool {
		if name == chain && r.Name == policy {
			found = r.Type
			return false
		}
		return true
	})
	return s.types.store(policyName{chain, policy}, found)
}
