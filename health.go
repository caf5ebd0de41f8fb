package tidegate

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Health says how the services of a [Manager] are. It can be encoded as JSON.
type Health struct {
	// Percent is how many of the services take calls, from 0 to 100: a closed breaker
	// counts as one, a half-open one as a half. It is 100 without services.
	Percent float64 `json:"percent"`

	// Services are sorted by name.
	Services []ServiceHealth `json:"services"`
}

// ServiceHealth says how one service is.
type ServiceHealth struct {
	Name string

	// State is the state of the breaker. Without a breaker it is Closed.
	State policies.State

	// SuccessRate is the share, from 0 to 1, of the calls that succeeded among those
	// that succeeded or failed. It is 1 as long as there are none.
	SuccessRate float64

	Metrics Metrics

	// NextProbe is how long until an open breaker lets a call through again;
	// otherwise zero. Its JSON, next_probe_seconds, is in seconds.
	NextProbe time.Duration

	// LastTransition is the newest change of the breaker, nil if there was none.
	LastTransition *Transition
}

// A Transition is a change of the state of a breaker.
type Transition struct {
	Time     time.Time
	From, To policies.State

	// Reason is a word such as "consecutive_failures" or "forced".
	Reason string

	// Err is the error that caused the change, if any. Its text may hold secrets:
	// the JSON, error_type, has the kind of the error only.
	Err error
}

// Health returns a report of all services.
func (m *Manager) Health() Health {
	h := Health{Percent: 100, Services: []ServiceHealth{}}
	var sum float64
	for _, s := range m.Services() {
		service := s.Health()
		h.Services = append(h.Services, service)
		sum += share(service.State)
	}
	if n := len(h.Services); n > 0 {
		h.Percent = 100 * sum / float64(n)
	}
	return h
}

func share(s policies.State) float64 {
	switch s {
	case policies.Closed:
		return 1
	case policies.HalfOpen:
		return 0.5
	default:
		return 0
	}
}

// Health returns a report of the service.
func (s *Service) Health() ServiceHealth {
	status, metrics := s.status(), s.meter.metrics()
	h := ServiceHealth{Name: s.name, State: status.State, SuccessRate: 1, Metrics: metrics}
	if n := metrics.Successful + metrics.Failed; n > 0 {
		h.SuccessRate = float64(metrics.Successful) / float64(n)
	}
	h.NextProbe = max(0, time.Until(status.NextProbe))
	if !status.Since.IsZero() {
		h.LastTransition = &Transition{
			Time: status.Since, From: status.From, To: status.State, Reason: status.Reason, Err: status.Err,
		}
		// An open breaker whose time has come says that it is half-open, but no call
		// has made it so: the last transition is the opening.
		if status.State == policies.HalfOpen && status.From != policies.Open {
			h.LastTransition.To = policies.Open
		}
	}
	return h
}

// MarshalJSON encodes the report with words for states and seconds for durations.
func (h ServiceHealth) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name        string  `json:"name"`
		State       string  `json:"state"`
		SuccessRate float64 `json:"success_rate"`
		Metrics
		NextProbe      float64     `json:"next_probe_seconds,omitzero"`
		LastTransition *Transition `json:"last_transition,omitzero"`
	}{h.Name, h.State.String(), h.SuccessRate, h.Metrics, h.NextProbe.Seconds(), h.LastTransition})
}

// MarshalJSON encodes the transition with words for states.
func (t Transition) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Time      time.Time `json:"time"`
		From      string    `json:"from"`
		To        string    `json:"to"`
		Reason    string    `json:"reason"`
		ErrorType string    `json:"error_type,omitzero"`
	}{t.Time, t.From.String(), t.To.String(), t.Reason, errorType(t.Err)})
}

// errorType names the kind of an error: what it says itself, or its Go type.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if t, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](err); ok {
		return t.ErrorType()
	}
	return fmt.Sprintf("%T", middleware.Unjudged(err))
}
