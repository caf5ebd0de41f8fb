// Package readme holds the README and the guides in docs to the examples that run.
package readme

import (
	"os"
	"strings"
	"testing"
)

// Shows checks that the first Go block in that section of the README stands, word for word,
// in example_test.go. It is called from a directory one or two levels below the README's.
func Shows(t testing.TB, section string) {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		readme, err = os.ReadFile("../../README.md")
	}
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "\n## "+section+"\n")
	_, text, _ = strings.Cut(text, "```go\n")
	shown, _, found := strings.Cut(text, "```")
	shown = "\t" + strings.ReplaceAll(strings.TrimSpace(shown), "\n", "\n\t")
	if !found || !strings.Contains(string(example), strings.ReplaceAll(shown, "\n\t\n", "\n\n")) {
		t.Errorf("the README shows something else than example_test.go:\n%s", shown)
	}
}
