package tidegate

import (
	"errors"
	"fmt"

	"github.com/tidegate-go/tidegate/policies"
)

// A problem is a setting that cannot be, of one service or of every breaker.
type problem struct {
	service    string
	everywhere bool
	group, key string
	value      any
	says       string
	below      string // the key of the setting that it must not be below, if that is it
	bound      any    // the value of that
	setting    setting
	canBeOff   bool
	allowed    string // empty: what the setting allows
	err        error
}

// path returns the key in the file of a setting in the group of the problem.
func (p problem) path(key string) string {
	path := join("services", p.service)
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

// configError returns the error of the problem. find tells where a setting of its
// group was given.
func (p problem) configError(find func(p problem, key string) origin) *ConfigError {
	at := find(p, p.key)
	e := &ConfigError{
		Source: at.source, Line: at.line, Column: at.column, Key: at.key,
		Problem: p.says, Allowed: p.allowed, Err: p.err,
	}
	if p.allowed == "" {
		inCode := at.source == ""
		e.Allowed = p.setting.allows(p.canBeOff && (inCode || p.key == ""), inCode)
	}
	if p.below != "" {
		e.Problem = fmt.Sprintf("%v is below %v, the value of %s", p.value, p.bound, find(p, p.below))
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
