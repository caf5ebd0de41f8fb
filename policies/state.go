package policies

// State is the state of a [Breaker].
type State uint8

// The states of a [Breaker]. The first three are those that it takes by itself.
// The observed ones are the same three of a breaker that rejects nothing.
const (
	Closed   State = iota // calls pass and are counted
	Open                  // calls are rejected
	HalfOpen              // some calls pass as probes

	ForcedOpen   // ForceOpen: calls are rejected until Release or Reset
	ForcedClosed // ForceClose: calls pass and are counted, whatever the counts say
	Disabled     // Disable: calls pass and are not counted

	ObservedClosed   // ObserveOnly: calls pass and are counted
	ObservedOpen     // ObserveOnly: calls pass that would be rejected
	ObservedHalfOpen // ObserveOnly: calls pass, some of which would be rejected
)

var stateNames = [...]string{
	Closed:           "closed",
	Open:             "open",
	HalfOpen:         "half_open",
	ForcedOpen:       "forced_open",
	ForcedClosed:     "forced_closed",
	Disabled:         "disabled",
	ObservedClosed:   "observed_closed",
	ObservedOpen:     "observed_open",
	ObservedHalfOpen: "observed_half_open",
}

// String returns the name of the state, in lower case with underscores.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText returns the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s State) observed() bool { return s >= ObservedClosed }

// observe returns what a state is called while the breaker only observes.
func (s State) observe() State { return s + ObservedClosed }

// plain returns the state that an observed one stands for.
func (s State) plain() State {
	if s.observed() {
		return s - ObservedClosed
	}
	return s
}
