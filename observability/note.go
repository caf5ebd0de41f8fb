package observability

import (
	"fmt"
	"slices"

	"github.com/tidegate-go/tidegate/middleware"
)

// noteOf says in a few words what there is to know of a policy besides the state of its
// circuit, if there is anything, and whether it is as it should be because of that.
func noteOf(r middleware.Report) (note string, status Status) {
	share, _ := readingOf(r, "rejection")
	switch {
	case armed(r):
		return "disturbs calls on purpose", Warn
	case shedBy(r) > 0:
		return fmt.Sprintf("refuses %.3g %% of the calls, to take load off", 100*share), Warn
	case r.Type == "throttle" && share > 0:
		return fmt.Sprintf("only observes: it would refuse %.3g %% of the calls", 100*share), Pass
	case observes(r):
		return "only observes", Pass
	default:
		return "", Pass
	}
}

// armed reports whether a policy disturbs calls.
func armed(r middleware.Report) bool {
	v, _ := readingOf(r, "armed")
	return r.Type == "chaos" && v > 0
}

// shedBy returns the share of the calls that a throttle refuses.
func shedBy(r middleware.Report) float64 {
	if r.Type != "throttle" || observes(r) {
		return 0
	}
	v, _ := readingOf(r, "rejection")
	return max(0, v)
}

// observes reports whether a policy without a circuit decides and does nothing. A circuit
// has states for that.
func observes(r middleware.Report) bool {
	return r.Breaker == nil && slices.Contains(r.Settings, middleware.Setting{Name: "ObserveOnly", Value: "on"})
}
