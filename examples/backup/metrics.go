//go:build !lean

package main

import (
	"net/http"

	"go.opentelemetry.io/otel/metric"

	"github.com/tidegate-go/tidegate/examples/backup/internal/metrics"
)

// newMetrics returns what measures the demonstration, and the page that shows it to
// Prometheus.
func newMetrics() (metric.MeterProvider, http.Handler, error) {
	m, err := metrics.New(serviceName)
	return m, m, err
}
