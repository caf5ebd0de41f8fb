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
	// Percent is how many of the services take calls, from 0 to 100. A service whose
	// breaker is open or forced open counts as none, half-open as a half, and during
	// a Ramp as its Share; otherwise, and without a breaker, as one. It is 100 without
	// services.
	Percent float64 `json:"percent"`

	// Services are sorted by name.
	Services []ServiceHealth `json:"services"`
}

// ServiceHealth says how one service is. Of several breakers it shows one that lets
// the fewest calls through, and among equals the one that changed last.
type ServiceHealth struct {
	Name string

	// State is the state of the breaker. Without a breaker it is Closed.
	State policies.State

	// SuccessRate is the share, from 0 to 1, of the calls that succeeded among those
	// that succeeded or failed. It is 1 as long as there are none.
	SuccessRate float64

	Metrics Metrics

	// FailureRate and SlowRate are the shares, from 0 to 1, that the breaker goes by or
	// that it opened with, and InFlight are its calls since the last transition that have
	// not ended: see [policies.BreakerStatus].
	FailureRate, SlowRate float64
	InFlight              int

	// Share is the share of calls, from 0 to 1, that the breaker lets through: less
	// than 1 during a Ramp, 0 when it is open, and when it is half-open and only probes
	// pass.
	Share float64

	// Opened is when the outage began, kept until the breaker is closed again;
	// otherwise the zero time.
	Opened time.Time

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

	// Reason is a word such as "consecutive_failures" or "forced", see
	// [policies.Transition].
	Reason string

	// Err is the error that caused the change, if any. Its text may hold secrets:
	// the JSON, error_type, has the kind of the error only.
	Err error

	// TraceID is the trace of the call that caused the change, as an observer knows
	// it; empty if there is none.
	TraceID string
}

// Health returns a report of all services.
func (m *Manager) Health() Health {
	h := Health{Percent: 100, Services: []ServiceHealth{}}
	var sum float64
	for _, s := range m.Services() {
		status := s.status()
		h.Services = append(h.Services, s.health(status))
		sum += share(status)
	}
	if n := len(h.Services); n > 0 {
		h.Percent = 100 * sum / float64(n)
	}
	return h
}

// share returns how much of a service is there for its callers.
func share(s policies.BreakerStatus) float64 {
	switch s.State {
	case policies.Closed: // all of it, but for a ramp
		return s.Share
	case policies.HalfOpen:
		return 0.5
	case policies.Open, policies.ForcedOpen:
		return 0
	default:
		return 1
	}
}

// Health returns a report of the service.
func (s *Service) Health() ServiceHealth { return s.health(s.status()) }

func (s *Service) health(status policies.BreakerStatus) ServiceHealth {
	metrics := s.meter.metrics()
	h := ServiceHealth{
		Name: s.name, State: status.State, SuccessRate: 1, Metrics: metrics,
		FailureRate: status.FailureRate, SlowRate: status.SlowRate, InFlight: status.InFlight,
		Share: status.Share, Opened: status.Opened, NextProbe: max(0, time.Until(status.NextProbe)),
	}
	if n := metrics.Successful + metrics.Failed; n > 0 {
		h.SuccessRate = float64(metrics.Successful) / float64(n)
	}
	if !status.Last.Time.IsZero() {
		h.LastTransition = new(Transition(status.Last))
	}
	return h
}

// MarshalJSON encodes the report with words for states and seconds for durations. The
// keys are name, state, success_rate, those of [Metrics], failure_rate, slow_rate,
// in_flight and share, and if they say something opened, next_probe_seconds and
// last_transition, with time, from, to, reason, error_type and trace_id.
func (h ServiceHealth) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name        string  `json:"name"`
		State       string  `json:"state"`
		SuccessRate float64 `json:"success_rate"`
		Metrics
		FailureRate    float64     `json:"failure_rate"`
		SlowRate       float64     `json:"slow_rate"`
		InFlight       int         `json:"in_flight"`
		Share          float64     `json:"share"`
		Opened         time.Time   `json:"opened,omitzero"`
		NextProbe      float64     `json:"next_probe_seconds,omitzero"`
		LastTransition *Transition `json:"last_transition,omitzero"`
	}{
		h.Name, h.State.String(), h.SuccessRate, h.Metrics, h.FailureRate, h.SlowRate, h.InFlight, h.Share, h.Opened,
		h.NextProbe.Seconds(), h.LastTransition,
	})
}

// MarshalJSON encodes the transition with words for states.
func (t Transition) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Time      time.Time `json:"time"`
		From      string    `json:"from"`
		To        string    `json:"to"`
		Reason    string    `json:"reason"`
		ErrorType string    `json:"error_type,omitzero"`
		TraceID   string    `json:"trace_id,omitzero"`
	}{t.Time, t.From.String(), t.To.String(), t.Reason, errorType(t.Err), t.TraceID})
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
