// Package pinned finds the programs that `make tools` has built for the tests.
package pinned

import (
	"os"
	"path/filepath"
	"testing"
)

// Program returns the path of a program. Without it the test is skipped, in CI it fails.
func Program(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv("TIDEGATE_TOOLS"), name)
	_, err := os.Stat(path) //nolint:gosec // whoever runs the tests names the directory
	switch {
	case os.Getenv("TIDEGATE_TOOLS") != "" && err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("there is no %s in the directory that TIDEGATE_TOOLS names: run make tools", name)
	default:
		t.Skipf("there is no %s in the directory that TIDEGATE_TOOLS names: run make tools", name)
	}
	return ""
}
