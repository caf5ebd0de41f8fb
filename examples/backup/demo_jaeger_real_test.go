//go:build real

package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/pinned"
)

// make demo-jaeger starts Jaeger, runs the demonstration into it, and ends by itself where
// nobody could end it.
func TestRealDemoJaeger(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../tools/demo-jaeger", pinned.Program(t, "jaeger"), "-slack", "2")
	cmd.Env = os.Environ()
	for _, name := range []string{"JAEGER_QUERY_HTTP", "JAEGER_OTLP_HTTP", "JAEGER_QUERY_GRPC", "JAEGER_OTLP_GRPC"} {
		cmd.Env = append(cmd.Env, name+"="+freeAddress(t))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it stops its Jaeger then
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Jaeger got the traces") {
		t.Errorf("%v:\n%s", err, out)
	}
}
