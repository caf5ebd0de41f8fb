package tidegate

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/tidegate-go/tidegate"

// A layer says what the packages in a directory, and below it unless there is
// another layer, may import besides the standard library.
type layer struct {
	own      []string // directories of the project, with all below them
	others   []string // packages of others, with all below them
	never    []string // packages that are not allowed although the above allow them
	testsToo bool     // the rule is for test files as well
}

const anything = "*"

// layers are those of ARCHITECTURE.md: top may use bottom, never the other way.
var layers = map[string]layer{
	"middleware": {own: []string{"middleware"}, others: nil, testsToo: true},
	"policies": {
		own:    []string{"middleware"},
		others: []string{"github.com/sony/gobreaker/v2", "github.com/cenkalti/backoff/v4", "golang.org/x/time/rate"},
		never:  []string{"net/http"},
	},
	"observability": {
		own:    []string{"middleware"},
		others: []string{"go.opentelemetry.io/otel"},
		never:  []string{"go.opentelemetry.io/otel/sdk"},
	},
	"transports":           {own: []string{"middleware"}},
	"transports/retryable": {own: []string{"middleware", "transports"}, others: []string{"github.com/hashicorp/go-retryablehttp"}},
	"adapters/git":         {own: []string{"adapters/git", "middleware", "transports"}},
	"adapters/gogit":       {own: []string{"adapters/gogit", "middleware", "transports"}, others: []string{anything}},
	"adapters/grpc":        {own: []string{"adapters/grpc", "middleware"}, others: []string{anything}},
	"adapters/kubernetes":  {own: []string{"adapters/kubernetes", "middleware", "transports"}, others: []string{anything}},
	"adapters/minio":       {own: []string{"adapters/minio", "middleware", "transports"}, others: []string{anything}},
	".":                    {own: []string{"internal/advice", "internal/spelling", "observability", "transports", "policies", "middleware"}, others: []string{"go.yaml.in/yaml/v4"}},
	"cmd":                  {own: []string{".", "internal/advice", "internal/spelling", "middleware"}, others: []string{"go.yaml.in/yaml/v4"}},
	"examples":             {own: []string{anything}, others: []string{anything}},
	"internal/advice":      {own: []string{"middleware"}},
	"internal/benchmarks":  {own: []string{anything}, others: []string{anything}},
	"internal/gittest":     {own: []string{"internal/gittest", "middleware", "policies"}},
	"internal/injector":    {testsToo: true},
	"internal/loopback":    {testsToo: true},
	"internal/pinned":      {testsToo: true},
	"internal/readme":      {testsToo: true},
	"internal/spelling":    {own: []string{"internal/spelling"}, testsToo: true},
	"tools":                {others: []string{anything}},
}

// forTests are allowed in the test files of every layer whose rule is for them too.
var forTests = []string{"go.uber.org/goleak"}

