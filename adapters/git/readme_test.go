package git

import (
	"os"
	"strings"
	"testing"
)

// The example in the README's section on Git is ExampleClient_Sync, which runs.
func TestTheReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "## Git\n")
	_, section, _ = strings.Cut(section, "```go\n")
	shown, _, found := strings.Cut(section, "```")
	shown = "\t" + strings.ReplaceAll(strings.TrimSpace(shown), "\n", "\n\t")
	if !found || !strings.Contains(string(example), strings.ReplaceAll(shown, "\n\t\n", "\n\n")) {
		t.Errorf("the README shows something else than ExampleClient_Sync:\n%s", shown)
	}
}
