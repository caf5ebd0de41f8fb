package transports

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The package comment shows the tables that Classify goes by. When this fails, replace
// the table in doc.go by the one that is printed.
func TestTheDocumentationShowsTheTables(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	repeats := map[repeat]string{never: "never", safe: "if idempotent", safeOnce: "if idempotent, once", unsent: "any", unsentOnce: "any, once"}
	line := func(columns ...string) string {
		return strings.TrimRight(fmt.Sprintf("//\t%-56s %-20s %s", columns[0], columns[1], columns[2]), " ") + "\n"
	}
	statusTable := line("status", "repeated", "counts as")
	for _, row := range statuses {
		name := fmt.Sprintf("%d", row.from)
		switch {
		case row.from < 0:
			name = row.note
		case row.to > row.from:
			name += fmt.Sprintf("-%d", row.to)
		}
		if row.note != "" && row.from > 0 {
			name += " " + row.note
		}
		statusTable += line(name, repeats[row.repeat], row.class.String())
	}
	errorTable := line("error", "repeated", "counts as")
	for _, row := range failures {
		errorTable += line(row.condition, repeats[row.repeat], row.class.String())
	}
	for _, table := range []string{statusTable, errorTable} {
		if !strings.Contains(string(doc), table) {
			t.Errorf("doc.go does not have this table:\n%s", table)
		}
	}
}

// The example in the README's section on HTTP is ExampleClient, which runs.
func TestTheReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "## HTTP\n")
	_, section, _ = strings.Cut(section, "```go\n")
	shown, _, found := strings.Cut(section, "```")
	shown = "\t" + strings.ReplaceAll(strings.TrimSpace(shown), "\n", "\n\t")
	if !found || !strings.Contains(string(example), shown) {
		t.Errorf("the README shows something else than ExampleClient:\n%s", shown)
	}
}
