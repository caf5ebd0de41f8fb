package loopback

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServe(t *testing.T) {
	certificate, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, scheme   string
		server, client *tls.Config
		ok             bool
	}{
		{"plain", "http", nil, nil, true},
		{"TLS", "https", certificate.Server(), certificate.Client(), true},
		{"a client that trusts another certificate", "https", certificate.Server(), other.Client(), false},
		{"a client that trusts public authorities", "https", certificate.Server(), nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			server, err := Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), row.server)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{TLSClientConfig: row.client}
			defer func() {
				transport.CloseIdleConnections()
				if err := server.Close(); err != nil {
					t.Error(err)
				}
			}()
			if !strings.HasPrefix(server.Addr(), "127.0.0.1:") {
				t.Errorf("it listens on %s", server.Addr())
			}
			resp, err := (&http.Client{Transport: transport}).Get(row.scheme + "://" + server.Addr())
			if (err == nil) != row.ok {
				t.Fatalf("got %v, want success: %v", err, row.ok)
			}
			if err != nil {
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); string(body) != "hello" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	var ended atomic.Bool
	began := make(chan struct{})
	server, err := Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		ended.Store(true)
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := server.Close(); err != nil || !ended.Load() {
		t.Errorf("closed with %v, the handler has ended: %v", err, ended.Load())
	}
}
