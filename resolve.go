package tidegate

import (
	"fmt"
	"strings"

	"github.com/tidegate-go/tidegate/policies"
)

// A limit is a pair of settings of which one bounds the other.
type limit struct{ group, low, high string }

var limits = []limit{
	{"retry", "delay", "max_delay"},
	{"breaker", "timeout", "recovery_time"},
}

// yield makes the setting of a limit that is not given agree with the one that is.
func (l limit) yield(g, given group) {
	low, high := g.find(l.low), g.find(l.high)
	if high.elem().Int() <= 0 || high.elem().Int() >= low.elem().Int() {
		return
	}
	switch {
	case given.find(l.low).given() && !given.find(l.high).given():
		high.set(low.current())
	case given.find(l.high).given() && !given.find(l.low).given():
		low.set(high.current())
	}
}

// resolve returns the settings in force for each service. They are complete only
// without problems.
func (c Config) resolve() (map[string]ServiceConfig, []problem) {
	defaults, problems := c.Breaker, resolveDefaults(c.Breaker)
	if len(problems) > 0 {
		defaults = policies.BreakerConfig{} // said once
	}
	services := make(map[string]ServiceConfig, len(c.Services))
	for _, name := range sortedKeys(c.Services) {
		s, ps := c.Services[name].resolve(name, defaults)
		services[name] = s
		problems = append(problems, ps...)
	}
	return services, problems
}

// resolveDefaults checks the settings of every breaker by themselves.
func resolveDefaults(defaults policies.BreakerConfig) []problem {
	_, problems := ServiceConfig{}.resolve("breaker", defaults)
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
		for _, l := range limits {
			if l.group == g.key {
				l.yield(g, over)
			}
		}
		if !g.off() {
			problems = append(problems, g.check(name)...)
		}
	}
	return out, problems
}

// check returns what the policy's own Validate says against the settings.
func (g group) check(service string) []problem {
	var problems []problem
	for _, e := range settingErrors(g.validate()) {
		p := problem{service: service, group: g.key, value: e.Value, says: fmt.Sprintf("%v is out of range", e.Value), err: e}
		for i, s := range g.settings {
			if s.field == e.Field {
				p.key, p.setting, p.canBeOff = s.key, s, i == 0
			}
		}
		for _, l := range limits {
			low, high := g.find(l.low), g.find(l.high)
			if l.group == g.key && l.high == p.key && high.elem().Int() > 0 && high.elem().Int() < low.elem().Int() {
				p.below, p.bound = l.low, low.current()
				p.allowed = fmt.Sprintf("%v or more", low.current())
			}
		}
		problems = append(problems, p)
	}
	return problems
}
