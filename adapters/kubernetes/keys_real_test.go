//go:build real

package kubernetes_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// realKeys are what the API server and its clients know each other by.
type realKeys struct {
	certificate     []byte // PEM; it is its own authority
	certificateFile string
	keyFile         string
	accountFile     string // the key of service accounts
	tokenFile       string
	tokens          [2]string
}

// writeKeys makes new keys in dir.
func writeKeys(dir string) (realKeys, error) {
	k := realKeys{
		certificateFile: filepath.Join(dir, "tls.crt"),
		keyFile:         filepath.Join(dir, "tls.key"),
		accountFile:     filepath.Join(dir, "accounts.key"),
		tokenFile:       filepath.Join(dir, "tokens.csv"),
		tokens:          [2]string{rand.Text(), rand.Text()},
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return k, err
	}
	_, accountPEM, err := newKey()
	if err != nil {
		return k, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return k, err
	}
	k.certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	tokens := k.tokens[0] + `,admin,1,"system:masters"` + "\n" + k.tokens[1] + `,second,2,"system:masters"` + "\n"
	return k, errors.Join(
		os.WriteFile(k.certificateFile, k.certificate, 0o600),
		os.WriteFile(k.keyFile, keyPEM, 0o600),
		os.WriteFile(k.accountFile, accountPEM, 0o600),
		os.WriteFile(k.tokenFile, []byte(tokens), 0o600),
	)
}

func newKey() (key *ecdsa.PrivateKey, text []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
