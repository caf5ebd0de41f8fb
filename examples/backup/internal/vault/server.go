// Package vault is the S3 server of the demonstration. It keeps objects in memory.
package vault

import (
	"net/http"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Handler returns an empty S3 server. Clients must use TLS: over plain HTTP they
// sign each chunk of a body, which this server stores as if it was part of it.
func Handler() http.Handler {
	return gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
}
