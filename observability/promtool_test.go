//go:build real

package observability

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/pinned"
)

func promtool(t *testing.T, dir string, arguments ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, pinned.Program(t, "promtool"), arguments...)
	command.Dir = dir
	return command.CombinedOutput()
}

func TestRealPromtoolAcceptsTheRules(t *testing.T) {
	for _, arguments := range [][]string{
		{"check", "rules", filepath.Base(rulesFile)},
		{"test", "rules", filepath.Base(ruleTestsFile)},
	} {
		if out, err := promtool(t, filepath.Dir(rulesFile), arguments...); err != nil {
			t.Errorf("promtool %q: %v\n%s", arguments, err, out)
		}
	}
}

// The cases hold the rules to their thresholds.
func TestRealPromtoolRejectsOtherRules(t *testing.T) {
	rules := readText(t, rulesFile)
	for _, row := range [][2]string{
		{"for: 1m", "for: 2m"}, {"for: 10m", "for: 9m30s"}, {">= 3\n        labels", ">= 2\n        labels"},
		{"> 1.5", "> 1.4"}, {"> 0.05", "> 0.07"}, {"> 0.5\n", "> 0.7\n"}, {"[5m]", "[20m]"},
		{"rejected_throttle|rejected_concurrency", "rejected_throttle"}, {"rejected_throttle|rejected_concurrency", "rejected.*|would_reject"},
		{"(tidegate_chaos_armed) > 0", "(tidegate_chaos_armed) > 1"}, {"|bulkhead|adaptive_limit", "|bulkhead"},
	} {
		dir := t.TempDir()
		changed := bytes.Replace(rules, []byte(row[0]), []byte(row[1]), 1)
		if bytes.Equal(changed, rules) {
			t.Fatalf("the rules have no %q", row[0])
		}
		for name, text := range map[string][]byte{rulesFile: changed, ruleTestsFile: readText(t, ruleTestsFile)} {
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := promtool(t, dir, "test", "rules", filepath.Base(ruleTestsFile))
		if err == nil || !bytes.Contains(out, []byte("FAILED")) {
			t.Errorf("%q instead of %q: %v\n%s", row[1], row[0], err, out)
		}
	}
}
