//go:build real

package metrics_test

import (
	"bufio"
	"context"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A real Prometheus scrapes the demonstration: the breaker of each dependency that fails has
// its alert, and none is left at the end.
func TestRealPrometheusScrapesTheDemonstration(t *testing.T) {
	program := filepath.Join(t.TempDir(), "backup")
	if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// With this slack a breaker is open for two seconds, which are two minutes of the rules.
	demonstration := exec.CommandContext(ctx, program, "-listen", "127.0.0.1:0", "-hold", "-slack", "2")
	demonstration.Cancel = func() error { return demonstration.Process.Signal(syscall.SIGTERM) }
	demonstration.WaitDelay = 10 * time.Second
	stdout, err := demonstration.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demonstration.Start(); err != nil {
		t.Fatal(err)
	}
	address, finished, output := make(chan string, 1), make(chan struct{}), make(chan string, 1)
	go func() {
		var all strings.Builder
		metrics := regexp.MustCompile(`http://(\S+)/metrics`)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := metrics.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
			if strings.Contains(lines.Text(), "all checksums equal") {
				close(finished)
			}
		}
		output <- all.String()
	}()
	defer func() {
		cancel()
		said := <-output
		_ = demonstration.Wait()
		if t.Failed() {
			t.Log(said)
		}
	}()
	var target string
	select {
	case target = <-address:
	case <-time.After(time.Minute):
		t.Fatal("the demonstration does not tell its address")
	}
	p := startPrometheus(t, target, hasten(read(t, "observability/prometheus/tidegate.rules.yaml")))

	want := []string{"BreakerOpen git breaker", "BreakerOpen http breaker", "BreakerOpen s3 breaker"}
	all := map[string]bool{}
	p.await(t, "an alert for each dependency", func(ctx context.Context) bool {
		firing, _ := p.firing(ctx)
		maps.Copy(all, firing)
		return !slices.ContainsFunc(want, func(name string) bool { return !all[name] })
	})
	select {
	case <-finished:
	case <-ctx.Done():
		t.Fatal("the demonstration does not end")
	}
	p.await(t, "the end of the alerts", func(ctx context.Context) bool {
		firing, err := p.firing(ctx)
		return err == nil && len(firing) == 0
	})
	ever, err := p.query(t.Context(), `count by (alertname, chain, policy) (count_over_time(ALERTS{alertname="TidegateBreakerOpen", alertstate="firing"}[10m]))`)
	if got := slices.Sorted(maps.Keys(ever)); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v; breakers had alerts: %q, want %q", err, got, want)
	}
}
