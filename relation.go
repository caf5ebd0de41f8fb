package tidegate

import (
	"fmt"
	"slices"
	"strings"
)

// A limit is a relation of two settings: low must not be above high. Validate
// blames high, or low if blamesLow.
type limit struct {
	group, low, high string
	blamesLow        bool
}

// limits are in the order in which settings give way.
var limits = []limit{
	{group: "retry", low: "delay", high: "max_delay"},
	{group: "breaker", low: "recovery_time", high: "max_recovery_time"},
	{group: "breaker", low: "timeout", high: "max_recovery_time"},
	{group: "breaker", low: "timeout", high: "recovery_time"},
	{group: "breaker", low: "max_probes", high: "success_threshold", blamesLow: true},
	{group: "breaker", low: "min_calls", high: "window_calls", blamesLow: true},
	{group: "retry", low: "nested_attempts", high: "attempts", blamesLow: true},
	{group: "rate_limit", low: "min_rate", high: "rate", blamesLow: true},
	{group: "adaptive_limit", low: "min", high: "max"},
	{group: "adaptive_limit", low: "initial", high: "max"},
	{group: "adaptive_limit", low: "min", high: "initial"},
}

// meaningless lists settings that mean nothing without another one.
var meaningless = map[string]map[string]string{
	"rate_limit":     {"decrease": "min_rate", "recovery": "min_rate"},
	"bulkhead":       {"max_wait": "max_queue"},
	"adaptive_limit": {"max_wait": "max_queue"},
}

// rates make a breaker look at shares of its calls. needs lists what a setting is
// for: without any of these it means nothing.
var (
	rates = []string{"failure_rate", "slow_call"}
	needs = map[string][]string{
		"slow_rate":    {"slow_call"},
		"min_calls":    rates,
		"window":       rates,
		"buckets":      rates,
		"window_calls": rates,
	}
)

// yield makes the settings that are not given agree with those that are.
func (g group) yield(given group) {
	if g.key == "breaker" && given.gives(rates...) && !given.gives("failure_threshold") {
		g.find("failure_threshold").clear() // the rates come in its place
	}
	if g.key == "hedge" && given.gives("delay") { // it comes in place of the quantile
		for _, key := range []string{"quantile", "min_calls"} {
			if !given.gives(key) {
				g.find(key).clear()
			}
		}
	}
	for _, l := range limits {
		if l.group != g.key {
			continue
		}
		low, high := g.find(l.low), g.find(l.high)
		switch lowGiven, highGiven := given.gives(l.low), given.gives(l.high); {
		case lowGiven == highGiven, !high.below(low):
		case lowGiven:
			high.set(low.current())
		default:
			low.set(high.current())
		}
	}
}

// explain says which other settings a wrong one contradicts, if that is what is
// wrong with it; allowed are the words of Validate. It reports false for a problem
// that only follows from another one.
func (g group) explain(p *problem, allowed string) bool {
	switch {
	case g.key == "per_key" && p.err.Field == "Max" && p.err.Config == "PerKeyConfig":
		p.says = "it is not said of which policies there shall be one for each key"
		p.allowed = "true for one or more of breaker, rate_limit, bulkhead, adaptive_limit"
		p.canBeOff, p.completedBy = false, []string{"breaker", "rate_limit", "bulkhead", "adaptive_limit"}
		return true
	case g.key == "chaos" && p.key == "for" && !p.setting.given():
		p.says, p.completedBy = "it is not said for how long calls shall be disturbed", []string{p.key}
		p.allowed, p.canBeOff = p.setting.allowed, false
		return true
	}
	if other := g.find(meaningless[g.key][p.key]); other.key != "" && !other.positive() && p.setting.positive() {
		p.says, p.allowed = fmt.Sprintf("%v means nothing without %s", p.value, other.key), "to leave it out, or to give "+other.key
		p.completedBy = []string{other.key}
		return true
	}
	if delay := g.find("delay"); g.key == "hedge" && p.key != "delay" && p.key != "max_hedges" && delay.positive() && p.setting.positive() {
		p.says, p.other, p.allowed = fmt.Sprintf("%v contradicts", p.value), delay.key, "one of the two"
		return true
	}
	switch g.key {
	case "breaker":
	case "timeout", "retry", "rate_limit", "attempt_timeout", "per_key":
		g.explainLimits(p)
		return true
	default:
		if g.explainLimits(p); p.other == "" && p.setting.positive() {
			p.allowed = allowed // it may depend on other settings
		}
		return true
	}
	needed := needs[p.key]
	one := slices.IndexFunc(needed, func(key string) bool { return g.find(key).positive() })
	switch broken := one < 0 && g.gives(needed...); {
	case needed == nil:
	case broken && p.key != "slow_rate": // Validate asks only whether slow_call is there
		return false
	case one < 0 && !broken:
		names := strings.Join(needed, " or ")
		p.says, p.allowed = fmt.Sprintf("%v means nothing without %s", p.value, names), "to leave it out, or to give "+names
		p.completedBy = needed
		return true
	}
	g.explainLimits(p)
	switch timeout, calls := g.find("timeout"), g.find("window_calls"); {
	case p.other != "":
	case p.key == "min_calls" && !p.setting.given():
		p.says, p.other, p.allowed = "0 or not given, but needed by", needed[one], p.setting.allowed
		p.completedBy = []string{p.key}
	case (p.key == "window" || p.key == "buckets") && calls.positive():
		p.says, p.other, p.allowed = fmt.Sprintf("%v contradicts", p.value), calls.key, "one of the two"
	case p.key == "window":
		p.allowed = allowed // so much for each bucket
	case p.key == "recovery_time" && p.setting.positive() && p.value == timeout.current():
		p.contradicts(timeout, "not above", "more than %v, to leave time for the health check")
		p.completedBy = []string{p.key, timeout.key}
	}
	return true
}

// explainLimits does so for limits. Of two it names the stricter one.
func (g group) explainLimits(p *problem) {
	for _, l := range limits {
		if l.group != g.key {
			continue
		}
		low, high := g.find(l.low), g.find(l.high)
		switch {
		case !high.below(low):
		case l.blamesLow && p.key == l.low:
			p.contradicts(high, "above", "%v or less")
		case !l.blamesLow && p.key == l.high && (p.other == "" || !low.below(g.find(p.other))):
			p.contradicts(low, "below", "%v or more")
		}
	}
}
