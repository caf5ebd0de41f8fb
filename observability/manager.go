package observability

import (
	"reflect"
	"slices"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Manager holds the services that health reports, alerts and the page are about. A
// *tidegate.Manager is one; a program that makes its chains by itself may have another.
// The name of a chain is that of its service. What is known beyond the states of policies
// comes from the [Observer] of each chain: the first one among its policies.
//
// Its methods must be safe for concurrent use.
type Manager interface {
	// Chains returns the chains of the services, sorted by name.
	Chains() []*middleware.Chain

	// ForceOpen makes a service reject every call until Release or Reset.
	ForceOpen(service string) error
	// Release ends what was done by hand.
	Release(service string) error
	// Reset closes the breaker of a service and makes it forget what it has counted.
	Reset(service string) error
}

// isNilManager reports whether there is no manager: nil, or a pointer that is.
func isNilManager(m Manager) bool {
	switch v := reflect.ValueOf(m); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan, reflect.Interface:
		return v.IsNil()
	default:
		return false
	}
}

// chainsOf returns the chains of m, of none if m is nil.
func chainsOf(m Manager) []*middleware.Chain {
	if isNilManager(m) {
		return nil
	}
	return m.Chains()
}

// observerOf returns the Observer of a chain, or nil.
func observerOf(c *middleware.Chain) *Observer {
	for _, p := range c.Policies() {
		if o, ok := p.(*Observer); ok {
			return o
		}
	}
	return nil
}

// observersOf returns the Observers of all chains, each once.
func observersOf(chains []*middleware.Chain) []*Observer {
	var all []*Observer
	for _, c := range chains {
		if o := observerOf(c); o != nil && !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return all
}

// reportsOf returns the reports of the policies of a chain, outermost first. One of
// somebody else's that panics ends them: it must not hide the other chains.
func reportsOf(c *middleware.Chain) (all []middleware.Report) {
	defer func() { _ = recover() }()
	c.Reports(func(r middleware.Report) bool {
		all = append(all, r)
		return true
	})
	return all
}
