// Package metrics shows to Prometheus what an observer measures.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Metrics are a meter provider and the page that shows its measurements.
type Metrics struct {
	*sdkmetric.MeterProvider

	registry *prometheus.Registry
}

// New returns Metrics of a program with this name. They are empty.
func New(service string) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		// The names that rules and dashboards have. Without this a Prometheus from 3.0 on gets names with dots.
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		// All are of one scope, so its labels would only make the page longer.
		otelprometheus.WithoutScopeInfo(),
	)
	if err != nil {
		return nil, err
	}
	is := resource.NewSchemaless(attribute.String("service.name", service))
	return &Metrics{sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(is)), registry}, nil
}

// ServeHTTP implements [http.Handler]. To who asks for OpenMetrics, it shows the traces
// of single calls too, as exemplars.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
}
