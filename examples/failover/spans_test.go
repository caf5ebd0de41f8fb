package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate/observability"
)

// One span for each operation, one for each request, and no signature in any.
func TestSpans(t *testing.T) {
	server, err := newServer("backups")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	exported := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported))
	observer := observability.New(observability.WithTracerProvider(provider))
	transport := observer.Transport(server.Client().Transport)
	e, err := newEndpoint("primary", "backups", server.Listener.Addr().String(), transport, observer)
	if err != nil {
		t.Fatal(err)
	}
	defer e.breaker.Close()

	spans := func() (names []string) {
		for _, s := range exported.GetSpans() {
			names = append(names, s.SpanKind.String()+" "+s.Name)
			for _, a := range s.Attributes {
				if strings.Contains(a.Value.String(), "X-Amz-Signature=") && !strings.Contains(a.Value.String(), "X-Amz-Signature=REDACTED") {
					t.Errorf("%s: %s is %s", s.Name, a.Key, a.Value.String())
				}
			}
		}
		exported.Reset()
		slices.Sort(names)
		return names
	}
	const mib = 1 << 20
	content := strings.Repeat("0123456789abcdef", 12*mib/16)
	for _, row := range []struct {
		name string
		run  func() error
		want []string
	}{
		{"upload", func() error {
			_, err := e.PutObject(t.Context(), "backups", "small", strings.NewReader("x"), 1, miniogo.PutObjectOptions{})
			return err
		}, []string{"client PUT", "internal primary PutObject"}},
		{"upload in parts", func() error {
			_, err := e.PutObject(t.Context(), "backups", "large", strings.NewReader(content), 12*mib, miniogo.PutObjectOptions{PartSize: 5 * mib})
			return err
		}, []string{"client POST", "client POST", "client PUT", "client PUT", "client PUT", "internal primary PutObject"}},
		{"listing", func() error {
			for _, err := range e.ListObjects(t.Context(), "backups", miniogo.ListObjectsOptions{}) {
				if err != nil {
					return err
				}
			}
			return nil
		}, []string{"client GET", "internal primary ListObjects"}},
		{"presigned", func() error {
			u, err := e.PresignedGetObject(t.Context(), "backups", "small", time.Minute, nil)
			if err != nil {
				return err
			}
			response, err := (&http.Client{Transport: transport}).Get(u.String())
			if err != nil {
				return err
			}
			return response.Body.Close()
		}, []string{"client GET"}},
	} {
		if err := row.run(); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if got := spans(); !slices.Equal(got, row.want) {
			t.Errorf("%s: spans %v, want %v", row.name, got, row.want)
		}
	}
}
