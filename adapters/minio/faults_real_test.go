//go:build real

package minio

import (
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// TestRealFaults is the whole matrix. The rows share a server, but for the one that
// kills it.
func TestRealFaults(t *testing.T) {
	for _, s := range realServers {
		t.Run(s.program, func(t *testing.T) {
			s.find(t)
			shared := freeAddress(t)
			s.start(t, t.TempDir(), shared)
			faultMatrix(t, theFaults, 200, func(t *testing.T, row fault) faultServer {
				server := faultServer{
					address: shared,
					creds:   credentials.NewStaticV4(accessKey, secretKey, ""),
					limit:   4 * time.Second,
					hasty:   s.program == "versitygw",
				}
				if row.name == "restart of the server" {
					dir := t.TempDir()
					server.address = freeAddress(t)
					server.kill = s.start(t, dir, server.address)
					server.start = func() { s.start(t, dir, server.address) }
				}
				return server
			})
		})
	}
}
