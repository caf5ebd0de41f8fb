//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// TestRealHealthCheck kills the API server, whose breaker opens, and starts it again: the
// health check closes the breaker before it is time for calls to try.
func TestRealHealthCheck(t *testing.T) {
	cluster := theCluster(t)
	check, err := kubernetes.HealthCheck(kubernetes.Wrap(cluster.config, middleware.NewChain("closed", refuse())))
	if err != nil {
		t.Fatal(err)
	}
	breaker := policies.NewBreaker(policies.BreakerConfig{
		FailureThreshold: 1, Timeout: time.Millisecond, RecoveryTime: time.Hour, MaxRecoveryTime: time.Hour,
		HealthCheck: check, HealthInterval: 500 * time.Millisecond,
	})
	t.Cleanup(func() { breaker.Close() })
	client := newClient(t, cluster.wrapped(&wire{}, middleware.NewChain("kubernetes", breaker)))
	list := func() error {
		_, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := errors.Join(check(t.Context()), list()); err != nil {
		t.Fatal(err)
	}
	cluster.kill()
	restarted := false
	t.Cleanup(func() {
		if !restarted {
			cluster.restart(t)
		}
	})
	if err := check(t.Context()); err == nil {
		t.Error("no error without a server")
	}
	if err := list(); err == nil || errors.Is(err, middleware.ErrOpen) {
		t.Errorf("without a server: %v", err)
	}
	if err := list(); !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("after a failure: %v", err)
	}
	restarted = true
	cluster.restart(t)
	await(t, func() error { return check(t.Context()) })
	await(t, list)
	if reason := breaker.Status().Last.Reason; reason != "health_check_passed" {
		t.Errorf("the breaker is %v because of %q", breaker.State(), reason)
	}
}

// refuse lets nothing through.
func refuse() middleware.Policy {
	return middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
		return next.Reject(middleware.Rejection{Reason: middleware.ErrOpen})
	})
}
