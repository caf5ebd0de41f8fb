package tidegate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// resolve returns the settings in force for each service. They are complete only
// without problems.
func (c Config) resolve() (map[string]ServiceConfig, []problem) {
	common, problems := c.common(), resolveDefaults(c.Breaker)
	broken := len(problems) > 0
	if broken {
		common.breaker = policies.BreakerConfig{} // said once
	}
	problems = append(problems, common.check()...)
	services := make(map[string]ServiceConfig, len(c.Services))
	for _, name := range sortedKeys(c.Services) {
		s, ps := c.Services[name].resolve(name, common)
		services[name] = s
		if len(ps) == 0 && !broken {
			ps = s.compose(name)
			bases, _ := c.Services[name].bases(common)
			for i := range ps {
				ps[i].bases = bases
			}
		}
		for _, p := range ps {
			if !broken || !p.incomplete() { // or the defaults may complete it, once they are right
				problems = append(problems, p)
			}
		}
	}
	return services, problems
}

// A common is what the services of a Config have in common.
type common struct {
	breaker   policies.BreakerConfig
	templates map[string]ServiceConfig
}

func (c Config) common() common { return common{breaker: c.Breaker, templates: c.Templates} }

// check checks the templates by themselves. What a service may still complete is none of
// their problems.
func (c common) check() []problem {
	var problems []problem
	for _, name := range sortedKeys(c.templates) {
		template := c.templates[name]
		_, ps := template.resolve(name, common{templates: c.templates})
		for _, p := range ps {
			p.template = true
			if !p.incomplete() {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// maxBases is how many templates may stand on top of each other: far more than anybody can
// look through.
const maxBases = 16

// bases returns the names of the templates that c has settings from, the nearest first, or
// what is wrong with the Base of c, or, where it is that of a template further down, with
// the Base of that one.
func (c ServiceConfig) bases(common common) (bases []string, wrong *problem) {
	for base := c.Base; base != ""; base = common.templates[base].Base {
		_, ok := common.templates[base]
		at := slices.Index(bases, base)
		switch {
		case !ok:
			p := problem{value: base, says: fmt.Sprintf("%q is no template%s", base, suggest(base, sortedKeys(common.templates)))}
			if len(bases) > 0 {
				p.service, p.template = bases[len(bases)-1], true
			}
			return nil, &p
		case at >= 0: // which is said of one of the circle, of the same one each time
			circle := bases[at:]
			first := slices.Min(circle)
			circle = append(circle[slices.Index(circle, first)+1:], circle[:slices.Index(circle, first)+1]...)
			return nil, &problem{
				service: first, template: true, value: circle[0],
				says: fmt.Sprintf("%q goes round in a circle: %s", circle[0], strings.Join(append(circle, circle[0]), ", ")),
			}
		case len(bases) == maxBases:
			return nil, &problem{value: c.Base, says: fmt.Sprintf("%q stands on %d templates and more", c.Base, maxBases), fix: "put what they say into fewer"}
		}
		bases = append(bases, base)
	}
	return bases, nil
}

// stack returns the settings that c and its bases give, c above its base above the base
// of that.
func (c ServiceConfig) stack(common common, bases []string) (given ServiceConfig) {
	layers := []ServiceConfig{c}
	for _, base := range bases {
		layers = append(layers, common.templates[base])
	}
	for _, layer := range slices.Backward(layers) {
		over := layer.groups()
		for i, g := range given.groups() {
			g.stack(over[i])
		}
		given.Preset = cmp.Or(layer.Preset, given.Preset)
	}
	given.Base = c.Base
	return given
}

// resolveDefaults checks the settings of every breaker by themselves. What a service
// may still complete is none of their problems.
func resolveDefaults(defaults policies.BreakerConfig) []problem {
	_, problems := ServiceConfig{}.resolve("breaker", common{breaker: defaults})
	problems = slices.DeleteFunc(problems, problem.incomplete)
	for i := range problems {
		problems[i].everywhere = true
	}
	return problems
}

// resolve returns the settings in force for the service of the given name:
// c over its bases over the defaults over the preset over the standard.
func (c ServiceConfig) resolve(name string, common common) (ServiceConfig, []problem) {
	var problems []problem
	if says := checkName(name); says != "" {
		problems = append(problems, problem{service: name, says: says, allowed: allowedName})
	}
	bases, wrong := c.bases(common)
	if wrong != nil {
		wrong.service, wrong.group = cmp.Or(wrong.service, name), "base"
		if wrong.fix == "" {
			wrong.allowed = cmp.Or(strings.Join(sortedKeys(common.templates), ", "), "a name under templates, of which there are none")
		}
		problems = append(problems, *wrong)
	}
	own := c.stack(common, bases)
	preset, ok := own.Preset.config(name)
	if !ok {
		problems = append(problems, problem{
			service: name, bases: bases, group: "preset", value: own.Preset,
			says:    fmt.Sprintf("%q is no preset%s", string(own.Preset), suggest(string(own.Preset), presetNames())),
			allowed: strings.Join(presetNames(), ", "),
		})
	}
	given := ServiceConfig{Breaker: common.breaker}
	overs, owns := given.groups(), own.groups()
	for i, g := range overs {
		g.layer(owns[i])
	}

	out, standard := preset, standard()
	out.Base = c.Base
	whole := standard.groups()
	for i, g := range out.groups() {
		over := overs[i]
		if g.off() && over.given() {
			g.replace(whole[i])
		}
		g.layer(over)
		if g.off() || g.flag {
			continue
		}
		g.yield(over)
		out.leaveTimeForHealthCheck(given)
		problems = append(problems, g.check(name, bases, over)...)
	}
	out.fitAttempts(given)
	if wrong != nil { // what is missing may be in the base
		problems = slices.DeleteFunc(problems, problem.incomplete)
	}
	return out, problems
}

// fitAttempts makes the limits for the whole call and for each attempt agree, if only one of
// them is given: so that there is time for each attempt.
func (c *ServiceConfig) fitAttempts(given ServiceConfig) {
	attempts := int64(max(c.Retry.Attempts, 1))
	switch total, attempt := given.Timeout > 0, given.AttemptTimeout > 0; {
	case c.Timeout <= 0, c.AttemptTimeout < c.Timeout, total == attempt:
	case total && attempts > 1:
		c.AttemptTimeout = max(time.Duration(int64(c.Timeout)/attempts), 1)
		if c.AttemptTimeout > time.Second {
			c.AttemptTimeout = c.AttemptTimeout.Truncate(time.Millisecond)
		}
	case total:
		c.AttemptTimeout = Off
	case int64(c.AttemptTimeout) <= math.MaxInt64/(attempts+1):
		c.Timeout = time.Duration(int64(c.AttemptTimeout) * max(attempts, 2))
	default:
		c.Timeout = Off
	}
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
func (g group) check(service string, bases []string, given group) []problem {
	var problems, following []problem
	said := map[string]bool{}
	for _, e := range settingErrors(g.validate()) {
		if said[e.Field] {
			continue
		}
		said[e.Field] = true
		p := problem{service: service, bases: bases, group: g.key, value: e.Value, says: fmt.Sprintf("%v is out of range", e.Value), err: e}
		for i, s := range g.settings {
			if s.field == e.Field {
				p.key, p.setting, p.canBeOff = s.key, s, i == 0
			}
		}
		if v, ok := e.Value.(float64); ok {
			p.says += p.setting.percent(v)
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
