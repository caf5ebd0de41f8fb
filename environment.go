package tidegate

// forEveryBreaker lists the settings of all breakers: the key under retries, the
// variable and the setting of the breaker.
var forEveryBreaker = []struct{ key, variable, setting string }{
	{"circuit_breaker_threshold", "CIRCUIT_BREAKER_THRESHOLD", "failure_threshold"},
	{"circuit_breaker_timeout", "CIRCUIT_BREAKER_TIMEOUT", "timeout"},
	{"circuit_breaker_recovery_time", "CIRCUIT_BREAKER_RECOVERY_TIME", "recovery_time"},
}

// environment lets the variables win over what the file says. An empty variable
// says nothing.
func (d *decoder) environment(config *Config, lookup func(string) (string, bool)) {
	if lookup == nil {
		return
	}
	var c ServiceConfig
	variables := c.breaker()
	for _, v := range forEveryBreaker {
		text, _ := lookup(v.variable)
		if text == "" {
			continue
		}
		setting := variables.find(v.setting)
		if says := setting.parse(text); says != "" {
			d.report(&ConfigError{Source: "environment", Key: v.variable, Problem: says, Allowed: setting.allows(false, false)})
		}
		if setting.given() {
			d.written[v.variable] = origin{source: "environment", key: v.variable}
		}
	}
	all := ServiceConfig{Breaker: config.Breaker}
	all.breaker().overlay(variables)
	config.Breaker = all.Breaker
	for name, s := range config.Services {
		breaker := s.breaker()
		if breaker.off() {
			continue
		}
		for i, v := range variables.settings {
			if v.given() && breaker.settings[i].given() {
				breaker.settings[i].set(v.current())
			}
		}
		config.Services[name] = s
	}
}

// origin returns where the setting of a problem was given: by the environment, for
// its service, or for every breaker.
func (d *decoder) origin(p problem, key string) origin {
	keys := []string{p.path(key)}
	if p.group == "breaker" {
		everywhere := p
		everywhere.everywhere = true
		keys = append(keys, everywhere.path(key))
		for _, v := range forEveryBreaker {
			if v.setting == key {
				keys = append([]string{v.variable}, keys...)
			}
		}
	}
	for _, k := range keys {
		if at, ok := d.written[k]; ok {
			return at
		}
	}
	return origin{source: d.name, key: p.path(key)}
}
