package policies

import (
	"errors"
	"io"

	"github.com/tidegate-go/tidegate/middleware"
)

// Apply changes how many keys there may be and how long idle ones are kept; Name and Key
// stay. Keys beyond a smaller Max go when they are idle. The error is that of Validate; then
// nothing has changed.
func (k *Keyed[P]) Apply(c KeyedConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.config.Max, k.config.Idle = or(c.Max, DefaultMaxKeys), or(c.Idle, DefaultKeyIdle)
	k.description.forget()
	return nil
}

// Change calls change for the policy of each key that there is, and of each that is being
// made just now: it is for new settings, which those to come have by themselves. change must
// be safe for concurrent use, and may be called more than once for a policy. Of two Changes at
// the same time either may be the last one for a policy.
func (k *Keyed[P]) Change(change func(key string, policy P)) {
	k.mu.Lock()
	k.change = change
	k.changes.Add(1)
	k.mu.Unlock()
	for key, p := range k.snapshot() {
		change(key, p)
	}
}

// PlanAs lets Plan say what sample does while there is no key: one of the policies that are
// made for keys. It gets no call, hears of no chain and is not closed. Nil, as in the
// beginning, means that nothing is known before there is a key.
func (k *Keyed[P]) PlanAs(sample middleware.Policy) {
	k.mu.Lock()
	k.sample = sample
	k.mu.Unlock()
}

// changedSince returns the newest change unless it is among the first so many, and how many
// there are. The lock is held.
func (k *Keyed[P]) changedSince(first int64) (change func(key string, policy P), changes int64) {
	if changes = k.changes.Load(); changes != first {
		change = k.change
	}
	return change, changes
}

// Attach tells the policies of all keys of the chain. Those to come are told of the
// newest chain that has observers.
func (k *Keyed[P]) Attach(c *middleware.Chain) {
	k.mu.Lock()
	if c.Observed() {
		k.home = c
	}
	k.mu.Unlock()
	for _, p := range k.snapshot() {
		attach(p, c)
	}
}

func attach(p middleware.Policy, c *middleware.Chain) {
	if a, ok := p.(middleware.Attacher); ok {
		a.Attach(c)
	}
}

// Close closes the policies of all keys that have a method Close, those of keys to come
// too, and returns the errors, joined.
func (k *Keyed[P]) Close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	var errs []error
	for _, p := range k.snapshot() {
		errs = append(errs, closePolicy(p))
	}
	return errors.Join(errs...)
}

func closePolicy(p middleware.Policy) error {
	switch p := p.(type) {
	case io.Closer:
		return p.Close()
	case *middleware.Chain:
		var errs []error
		for _, p := range p.Policies() {
			errs = append(errs, closePolicy(p))
		}
		return errors.Join(errs...)
	default:
		return nil
	}
}
