package observability_test

import (
	"testing"

	"github.com/tidegate-go/tidegate/internal/readme"
)

func TestTheReadmeShowsTheExample(t *testing.T) { readme.Shows(t, "What one sees") }
