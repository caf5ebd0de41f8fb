package readme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Block is what stands between two fences in a document.
type Block struct {
	Language string
	Text     string // without the fences
}

// Blocks returns the fenced blocks of a document, in order.
func Blocks(t testing.TB, document string) []Block {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var all []Block
	for rest := string(text); ; {
		_, after, found := strings.Cut("\n"+rest, "\n```")
		if !found {
			return all
		}
		language, after, _ := strings.Cut(after, "\n")
		block, after, closed := strings.Cut("\n"+after, "\n```")
		if !closed {
			t.Fatalf("%s: the block that begins with %q has no end", document, language)
		}
		all = append(all, Block{language, strings.TrimPrefix(block, "\n")})
		rest = after
	}
}

// StandsIn reports whether the block stands word for word in one of the files that match the
// pattern, each of its lines behind one of the prefixes.
func (b Block) StandsIn(t testing.TB, pattern string, prefixes ...string) bool {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file is like %s: %v", pattern, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range prefixes {
			if strings.Contains("\n"+string(text)+"\n", "\n"+b.behind(prefix)+"\n") {
				return true
			}
		}
	}
	return false
}

// behind returns the block with a prefix before each line, or before an empty one what is not
// white space of it.
func (b Block) behind(prefix string) string {
	lines := strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = prefix + line
		if line == "" {
			lines[i] = strings.TrimRight(prefix, " \t")
		}
	}
	return strings.Join(lines, "\n")
}
