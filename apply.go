package tidegate

import (
	"errors"
	"reflect"

	"github.com/tidegate-go/tidegate/middleware"
)

var errApplying = errors.New("tidegate: the configuration is being changed already: apply again when that is over")

// Apply makes config the configuration of a Manager that is in use: all of it, or, with an
// error, nothing.
//
// A service that stays keeps its [Service], its chain, the state of its policies, what they
// and the Manager have counted, and its calls in flight, which end under the settings with
// which they began. Services that config names anew are made; those that the configuration
// before had made and config does not name are taken out of the Manager and closed, as Close
// does, though who has one can still call through it. Services of Add get the templates and
// the settings for all breakers of config; those of AddChain stay as they are.
//
// A policy begins anew that was off before, or becomes one for each key or one for all, a Retry or
// a Hedge with another Budget of the program, and a Chaos with another For. A breaker closes
// when it begins to observe only, or ceases to, and a window of another kind begins empty,
// see [policies.Breaker.Apply].
//
// What a file has no key for (a HealthCheck, a Budget, a Name) stays where config, which
// may come from a file, does not give it. Names and the Key of PerKey stay in any case.
//
// The error is one or several *[ConfigError], joined, or says that the Manager is closed or
// is just being changed.
func (m *Manager) Apply(config Config) error {
	if !m.applying.CompareAndSwap(false, true) {
		return errApplying
	}
	defer m.applying.Store(false)
	c, err := m.plan(config)
	if err != nil {
		return err
	}
	return c.carryOut()
}

// A change is what Apply is about to do. It is found to be possible.
type change struct {
	manager *Manager
	common  common
	made    map[string]*settled // services that are new
	changed map[*Service]*settled
	removed []*Service
}

// plan finds out what there is to do for a configuration.
func (m *Manager) plan(config Config) (*change, error) {
	if m.isClosed() {
		return nil, errClosed
	}
	m.mu.RLock()
	was := m.common
	m.mu.RUnlock()
	config = config.withCodeOf(was, m.Services())
	services, problems := config.resolve()
	c := &change{manager: m, common: config.common(), made: map[string]*settled{}, changed: map[*Service]*settled{}}
	for name, s := range services {
		c.made[name] = &settled{given: config.Services[name], config: s}
	}
	for _, s := range m.Services() {
		by, next := s.settled.Load(), c.made[s.name]
		switch {
		case next != nil && (by == nil || by.byHand):
			problems = append(problems, problem{
				service: s.name, says: "there is a service of that name already, which the program has added", allowed: "another name",
			})
		case next != nil:
			c.changed[s] = next
			delete(c.made, s.name)
		case by == nil: // made of policies
		case !by.byHand:
			c.removed = append(c.removed, s)
		default:
			resolved, ps := by.given.resolve(s.name, c.common)
			if len(ps) == 0 {
				ps = resolved.compose(s.name)
			}
			problems = append(problems, ps...)
			c.changed[s] = &settled{given: by.given, config: resolved, byHand: true}
		}
	}
	for _, name := range sortedKeys(services) {
		problems = append(problems, m.refuse(name, services[name])...)
	}
	return c, joinProblems(problems)
}

// carryOut does what is planned. Only the services that are new can fail, so they come first.
func (c *change) carryOut() error {
	m := c.manager
	var added []*Service
	for _, name := range sortedKeys(c.made) {
		s, err := m.add(name, c.made[name], nil)
		if err != nil {
			for _, s := range added {
				m.remove(s)
			}
			return err
		}
		added = append(added, s)
	}
	m.mu.Lock()
	m.common = c.common
	m.mu.Unlock()
	for s, by := range c.changed {
		s.settled.Store(by)
		s.discard(s.parts.fit(by.config))
	}
	for _, s := range c.removed {
		m.remove(s)
	}
	for _, s := range m.Services() {
		if by := s.settled.Load(); by != nil && (c.changed[s] == by || c.made[s.name] == by) {
			s.warn(m.logger)
		}
	}
	if m.isClosed() { // meanwhile, so nobody will close what is new
		for s := range c.changed {
			s.discard(s.own())
		}
	}
	return nil
}

func (m *Manager) remove(s *Service) {
	m.free(s.name)
	s.discard(s.own())
}

// discard closes policies that package policies has made, which gives no error.
func (s *Service) discard(all []middleware.Policy) { _ = s.closeAll(all) }

func (m *Manager) isClosed() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.closed
}

// refuse returns what a Manager does not take although it is valid.
func (m *Manager) refuse(name string, c ServiceConfig) []problem {
	if c.Chaos.For == Off || m.chaos {
		return nil
	}
	return []problem{{
		service: name, group: "chaos", says: "calls would be disturbed on purpose, which this program does not permit",
		allowed: "off, or a program that makes its Manager with tidegate.WithChaos()",
	}}
}

// withCodeOf returns c with what files have no keys for from the configuration before, where
// c does not give it.
func (c Config) withCodeOf(was common, services []*Service) Config {
	all := ServiceConfig{Breaker: c.Breaker}
	all.takeCode(ServiceConfig{Breaker: was.breaker})
	c.Breaker = all.Breaker
	c.Templates = withCode(c.Templates, was.templates)
	before := map[string]ServiceConfig{}
	for _, s := range services {
		if by := s.settled.Load(); by != nil && !by.byHand {
			before[s.name] = by.given
		}
	}
	c.Services = withCode(c.Services, before)
	return c
}

func withCode(all, before map[string]ServiceConfig) map[string]ServiceConfig {
	with := make(map[string]ServiceConfig, len(all))
	for name, c := range all {
		c.takeCode(before[name])
		with[name] = c
	}
	return with
}

func (c *ServiceConfig) takeCode(of ServiceConfig) {
	from := of.groups()
	for i, g := range c.groups() {
		for j, v := range g.inCode {
			if to := reflect.ValueOf(v).Elem(); to.IsZero() {
				to.Set(reflect.ValueOf(from[i].inCode[j]).Elem())
			}
		}
	}
}
