package observability

import (
	"net/http"
	"slices"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Status is a word of the draft for health+json.
type Status string

// The statuses, from good to bad.
const (
	Pass Status = "pass" // all is well
	Warn Status = "warn" // there is something to look at; calls may be refused
	Fail Status = "fail" // do not send anything here
)

// worse returns the worse of two statuses.
func worse(a, b Status) Status {
	order := []Status{"", Pass, Warn, Fail}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

// A HealthReport says how the services of a [Manager] are.
type HealthReport struct {
	Status   Status          `json:"status"` // that of the worst service
	Time     time.Time       `json:"time"`
	Services []ServiceHealth `json:"services"` // in the order of the Manager
}

// ServiceHealth says how one service is.
type ServiceHealth struct {
	Name     string `json:"name"`
	Status   Status `json:"status"`
	Critical bool   `json:"critical,omitzero"`

	// Missing is set for a critical service that does not exist.
	Missing bool `json:"missing,omitzero"`

	// Policies are those that can refuse calls or let them wait: breakers, rate limits,
	// bulkheads, adaptive limits, throttles, deadlines and chaos. Of those that there are for each key only such are listed that are not well,
	// maxListedKeys at the most; Omitted is how many more of those there are.
	Policies []PolicyHealth `json:"policies,omitzero"`
	Omitted  int            `json:"omitted,omitzero"`
}

// PolicyHealth says how one policy is. What it does not have is zero.
type PolicyHealth struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Key    string `json:"key,omitzero"`
	Status Status `json:"status"`

	Running int `json:"running,omitzero"`
	Waiting int `json:"waiting,omitzero"`

	// Of a breaker, see [middleware.Circuit].
	State  string    `json:"state,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	Opened time.Time `json:"opened,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitzero"`
	Opener string    `json:"opened_by,omitzero"` // a trace
	Share  *float64  `json:"share,omitzero"`     // nil without a breaker

	// Note says in a few words what else there is to know: that a throttle sheds load, that
	// chaos is armed, that a policy only observes.
	Note string `json:"note,omitzero"`

	// Readings are further numbers: failure_rate, tokens. Durations are in seconds.
	Readings map[string]float64 `json:"readings,omitzero"`
}

// maxListedKeys bounds the policies for keys of one service in a report.
const maxListedKeys = 100

// Health returns a report of all services of m. It needs no [Observer].
//
// A service is Pass while its breakers let all calls through. It is Warn when one does not:
// it is open, half-open, forced open, or lets only a share of the calls through after a
// recovery; and when a throttle refuses a share of the calls, or chaos is armed. That is no Fail, because a program that is taken out of service when something it
// depends on is down does not work any better. A service among critical is Fail while one of
// its breakers is open, half-open or forced open, unless that is one of several, for each
// key one. A critical service that does not exist is Warn. A breaker that somebody has
// forced closed, disabled or told to observe lets calls through: it is Pass.
func Health(m Manager, critical ...string) HealthReport {
	h := HealthReport{Status: Pass, Time: time.Now(), Services: []ServiceHealth{}}
	var names []string
	for _, c := range chainsOf(m) {
		s := serviceHealth(c, slices.Contains(critical, c.Name()))
		h.Services = append(h.Services, s)
		names = append(names, s.Name)
	}
	for _, name := range critical {
		if !slices.Contains(names, name) {
			h.Services = append(h.Services, ServiceHealth{Name: name, Status: Warn, Critical: true, Missing: true})
			names = append(names, name)
		}
	}
	for _, s := range h.Services {
		h.Status = worse(h.Status, s.Status)
	}
	return h
}

func serviceHealth(c *middleware.Chain, critical bool) ServiceHealth {
	s := ServiceHealth{Name: c.Name(), Status: Pass, Critical: critical}
	keys := 0
	for _, r := range reportsOf(c) {
		if r.Breaker == nil && !slices.Contains(holding, r.Type) {
			continue
		}
		p := policyHealth(r, critical)
		s.Status = worse(s.Status, p.Status)
		if r.Key != "" {
			if p.Status == Pass {
				continue
			}
			if keys++; keys > maxListedKeys {
				s.Omitted++
				continue
			}
		}
		s.Policies = append(s.Policies, p)
	}
	return s
}

// holding are the kinds of policies without a circuit that can refuse calls or let them wait.
var holding = []string{"rate_limit", "bulkhead", "adaptive_limit", "throttle", "deadline", "chaos"}

func policyHealth(r middleware.Report, critical bool) PolicyHealth {
	p := PolicyHealth{Type: r.Type, Name: r.Name, Key: r.Key, Status: Pass, Running: r.Running, Waiting: r.Waiting}
	for _, v := range r.Readings {
		if p.Readings == nil {
			p.Readings = make(map[string]float64, len(r.Readings))
		}
		p.Readings[v.Name] = v.Value
	}
	p.Note, p.Status = noteOf(r)
	c := r.Breaker
	if c == nil {
		return p
	}
	p.State, p.Since, p.Opened, p.Until = c.State, c.Since, c.Opened, c.Until
	p.Reason, p.Opener, p.Share = c.Reason, c.Opener, &c.Share
	switch _, open := openSince(c); {
	case open && critical && r.Key == "":
		p.Status = Fail
	case open, c.Share < 1:
		p.Status = Warn
	}
	return p
}

// HealthHandler returns a handler that answers with [Health] as application/health+json:
// with 200 for Pass and Warn, so that a program stays in service when what it depends on is
// down, and with 503 for Fail. For a check whether the process lives, which must not depend
// on anything, name no critical services.
func HealthHandler(m Manager, critical ...string) http.Handler {
	critical = slices.Clone(critical)
	return readOnly(func(w http.ResponseWriter, _ *http.Request) {
		h := Health(m, critical...)
		status := http.StatusOK
		if h.Status == Fail {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, "application/health+json", h)
	})
}
