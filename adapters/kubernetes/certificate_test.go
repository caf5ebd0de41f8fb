package kubernetes_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
)

// selfSigned returns a certificate of 127.0.0.1 that is also valid in virtual time.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func TestK10CertificatesAreReadAgain(t *testing.T) {
	var current atomic.Pointer[tls.Config]
	web := httptest.NewUnstartedServer(newAPI())
	web.Config.ErrorLog = quiet
	web.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil }}
	web.StartTLS()
	t.Cleanup(web.Close)
	file := filepath.Join(t.TempDir(), "ca.crt")
	trust := func(c *tls.Config) {
		t.Helper()
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificates[0].Certificate[0]})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := selfSigned(t), selfSigned(t)
	current.Store(first)
	trust(first)
	synctest.Test(t, func(t *testing.T) {
		seen := &recorder{}
		config := adapter.Wrap(&rest.Config{
			Host: web.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
			TLSClientConfig: rest.TLSClientConfig{CAFile: file},
		}, middleware.NewChain("kube", repeating(3), seen), adapter.WithRetries())
		c := clientFor(t, config)
		list := func() error {
			defer func() { // time stands still while a connection is open
				closeIdle(t, config)
				synctest.Wait()
			}()
			return calls["list"](t.Context(), c)
		}
		if err := list(); err != nil {
			t.Fatal(err)
		}
		seen.take()
		current.Store(second)
		trust(second)
		var untrusted x509.UnknownAuthorityError
		if err := list(); !errors.As(err, &untrusted) {
			t.Errorf("a certificate that is not known yet: %v", err)
		}
		if one := seen.one(t); one.verdict.Class != middleware.Failure || one.verdict.Retry {
			t.Errorf("%+v", one)
		}
		time.Sleep(time.Hour)
		if err := list(); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}