func TestImports(t *testing.T) {
	broken, files, err := checkImports(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range broken {
		t.Error(b)
	}
	if files < 50 {
		t.Errorf("only %d files were read: the check looks in the wrong place", files)
	}
}

// The check finds what it is there for.
func TestImportsCanFail(t *testing.T) {
	importing := func(paths ...string) *fstest.MapFile {
		text := "package p\n"
		for _, p := range paths {
			text += fmt.Sprintf("import _ %q\n", p)
		}
		return &fstest.MapFile{Data: []byte(text)}
	}
	for _, row := range []struct {
		file, imports, want string
	}{
		{"middleware/a.go", "net/http", ""},
		{"middleware/a.go", module + "/policies", "middleware/a.go imports policies"},
		{"middleware/a_test.go", module + "/policies", "middleware/a_test.go imports policies"},
		{"middleware/a.go", "golang.org/x/sync/errgroup", "middleware/a.go imports golang.org/x/sync/errgroup"},
		{"middleware/a.go", "go.uber.org/goleak", "middleware/a.go imports go.uber.org/goleak"},
		{"middleware/a_test.go", "go.uber.org/goleak", ""},
		{"middleware/middlewaretest/a.go", module + "/middleware", ""},
		{"middleware/middlewaretest/a.go", module, "middleware/middlewaretest/a.go imports ."},
		{"policies/a.go", "net", ""},
		{"policies/a.go", "net/http", "policies/a.go imports net/http"},
		{"policies/a.go", "net/http/httptest", "policies/a.go imports net/http/httptest"},
		{"policies/a.go", "go.opentelemetry.io/otel", "policies/a.go imports go.opentelemetry.io/otel"},
		{"policies/a.go", module + "/observability", "policies/a.go imports observability"},
		{"policies/a_test.go", "net/http", ""},
		{"observability/a.go", "go.opentelemetry.io/otel/trace", ""},
		{"observability/a.go", "go.opentelemetry.io/otel/sdk/trace", "observability/a.go imports go.opentelemetry.io/otel/sdk/trace"},
		{"observability/a.go", module + "/policies", "observability/a.go imports policies"},
		{"observability/page/a.go", module + "/transports", "observability/page/a.go imports transports"},
		{"transports/a.go", module + "/policies", "transports/a.go imports policies"},
		{"transports/a.go", "github.com/hashicorp/go-retryablehttp", "transports/a.go imports github.com/hashicorp/go-retryablehttp"},
		{"transports/retryable/a.go", "github.com/hashicorp/go-retryablehttp", ""},
		{"adapters/minio/a.go", "github.com/minio/minio-go/v7", ""},
		{"adapters/minio/a.go", module, "adapters/minio/a.go imports ."},
		{"adapters/minio/a.go", module + "/adapters/git", "adapters/minio/a.go imports adapters/git"},
		{"adapters/git/a.go", "github.com/go-git/go-git/v5", "adapters/git/a.go imports github.com/go-git/go-git/v5"},
		{"a.go", module + "/adapters/git", "a.go imports adapters/git"},
		{"a.go", module + "/examples/backup", "a.go imports examples/backup"},
		{"a.go", module + "/observability", ""},
		{"cmd/tidegate/a.go", module, ""},
		{"cmd/tidegate/a.go", module + "/policies", "cmd/tidegate/a.go imports policies"},
		{"examples/backup/a.go", module, ""},
		{"internal/loopback/a.go", "net/http", ""},
		{"internal/loopback/a.go", "golang.org/x/net/http2", "internal/loopback/a.go imports golang.org/x/net/http2"},
		{"internal/loopback/a.go", module + "/middleware", "internal/loopback/a.go imports middleware"},
		{"internal/loopback/a_test.go", "go.uber.org/goleak", ""},
		{"util/a.go", "fmt", "util/a.go is in no layer"},
		{"adapters/a.go", "fmt", "adapters/a.go is in no layer"},
		{".tools/a.go", "golang.org/x/sync/errgroup", ""},
		{"policies/testdata/a.go", "net/http", ""},
	} {
		broken, _, err := checkImports(fstest.MapFS{row.file: importing("errors", row.imports)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(broken, "\n"); got != row.want && !strings.HasPrefix(got, row.want+":") || row.want == "" && got != "" {
			t.Errorf("%s with %s: got %q, want %q", row.file, row.imports, got, row.want)
		}
	}
}

// checkImports returns which imports of the Go files in root break the layers,
// whatever their module and their build tags, and how many files there are.
func checkImports(root fs.FS) (broken []string, files int, err error) {
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		files++
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, l, ok := layerOf(path.Dir(name))
		if !ok {
			broken = append(broken, name+" is in no layer: add its directory to layers")
			return nil
		}
		test := strings.HasSuffix(name, "_test.go")
		if test && !l.testsToo {
			return nil
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !l.allows(imported) && (!test || !slices.Contains(forTests, imported)) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s may import of the project %q and of others %q, never %q",
					name, short(imported), dir, l.own, l.others, l.never))
			}
		}
		return nil
	})
	return broken, files, err
}

