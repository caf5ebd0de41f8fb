package minio

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/minio/minio-go/v7"
)

// refusing lets the first n requests fail as if nobody listened.
func refusing(n int) func(*minio.Options) {
	return func(o *minio.Options) {
		base := o.Transport
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if n--; n >= 0 {
				if r.Body != nil {
					r.Body.Close()
				}
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.UnknownNetworkError("refused")}
			}
			return base.RoundTrip(r)
		})
	}
}

func TestBucketExists(t *testing.T) {
	for _, row := range []struct {
		status   int
		want     bool
		fails    bool
		requests int
	}{
		{200, true, false, 1},
		{404, false, false, 1},
		{403, false, true, 1},
		{503, false, true, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answer: func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(row.status) }}
			exists, err := s.connect(t, retrying(3)).BucketExists(t.Context(), "bucket")
			if exists != row.want || (err != nil) != row.fails {
				t.Errorf("%d: %v, %v", row.status, exists, err)
			}
			s.wantRequests(t, row.requests)
		})
	}
}
