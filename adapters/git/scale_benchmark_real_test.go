//go:build real && unix

package git

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A contestant is a way to clone.
type contestant struct {
	name  string
	clone func(ctx context.Context, url, dir string) error
}

// bare runs the git program alone.
func bare(name string) contestant {
	return contestant{name, func(ctx context.Context, url, dir string) error {
		out, err := exec.CommandContext(ctx, "git", "clone", "--", url, dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("git clone: %w: %s", err, out)
		}
		return nil
	}}
}

// ours is a Client with the policies that a program would have.
func ours(b *testing.B, name string) contestant {
	b.Helper()
	client, err := New(middleware.NewChain("git",
		policies.NewRetry(policies.RetryConfig{Attempts: 3}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 5}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 4}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Minute}),
	), Config{Schemes: []string{"http"}})
	if err != nil {
		b.Fatal(err)
	}
	return contestant{name, func(ctx context.Context, url, dir string) error {
		_, err := client.Clone(ctx, url, dir, CloneOptions{})
		return err
	}}
}

// BenchmarkRealClone clones a repository of 5,000 commits and 200 MB from git
// http-backend on this machine, with the Client, with the git program, and with that
// once more, in rounds, forwards and backwards, so that what else the machine does
// meets all of them. With -short the repository has a tenth. In the root:
//
//	make bench-real
//
// The metrics are medians of rounds:
//   - X/bare: the time of X as a multiple of that of bare in the same round. The
//     contestant "again" is bare once more, so again/bare says how much is noise;
//   - X-cpu/bare: the same of the processor time of all processes, the server's too;
//   - X-s: seconds for a clone.
func BenchmarkRealClone(b *testing.B) {
	commits, rounds := 5_000, 16
	if testing.Short() {
		commits = 500
	}
	s := gittest.NewServer(b, gittest.NewHistory(b, commits, 40_000))
	parent := b.TempDir()
	contestants := []contestant{bare("bare"), ours(b, "ours"), bare("again")}
	measure := func(c contestant) (seconds, cpu float64) {
		dir := filepath.Join(parent, c.name)
		syscall.Sync() // nobody pays for what another has written
		used, began := processorTimes(), time.Now()
		err := c.clone(b.Context(), s.Repo, dir)
		seconds, cpu = time.Since(began).Seconds(), (processorTimes() - used).Seconds()
		if err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		return seconds, cpu
	}
	for _, c := range contestants { // fills the caches
		measure(c)
	}
	seconds, cpu, order := map[string][]float64{}, map[string][]float64{}, slices.Clone(contestants)
	for b.Loop() {
		for range rounds {
			for _, c := range order {
				took, used := measure(c)
				seconds[c.name], cpu[c.name] = append(seconds[c.name], took), append(cpu[c.name], used)
			}
			slices.Reverse(order)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, c := range contestants {
		b.ReportMetric(quantile(0.5, seconds[c.name]), c.name+"-s")
		if c.name == "bare" {
			continue
		}
		ratio := func(unit string, own, bare []float64) {
			values := make([]float64, len(own))
			for i := range own {
				values[i] = own[i] / bare[i]
			}
			b.ReportMetric(quantile(0.5, values), c.name+unit)
			b.Logf("%s%s: %.3f, half of the rounds between %.3f and %.3f", c.name, unit,
				quantile(0.5, values), quantile(0.25, values), quantile(0.75, values))
		}
		ratio("/bare", seconds[c.name], seconds["bare"])
		ratio("-cpu/bare", cpu[c.name], cpu["bare"])
	}
}

// quantile returns the value that a share q of the values is below.
func quantile(q float64, values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	at := q * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (at-float64(low))*(values[high]-values[low])
}

// processorTimes is what this process has used, with all the children that ended.
func processorTimes() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		_ = syscall.Getrusage(who, &u)
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}
