package guides

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/internal/readme"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() { // what is set here is of no concern
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "TIDEGATE_SERVICES") || strings.HasPrefix(name, "CIRCUIT_BREAKER_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

const root = "../.."

// elsewhere lists the documents that have tests of their own.
var elsewhere = []string{"jaeger.md", "migration.md", "runbook.md"}

// What the guides show is what runs: each block of Go stands word for word in a test of this
// package, each file in a file of it, each output in the one that a test expects, and each
// command prints what is below it.
func TestGuidesShowWhatRuns(t *testing.T) {
	guides, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "tidegate")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/tidegate-go/tidegate/cmd/tidegate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	blocks := map[string]int{}
	for _, guide := range guides {
		if slices.Contains(elsewhere, filepath.Base(guide)) {
			continue
		}
		for _, b := range readme.Blocks(t, guide) {
			blocks[b.Language]++
			ok := false
			switch b.Language {
			case "go":
				ok = b.StandsIn(t, "*_test.go", "", "\t", "\t\t")
			case "yaml":
				ok = b.StandsIn(t, "*.yaml", "", "  ", "    ")
			case "text":
				ok = b.StandsIn(t, "*_test.go", "\t// ")
			case "console":
				ok = printed(t, program, b.Text)
			}
			if !ok {
				t.Errorf("%s shows what does not run here as %q:\n%s", filepath.Base(guide), b.Language, b.Text)
			}
		}
	}
	for _, language := range []string{"go", "yaml", "text", "console"} {
		if blocks[language] == 0 {
			t.Errorf("no guide has a block of %s: the test looks in the wrong place", language)
		}
	}
}

// printed runs the commands in a block, each behind a "$ ", and reports whether they print
// what is below them; a line of dots stands for any lines.
func printed(t *testing.T, program, block string) bool {
	t.Helper()
	for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
		line, shown, _ := strings.Cut(part, "\n")
		args, ok := strings.CutPrefix(line, "go run ./cmd/tidegate ")
		if !ok {
			t.Errorf("no test runs %q", line)
			return false
		}
		command := exec.Command(program, strings.Fields(args)...)
		command.Dir = root
		out, err := command.CombinedOutput()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Error(err)
		}
		out = append([]byte("\n"), out...)
		for part := range strings.SplitSeq("\n"+strings.TrimRight(shown, "\n")+"\n", "\n...\n") {
			part = "\n" + strings.Trim(part, "\n") + "\n"
			_, after, found := bytes.Cut(out, []byte(part))
			if !found {
				t.Errorf("%s prints\n%s", line, out)
				return false
			}
			out = append([]byte("\n"), after...)
		}
	}
	return true
}

// A link into a document leads to a heading of it.
func TestLinksOfGuides(t *testing.T) {
	guides, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^):#]+\.md)#([^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
			links++
			to, err := os.ReadFile(filepath.Join(filepath.Dir(guide), link[1]))
			if err != nil || !slices.Contains(anchors(string(to)), link[2]) {
				t.Errorf("%s: %s has no heading #%s (%v)", filepath.Base(guide), link[1], link[2], err)
			}
		}
	}
	if links < 5 {
		t.Errorf("only %d links were found: the test looks in the wrong place", links)
	}
}

// anchors returns what a link to each heading of a document ends with.
func anchors(document string) []string {
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		words := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// The checks find what they are there for.
func TestGuidesCanFail(t *testing.T) {
	for _, row := range []struct {
		block readme.Block
		want  bool
	}{
		{readme.Block{Text: "var errDown = errors.New(\"connection refused\")\n"}, true},
		{readme.Block{Text: "var errDown = errors.New(\"connection refused\n"}, false},
		{readme.Block{Text: "chaos.Arm(10 * time.Minute)\nfmt.Println(chain.Do(ctx, work))\n"}, true},
		{readme.Block{Text: "chaos.Arm(10 * time.Minute)\n\nfmt.Println(chain.Do(ctx, work))\n"}, false},
	} {
		if got := row.block.StandsIn(t, "*_test.go", "", "\t"); got != row.want {
			t.Errorf("%q: %v", row.block.Text, got)
		}
	}
}

// The files that the guides show are such as a program takes, but for those with a mistake.
func TestFilesOfGuides(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		config, err := tidegate.LoadConfig(file)
		if (err != nil) != (file == "mistake.yaml") {
			t.Errorf("%s: %v", file, err)
		}
		if err != nil {
			continue
		}
		manager, err := tidegate.New(config, tidegate.WithChaos(), tidegate.WithLogger(nil))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, s := range manager.Services() {
			if findings := s.Chain().Check(); file == "tidegate.yaml" && len(findings) > 0 {
				t.Errorf("%s: %s: %v", file, s.Name(), findings)
			}
		}
		if err := manager.Close(); err != nil {
			t.Error(err)
		}
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
