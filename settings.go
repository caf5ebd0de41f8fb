package tidegate

import (
	"reflect"
	"slices"
	"strings"
)

// A setting is one field of a ServiceConfig and its key in the file.
type setting struct {
	key     string // empty for the only setting of a group
	field   string // in the settings of package policies
	value   any    // a pointer into the ServiceConfig: *int, *uint64, *float64, *time.Duration, *bool, or what has words
	allowed string
	words   []string // the names of the values, which count from 0
	none    bool     // Off means none, and so does a 0 in the file
	zero    string   // what a 0 is, unless it is the default
}

func (s setting) elem() reflect.Value { return reflect.ValueOf(s.value).Elem() }

func (s setting) given() bool { return !s.elem().IsZero() }

func (s setting) set(v any) { s.elem().Set(reflect.ValueOf(v).Convert(s.elem().Type())) }

func (s setting) clear() { s.elem().SetZero() }

func (s setting) current() any { return s.elem().Interface() }

// positive reports whether the setting, a number, is above 0.
func (s setting) positive() bool {
	v := s.elem()
	return v.CanInt() && v.Int() > 0 || v.CanFloat() && v.Float() > 0
}

// below reports whether the setting, a number above 0, is less than other.
func (s setting) below(other setting) bool {
	if v := s.elem(); v.CanFloat() {
		return s.positive() && v.Float() < other.elem().Float()
	}
	return s.positive() && s.elem().Int() < other.elem().Int()
}

// switches reports whether zero is one of the values of the setting, and not the default.
func (s setting) switches() bool {
	return s.zero != "" || s.words != nil || s.elem().Kind() == reflect.Bool
}

func (g group) off() bool {
	if g.flag {
		return false
	}
	v := g.settings[0].elem()
	return v.Equal(reflect.ValueOf(Off).Convert(v.Type()))
}

func (g group) switchOff() { g.settings[0].set(Off) }

func (g group) given() bool { return slices.ContainsFunc(g.settings, g.has) }

// gives reports whether g gives one of the settings a value that is not zero.
func (g group) gives(keys ...string) bool {
	return slices.ContainsFunc(g.settings, func(s setting) bool { return slices.Contains(keys, s.key) && s.given() })
}

// has reports whether g gives the setting: it is not zero, or the file says that it is.
func (g group) has(s setting) bool { return s.given() || g.says(s) }

func (g group) says(s setting) bool { return slices.Contains(*g.said, g.key+"."+s.key) }

// say remembers that the file gives the setting, if it is zero.
func (g group) say(s setting) {
	name := g.key + "." + s.key
	switch i, there := slices.BinarySearch(*g.said, name); {
	case there && s.given():
		g.unsay(func(other string) bool { return other == name })
	case !there && !s.given() && s.switches():
		*g.said = slices.Insert(slices.Clone(*g.said), i, name) // another ServiceConfig may have the same
	}
}

func (g group) unsay(which func(name string) bool) {
	var others []string // nil if there are none, so that Configs which say the same are equal
	for _, name := range *g.said {
		if !which(name) {
			others = append(others, name)
		}
	}
	*g.said = others
}

// unsayAll forgets what the file gives of the group.
func (g group) unsayAll() {
	g.unsay(func(name string) bool { return strings.HasPrefix(name, g.key+".") })
}

// layer puts over above g.
func (g group) layer(over group) {
	if over.off() {
		g.replace(over)
	} else {
		g.overlay(over)
	}
}

// stack puts over above g, as the settings of a service above those of its template.
func (g group) stack(over group) {
	if g.off() && over.given() {
		g.clear()
	}
	g.layer(over)
	for i, s := range g.settings { // what over leaves without meaning
		if needed := needs[s.key]; g.key == "breaker" && needed != nil && !over.has(over.settings[i]) && over.speaksOf(needed...) && !g.gives(needed...) {
			s.clear()
		}
	}
}

// speaksOf reports whether g gives one of the settings, even if it is zero.
func (g group) speaksOf(keys ...string) bool {
	return slices.ContainsFunc(g.settings, func(s setting) bool { return slices.Contains(keys, s.key) && g.has(s) })
}

// overlay sets what over gives.
func (g group) overlay(over group) {
	for i, s := range over.settings {
		if over.has(s) {
			g.settings[i].set(s.current())
			g.say(g.settings[i])
		}
	}
	for i, v := range over.inCode {
		if from := reflect.ValueOf(v).Elem(); !from.IsZero() {
			reflect.ValueOf(g.inCode[i]).Elem().Set(from)
		}
	}
}

func (g group) clear() {
	for _, s := range g.settings {
		s.clear()
	}
	g.unsayAll()
}

// replace makes every setting the one of with.
func (g group) replace(with group) {
	for i, s := range with.settings {
		g.settings[i].set(s.current())
	}
	g.unsayAll()
}

func (g group) find(key string) setting {
	for _, s := range g.settings {
		if s.key == key {
			return s
		}
	}
	return setting{}
}
