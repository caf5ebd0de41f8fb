package middleware_test

import (
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestEveryKindHasAName(t *testing.T) {
	for kind, want := range map[middleware.Kind]string{
		middleware.Rejected: "rejected", middleware.Transition: "transition", middleware.RetryScheduled: "retry_scheduled",
		middleware.RetryStopped: "retry_stopped", middleware.Waited: "waited", middleware.TimedOut: "timed_out",
		middleware.WouldReject: "would_reject", middleware.HealthCheckFailed: "health_check_failed",
		middleware.HedgeStarted: "hedge_started", middleware.HedgeWon: "hedge_won", middleware.HedgeRefused: "hedge_refused",
		middleware.HealthCheckPassed: "health_check_passed", middleware.LimitChanged: "limit_changed",
		middleware.FallbackUsed: "fallback_used", middleware.Injected: "injected", middleware.NestedRetry: "nested_retry",
		middleware.LeaseExpired: "lease_expired", 0: "unknown", middleware.LeaseExpired + 1: "unknown",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is %q, want %q", kind, got, want)
		}
	}
}
