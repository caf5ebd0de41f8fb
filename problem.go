package tidegate

import (
	"errors"
	"fmt"

	"github.com/tidegate-go/tidegate/policies"
)

// A problem is a setting that cannot be, of one service or of every breaker.
type problem struct {
	service     string
	template    bool     // the service is a template
	bases       []string // the templates that it has settings from, the nearest first
	everywhere  bool
	group, key  string
	value       any
	says        string // and then the name of other, if there is one
	other       string // the key of the setting that it contradicts
	setting     setting
	canBeOff    bool
	fix         string   // instead of what is allowed
	rule        string   // of middleware.Chain.Check
	settings    []string // of the service, of which the first that is given is where it is wrong
	allowed     string   // empty: what the setting allows
	completedBy []string // the keys of settings of which one, if given, might settle it
	err         *policies.SettingError
}

// contradicts makes the problem one of two settings.
func (p *problem) contradicts(other setting, relation, allowed string) {
	p.says = fmt.Sprintf("%v is %s %v, the value of", p.value, relation, other.current())
	p.allowed = fmt.Sprintf(allowed, other.current())
	p.other = other.key
}

// incomplete reports whether something is missing rather than wrong.
func (p problem) incomplete() bool { return len(p.completedBy) > 0 }

// path returns the key in the file of a setting in the group of the problem.
func (p problem) path(key string) string {
	path := join("services", p.service)
	if p.template {
		path = join("templates", p.service)
	}
	if p.everywhere {
		path = ""
		for _, v := range forEveryBreaker {
			if v.setting == key {
				return join("retries", v.key)
			}
		}
	}
	for _, part := range []string{p.group, key} {
		if part != "" {
			path = join(path, part)
		}
	}
	return path
}

// places returns the keys in the file under which a setting in the group of the problem may
// be given, the first that is there counts.
func (p problem) places(key string) []string {
	places := []string{p.path(key)}
	for _, base := range p.bases {
		p.service, p.template = base, true
		places = append(places, p.path(key))
	}
	return places
}

// configError returns the error of the problem. find tells where a setting of its
// group was given.
func (p problem) configError(find func(p problem, key string) origin) *ConfigError {
	at := find(p, p.key)
	e := &ConfigError{
		Source: at.source, Line: at.line, Column: at.column, Key: at.key,
		Problem: p.says, Allowed: p.allowed, Fix: p.fix, Rule: p.rule, Settings: p.settings,
	}
	if p.err != nil {
		e.Err = p.err
	}
	if p.allowed == "" && p.fix == "" {
		inCode := at.source == ""
		e.Allowed = p.setting.allows(p.canBeOff && (inCode || p.key == ""), inCode)
	}
	if p.other != "" {
		other := find(p, p.other)
		e.Problem += " " + other.String()
		if e.Line == 0 && e.Source == other.source { // what is missing stands nowhere
			e.Line, e.Column = other.line, other.column
		}
	}
	return e
}

// An origin is where a setting was given.
type origin struct {
	source, key  string
	line, column int
}

// inCode is the origin of a setting in a Config that was not loaded.
func inCode(p problem, key string) origin { return origin{key: p.path(key)} }

// String names the setting and its line.
func (o origin) String() string {
	if o.line > 0 {
		return fmt.Sprintf("%s in line %d", o.key, o.line)
	}
	return o.key
}

// settingErrors returns the setting errors that err consists of.
func settingErrors(err error) []*policies.SettingError {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*policies.SettingError
		for _, e := range joined.Unwrap() {
			all = append(all, settingErrors(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*policies.SettingError](err); ok {
		return []*policies.SettingError{e}
	}
	// A Validate that says something else is heard too.
	return []*policies.SettingError{{Allowed: err.Error()}}
}
