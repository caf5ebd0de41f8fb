package tidegate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// isOff reports whether n switches a policy off. It may be written as off or as
// false, which other YAML tools make of it.
func isOff(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&yaml.TaggedStyle == 0 && (n.Value == "off" || n.Value == "false")
}

// scalar reads the value of a setting.
func (d *decoder) scalar(n *yaml.Node, path string, s setting, canBeOff bool) {
	to := follow(n)
	if canBeOff && isOff(to) {
		s.set(Off)
		return
	}
	var says string
	switch {
	case to.Kind != yaml.ScalarNode:
		says = describe(to) + " is not a value"
	case to.Style&yaml.TaggedStyle != 0:
		says = fmt.Sprintf("the tag %s is not understood", quote(to.Tag))
	case to.ShortTag() == "!!null":
		says = "the value is missing"
	default:
		says = s.parse(to.Value)
	}
	if says != "" {
		d.broken[path] = true
		d.wrong(n, path, says, s.allows(canBeOff, false))
	}
}

// parse sets the setting to what text says, or returns what is wrong with it.
func (s setting) parse(text string) string {
	says := s.read(text)
	switch {
	case says != "":
		s.elem().SetZero()
	case s.none && !s.given():
		s.set(Off)
	}
	return says
}

func (s setting) read(text string) string {
	var wanted string
	var err error
	var negative bool
	switch v := s.value.(type) {
	case *int:
		wanted = "a whole number"
		*v, err = strconv.Atoi(text)
		if err == nil && text != strconv.Itoa(*v) {
			err = strconv.ErrSyntax // 010 and +10
		}
		negative = *v < 0
	case *float64:
		wanted = "a number"
		*v, err = strconv.ParseFloat(text, 64)
		if math.IsNaN(*v) || err == nil && (math.IsInf(*v, 0) || strings.ContainsAny(text, "xX_+")) {
			err = strconv.ErrSyntax
		}
		if share, percent := strings.CutSuffix(text, "%"); percent && s.isPart() {
			if v, err := strconv.ParseFloat(share, 64); err == nil {
				return quote(text) + " is not a number" + s.percent(v)
			}
		}
		negative = *v < 0
	case *time.Duration:
		wanted = "a duration"
		*v, err = time.ParseDuration(text)
		if seconds, number := time.ParseDuration(text + "s"); err != nil && number == nil {
			if seconds < 0 {
				return quote(text) + " is negative"
			}
			return fmt.Sprintf("%s has no unit, write %s for seconds or %s for milliseconds", quote(text), quote(text+"s"), quote(text+"ms"))
		}
		negative = *v < 0
	case *bool:
		wanted = "a boolean"
		if *v = text == "true"; !*v && text != "false" {
			err = strconv.ErrSyntax
		}
	case *uint64:
		wanted = "a whole number"
		*v, err = strconv.ParseUint(text, 10, 64)
		if err == nil && text != strconv.FormatUint(*v, 10) {
			err = strconv.ErrSyntax
		}
		if _, signed := strconv.ParseInt(text, 10, 64); err != nil && signed == nil {
			return quote(text) + " is negative"
		}
	default:
		i := slices.Index(s.words, text)
		if i < 0 {
			return quote(text) + " is no such word" + suggest(text, s.words)
		}
		s.set(i)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return quote(text) + " is too large"
	case err != nil:
		return quote(text) + " is not " + wanted
	case negative:
		return quote(text) + " is negative"
	}
	return ""
}

// allows says what the setting may be, in the file or in code.
func (s setting) allows(canBeOff, inCode bool) string {
	if _, ok := s.value.(*bool); ok {
		return s.allowed
	}
	if s.words != nil {
		return strings.Join(s.words, ", ")
	}
	off, zero := "off", cmp.Or(s.zero, "0 for the default")
	if inCode {
		off = "Off"
	}
	switch {
	case s.none && inCode:
		zero = "Off for none"
	case s.none:
		zero = "0 for none"
	}
	text := s.allowed + ", or " + zero
	if canBeOff {
		text += ", or " + off
	}
	return text
}
