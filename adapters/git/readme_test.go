package git

import (
	"testing"

	"github.com/tidegate-go/tidegate/internal/readme"
)

// The example in the README's section on Git is ExampleClient_Sync, which runs.
func TestTheReadmeShowsTheExample(t *testing.T) { readme.Shows(t, "Git") }
