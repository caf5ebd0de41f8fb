package loopback

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// certificates returns the one that the transport trusts and one that it does not.
func certificates() (trusted, untrusted tls.Certificate, err error) {
	if trusted, err = makeTrusted(); err == nil {
		untrusted, err = makeUntrusted()
	}
	return trusted, untrusted, err
}

var makeTrusted, makeUntrusted = sync.OnceValues(selfSigned), sync.OnceValues(selfSigned)

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func (m Mode) tls(certificate tls.Certificate) *tls.Config {
	protocol := "http/1.1"
	if m == HTTP2 {
		protocol = "h2"
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, NextProtos: []string{protocol}}
}

func (m Mode) transport(trusted tls.Certificate) *http.Transport {
	roots := x509.NewCertPool()
	roots.AddCert(trusted.Leaf)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(m != HTTP2)
	protocols.SetHTTP2(m == HTTP2)
	return &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, Protocols: protocols}
}
