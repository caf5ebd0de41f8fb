package grpc

import (
	"testing"

	"github.com/tidegate-go/tidegate/internal/readme"
)

// The example in the README's section on gRPC is ExampleDialOptions, which runs.
func TestTheReadmeShowsTheExample(t *testing.T) { readme.Shows(t, "gRPC") }
