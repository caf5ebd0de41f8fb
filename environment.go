package tidegate

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
)

// forEveryBreaker lists the settings of all breakers: the key under retries, the
// variable and the setting of the breaker.
var forEveryBreaker = []struct{ key, variable, setting string }{
	{"circuit_breaker_threshold", "CIRCUIT_BREAKER_THRESHOLD", "failure_threshold"},
	{"circuit_breaker_timeout", "CIRCUIT_BREAKER_TIMEOUT", "timeout"},
	{"circuit_breaker_recovery_time", "CIRCUIT_BREAKER_RECOVERY_TIME", "recovery_time"},
}

// prefix begins the names of the variables that follow from the keys of the file.
const prefix = "TIDEGATE"

// Variable returns the name of the environment variable for a key of the file:
// TIDEGATE_SERVICES_MY_STORE_BREAKER_TIMEOUT for services.my-store.breaker.timeout. What is no
// letter and no digit is an underscore; quotes around a name are left out.
func Variable(key string) string {
	return prefix + "_" + strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToUpper(r)
		case r == '"':
			return -1
		default:
			return '_'
		}
	}, key)
}

// An environment reads the variables.
type environment struct {
	*decoder
	lookup func(string) (string, bool)
	stands map[string]string // the key that a variable stands for
}

// environment lets the variables win over what the file says. An empty variable
// says nothing.
func (d *decoder) environment(config *Config, lookup func(string) (string, bool)) {
	if lookup == nil {
		return
	}
	e := environment{decoder: d, lookup: lookup, stands: map[string]string{}}
	sections := map[string]map[string]ServiceConfig{"services": config.Services, "templates": config.Templates}
	variables := map[string]map[string]ServiceConfig{}
	for _, section := range sortedKeys(sections) {
		variables[section] = map[string]ServiceConfig{}
		for _, name := range sortedKeys(sections[section]) {
			variables[section][name] = e.service(join(section, name))
		}
	}
	e.everyBreaker(config, sections, variables)
	for section, services := range sections { // what is said of one wins over what is said of all
		for name, c := range services {
			own := variables[section][name]
			over := own.groups()
			for i, g := range c.groups() {
				g.stack(over[i])
			}
			c.Base, c.Preset = cmp.Or(own.Base, c.Base), cmp.Or(own.Preset, c.Preset)
			services[name] = c
		}
	}
}

func (e *environment) value(variable string) string {
	if text, ok := e.lookup(variable); ok {
		return text
	}
	return ""
}

// text returns the value of the variable of a key, or "".
func (e *environment) text(key string) string {
	variable := Variable(key)
	text := e.value(variable)
	if other := e.stands[variable]; text != "" && other != "" && other != key {
		e.report(&ConfigError{
			Source: "environment", Key: variable, Problem: fmt.Sprintf("it stands for %s and for %s", other, key),
			Allowed: "names that differ in more than punctuation and case",
		})
		return ""
	}
	e.stands[variable] = key
	return text
}

// service returns what the variables say of one service, or template.
func (e *environment) service(path string) (c ServiceConfig) {
	for key, to := range map[string]*string{"base": &c.Base, "preset": (*string)(&c.Preset)} {
		if *to = e.text(join(path, key)); *to != "" {
			e.found(join(path, key), join(path, key))
		}
	}
	for _, g := range c.groups() {
		at := join(path, g.key)
		switch text := e.text(at); {
		case (text == "off" || text == "false") && !g.flag:
			g.switchOff()
			e.found(at+strings.TrimSuffix("."+g.settings[0].key, "."), at)
			continue
		case text != "" && g.settings[0].key != "":
			e.report(&ConfigError{
				Source: "environment", Key: Variable(at), Problem: quote(text) + " is no value for a policy",
				Allowed: "off, or a variable for one of its settings: " + strings.Join(sorted(g.keys()), ", "),
			})
			continue
		}
		for _, s := range g.settings {
			if s.key != "" {
				e.setting(join(at, s.key), join(at, s.key), g, s)
				continue
			}
			e.setting(at, at, g, s)
			if g.short != "" {
				e.setting(at, join(at, g.short), g, s)
			}
		}
	}
	return c
}

// found remembers that the setting with that key was given by the variable of another.
func (e *environment) found(key, by string) {
	e.written[key] = origin{source: "environment", key: Variable(by)}
}

func (e *environment) setting(key, by string, g group, s setting) {
	text := e.text(by)
	if text == "" {
		return
	}
	canBeOff := s.key == "" && !g.flag
	if says := s.parse(text); says != "" {
		e.report(&ConfigError{Source: "environment", Key: Variable(by), Problem: says, Allowed: s.allows(canBeOff, false)})
		return
	}
	g.say(s)
	if g.has(s) {
		e.found(key, by)
	}
}

// everyBreaker reads the variables for the breakers of all services, which win over what the
// file says of each. own are those of one.
func (e *environment) everyBreaker(config *Config, sections, own map[string]map[string]ServiceConfig) {
	var c ServiceConfig
	variables, origins := c.group("breaker"), map[string]origin{}
	for _, v := range forEveryBreaker {
		text, variable := e.text(join("retries", v.key)), Variable(join("retries", v.key))
		if short := e.value(v.variable); short != "" {
			text, variable = short, v.variable
		}
		if text == "" {
			continue
		}
		setting := variables.find(v.setting)
		if says := setting.parse(text); says != "" {
			e.report(&ConfigError{Source: "environment", Key: variable, Problem: says, Allowed: setting.allows(false, false)})
		}
		if setting.given() {
			origins[v.setting] = origin{source: "environment", key: variable}
			e.written[join("retries", v.key)] = origins[v.setting]
		}
	}
	all := ServiceConfig{Breaker: config.Breaker}
	all.group("breaker").overlay(variables)
	config.Breaker = all.Breaker
	for section, services := range sections {
		for name, s := range services {
			c := own[section][name]
			breaker, wins := s.group("breaker"), c.group("breaker")
			if breaker.off() {
				continue
			}
			for i, v := range variables.settings {
				if !v.given() || !breaker.settings[i].given() {
					continue
				}
				breaker.settings[i].set(v.current())
				if !wins.settings[i].given() {
					e.written[join(join(join(section, name), "breaker"), v.key)] = origins[v.key]
				}
			}
			services[name] = s
		}
	}
}

// firstOf returns where the first of the settings of a problem was given, for its service or
// by a template. The key is that of the service, or of the variable, if that is of the service.
func (d *decoder) firstOf(p problem) (origin, bool) {
	service := p.path("")
	for i := range len(p.bases) + 1 {
		for _, setting := range p.settings {
			p.group, p.key, _ = strings.Cut(setting, ".")
			at, ok := d.written[p.places(p.key)[i]]
			if at.line > 0 {
				at.key = service
			}
			if ok && (i == 0 || at.line > 0) {
				return at, true
			}
		}
	}
	return origin{}, false
}

// origin returns where the setting of a problem was given: by the environment, for
// its service, by a template, or for every breaker.
func (d *decoder) origin(p problem, key string) origin {
	if at, ok := d.firstOf(p); ok {
		return at
	}
	keys := p.places(key)
	if p.group == "breaker" {
		everywhere := p
		everywhere.everywhere = true
		keys = append(keys, everywhere.path(key))
	}
	if p.other == "" {
		keys = append(keys, p.places("")...) // what is missing stands nowhere, but its policy does
	}
	for _, k := range keys {
		if at, ok := d.written[k]; ok {
			return at
		}
	}
	return origin{source: d.name, key: p.path(key)}
}
