package vault

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/examples/backup/internal/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A part is at least 5 MiB, so this object has two.
func TestObjectOfTwoPartsOverTLS(t *testing.T) {
	certificate, err := loopback.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	server, err := loopback.Serve(Handler(), certificate.Server())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: certificate.Client()}
	defer func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	client, err := minio.New(server.Addr(), &minio.Options{
		Creds: credentials.NewStaticV4("key", "secret", ""), Secure: true, Region: "us-east-1", Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 6<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want)
	_, err = client.PutObject(t.Context(), "backups", "x", bytes.NewReader(want), int64(len(want)), minio.PutObjectOptions{PartSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	object, err := client.GetObject(t.Context(), "backups", "x", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want the %d bytes that were put", len(got), err, len(want))
	}
}
