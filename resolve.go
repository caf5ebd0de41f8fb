package tidegate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tidegate-go/tidegate/policies"
)

// resolve returns the settings in force for each service. They are complete only
// without problems.
func (c Config) resolve() (map[string]ServiceConfig, []problem) {
	defaults, problems := c.Breaker, resolveDefaults(c.Breaker)
	if len(problems) > 0 {
		defaults = policies.BreakerConfig{} // said once
	}
	services := make(map[string]ServiceConfig, len(c.Services))
	broken := len(problems) > 0
	for _, name := range sortedKeys(c.Services) {
		s, ps := c.Services[name].resolve(name, defaults)
		services[name] = s
		for _, p := range ps {
			if !broken || !p.incomplete() { // or the defaults may complete it, once they are right
				problems = append(problems, p)
			}
		}
	}
	return services, problems
}

// resolveDefaults checks the settings of every breaker by themselves. What a service
// may still complete is none of their problems.
func resolveDefaults(defaults policies.BreakerConfig) []problem {
	_, problems := ServiceConfig{}.resolve("breaker", defaults)
	problems = slices.DeleteFunc(problems, problem.incomplete)
	for i := range problems {
		problems[i].everywhere = true
	}
	return problems
}

// resolve returns the settings in force for the service of the given name:
// c over the defaults over the preset over the standard.
func (c ServiceConfig) resolve(name string, defaults policies.BreakerConfig) (ServiceConfig, []problem) {
	var problems []problem
	if says := checkName(name); says != "" {
		problems = append(problems, problem{service: name, says: says, allowed: allowedName})
	}
	preset, ok := c.Preset.config(name)
	if !ok {
		problems = append(problems, problem{
			service: name, group: "preset", value: c.Preset,
			says:    fmt.Sprintf("%q is no preset%s", string(c.Preset), suggest(string(c.Preset), presetNames())),
			allowed: strings.Join(presetNames(), ", "),
		})
	}
	given := ServiceConfig{Breaker: defaults}
	for i, g := range given.groups() {
		g.layer(c.groups()[i])
	}

	out, standard := preset, standard()
	for i, g := range out.groups() {
		over := given.groups()[i]
		if g.off() && over.given() {
			g.replace(standard.groups()[i])
		}
		g.layer(over)
		if g.off() {
			continue
		}
		g.yield(over)
		out.leaveTimeForHealthCheck(given)
		problems = append(problems, g.check(name, over)...)
	}
	return out, problems
}

// leaveTimeForHealthCheck makes the time until probes longer than the timeout of the
// breaker, as package policies does, if nobody says what it is.
func (c *ServiceConfig) leaveTimeForHealthCheck(given ServiceConfig) {
	b := &c.Breaker
	if b.HealthCheck == nil || given.Breaker.RecoveryTime != 0 || b.RecoveryTime > b.Timeout || b.Timeout > math.MaxInt64/2 {
		return
	}
	b.RecoveryTime = 2 * b.Timeout
	switch most := given.Breaker.MaxRecoveryTime; {
	case most > b.Timeout:
		b.RecoveryTime = min(b.RecoveryTime, most)
	case b.MaxRecoveryTime > 0:
		b.MaxRecoveryTime = max(b.MaxRecoveryTime, b.RecoveryTime)
	}
}

// check returns what the policy's own Validate says against the settings, once for
// each. One that is not given can be missing, but if it is wrong it gave way to one
// that is.
func (g group) check(service string, given group) []problem {
	var problems, following []problem
	said := map[string]bool{}
	for _, e := range settingErrors(g.validate()) {
		if said[e.Field] {
			continue
		}
		said[e.Field] = true
		p := problem{service: service, group: g.key, value: e.Value, says: fmt.Sprintf("%v is out of range", e.Value), err: e}
		for i, s := range g.settings {
			if s.field == e.Field {
				p.key, p.setting, p.canBeOff = s.key, s, i == 0
			}
		}
		follows := !g.explain(&p, e.Allowed) || p.setting.value != nil && !p.incomplete() && !given.gives(p.key)
		if follows {
			following = append(following, p)
		} else {
			problems = append(problems, p)
		}
	}
	if len(problems) == 0 {
		return following
	}
	return problems
}