// layerOf returns the layer of a directory, and the directory that names it.
func layerOf(dir string) (string, layer, bool) {
	for at := dir; ; at = path.Dir(at) {
		if l, ok := layers[at]; ok && (at != "." || dir == ".") {
			return at, l, true
		}
		if at == "." {
			return "", layer{}, false
		}
	}
}

func (l layer) allows(imported string) bool {
	switch {
	case within(imported, l.never):
		return false
	case imported == module || strings.HasPrefix(imported, module+"/"):
		return within(short(imported), l.own)
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		return true // the standard library
	default:
		return within(imported, l.others)
	}
}

// within reports whether a package is one of the given or below one.
func within(name string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return dir == anything || name == dir || strings.HasPrefix(name, dir+"/")
	})
}

// short returns the directory of a package of the project, and other names as they are.
func short(imported string) string {
	if imported == module {
		return "."
	}
	return strings.TrimPrefix(imported, module+"/")
}

// The root module requires the engines, YAML, and what its tests need: whoever
// uses one policy gets no more than that.
func TestRequirements(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", "go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	missing, surplus, err := checkRequirements(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 || len(surplus) > 0 {
		t.Errorf("go.mod has no direct requirement of %q, and one too many of %q (go mod tidy settles what is direct)", missing, surplus)
	}
}

func TestRequirementsCanFail(t *testing.T) {
	var mod goMod
	for _, path := range requirements {
		mod.Require = append(mod.Require, requirement{Path: path})
	}
	mod.Require = append(mod.Require, requirement{Path: "example.com/indirect", Indirect: true})
	for _, row := range []struct {
		change           func(m *goMod)
		missing, surplus []string
	}{
		{func(*goMod) {}, nil, nil},
		{func(m *goMod) { m.Require = m.Require[1:] }, requirements[:1], nil},
		{func(m *goMod) { m.Require[1].Indirect = true }, requirements[1:2], nil},
		{func(m *goMod) { m.Require = append(m.Require, requirement{Path: "example.com/more"}) }, nil, []string{"example.com/more"}},
	} {
		changed := goMod{slices.Clone(mod.Require)}
		row.change(&changed)
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		missing, surplus, err := checkRequirements(text)
		if err != nil || !slices.Equal(missing, row.missing) || !slices.Equal(surplus, row.surplus) {
			t.Errorf("got %q, %q, %v, want %q and %q", missing, surplus, err, row.missing, row.surplus)
		}
	}
}

var requirements = []string{
	// The engines.
	"github.com/cenkalti/backoff/v4",
	"github.com/hashicorp/go-retryablehttp",
	"github.com/sony/gobreaker/v2",
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/log",
	"go.opentelemetry.io/otel/metric",
	"go.opentelemetry.io/otel/trace",
	"golang.org/x/time",
	// Configuration.
	"go.yaml.in/yaml/v4",
	// Tests. TestImports keeps them out of everything else.
	"go.opentelemetry.io/otel/sdk",
	"go.opentelemetry.io/otel/sdk/metric",
	"go.uber.org/goleak",
}

// goMod is what go mod edit -json prints, as far as it matters here.
type goMod struct {
	Require []requirement `json:"Require"`
}

type requirement struct {
	Path     string `json:"Path"`
	Indirect bool   `json:"Indirect"`
}

func checkRequirements(modJSON []byte) (missing, surplus []string, err error) {
	var mod goMod
	if err := json.Unmarshal(modJSON, &mod); err != nil {
		return nil, nil, err
	}
	missing = slices.Clone(requirements)
	for _, r := range mod.Require {
		switch i := slices.Index(missing, r.Path); {
		case r.Indirect:
		case i >= 0:
			missing = slices.Delete(missing, i, i+1)
		default:
			surplus = append(surplus, r.Path)
		}
	}
	return missing, surplus, nil
}

// The links between the documents lead somewhere, those to pictures too.
func TestLinksOfDocuments(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "adapters/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	links := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#: ]+)(#[^) ]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), link[1])); err != nil {
				t.Errorf("%s links to %s: %v", document, link[1], err)
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found: the test looks in the wrong place", links)
	}
}
