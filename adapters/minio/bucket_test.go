package minio

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/minio/minio-go/v7"
)

func TestM12MakeBucketAfterAnUncertainAttempt(t *testing.T) {
	const owned = "BucketAlreadyOwnedByYou"
	for _, row := range []struct {
		name    string
		answers []string // codes; "cut" breaks the connection, "" succeeds
		refused int      // connections that do not come about, before the first answer
		want    string
	}{
		{"made at once", []string{""}, 0, ""},
		{"not ours to begin with", []string{owned}, 0, owned},
		{"the connection broke, then owned", []string{"cut", owned}, 0, ""},
		{"a failure, then owned", []string{"InternalError", owned}, 0, ""},
		{"two failures, then owned", []string{"InternalError", "SlowDown", owned}, 0, ""},
		{"throttled, so not run, then owned", []string{"SlowDown", owned}, 0, owned},
		{"never sent, then owned", []string{owned}, 1, owned},
		{"a failure, then somebody else's", []string{"InternalError", "BucketAlreadyExists"}, 0, "BucketAlreadyExists"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
					switch code := row.answers[n-1]; code {
					case "":
					case "cut":
						panic(http.ErrAbortHandler)
					case "InternalError":
						fail(w, r, 500, code)
					case "SlowDown":
						fail(w, r, 503, code)
					default:
						fail(w, r, 409, code)
					}
				}}
				c := s.connect(t, retrying(4), refusing(row.refused))
				err := c.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{})
				if row.want != "" {
					wantCode(t, err, row.want)
				} else if err != nil {
					t.Error(err)
				}
				s.wantRequests(t, len(row.answers))
			})
		})
	}
}

// refusing lets the first n requests fail as if nobody listened.
func refusing(n int) func(*minio.Options) {
	return func(o *minio.Options) {
		base := o.Transport
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if n--; n >= 0 {
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
