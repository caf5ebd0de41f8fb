package kubernetes

import (
	"testing"

	"github.com/tidegate-go/tidegate/internal/readme"
)

// The example in the README's section on Kubernetes is ExampleWrap, which runs.
func TestTheReadmeShowsTheExample(t *testing.T) { readme.Shows(t, "Kubernetes") }
