package spelling_test

import (
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/spelling"
)

func TestEdits(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "ab", 2},
		{"retry", "retry", 0},
		{"rety", "retry", 1},
		{"retrys", "retry", 1},
		{"retri", "retry", 1},
		{"rtery", "retry", 1},
		{"kitten", "sitting", 3},
		{long, long, 65},
	} {
		if got := spelling.Edits(row.a, row.b); got != row.want {
			t.Errorf("from %q to %q there are %d, want %d", row.a, row.b, got, row.want)
		}
	}
}
