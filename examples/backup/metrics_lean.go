//go:build lean

package main

import (
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/metric"
)

// newMetrics fails, as newExporter does.
func newMetrics() (metric.MeterProvider, http.Handler, error) {
	return nil, nil, errors.New("this program was built without metrics: build it without the tag lean")
}
