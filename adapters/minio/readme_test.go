package minio

import (
	"testing"

	"github.com/tidegate-go/tidegate/internal/readme"
)

// The example in the README's section on MinIO is ExampleNew, which runs.
func TestTheReadmeShowsTheExample(t *testing.T) { readme.Shows(t, "MinIO") }
