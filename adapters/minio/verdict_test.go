package minio

import (
	"context"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
)

// kinds names the kinds that a row lets repeat.
var kinds = map[string][]Kind{
	"":    nil,
	"RW":  {Read, Write},
	"RWO": {Read, Write, Once},
}

const (
	successClass = middleware.Success
	failure      = middleware.Failure
	throttle     = middleware.Throttled
	ignore       = middleware.Ignored
)

func checkVerdicts(t *testing.T, err error, class middleware.Class, repeat, reason string) {
	t.Helper()
	for _, kind := range []Kind{Once, Read, Write, Never} {
		want := middleware.Verdict{Class: class, Reason: reason}
		for _, k := range kinds[repeat] {
			want.Retry = want.Retry || k == kind
		}
		if got := Classify(err, kind); got != want {
			t.Errorf("kind %d: verdict %+v, want %+v", kind, got, want)
		}
	}
}

func TestClassifyResponse(t *testing.T) {
	for _, row := range []struct {
		code   string
		status int
		class  middleware.Class
		repeat string
		reason string
	}{
		{"SlowDown", 503, throttle, "RW", "throttled"},
		{"SlowDownRead", 503, throttle, "RW", "throttled"},
		{"SlowDownWrite", 503, throttle, "RW", "throttled"},
		{"Throttling", 400, throttle, "RW", "throttled"},
		{"ThrottlingException", 400, throttle, "RW", "throttled"},
		{"RequestLimitExceeded", 503, throttle, "RW", "throttled"},
		{"RequestThrottled", 503, throttle, "RW", "throttled"},
		{"TooManyRequests", 429, throttle, "RW", "throttled"},
		{"429 Too Many Requests", 429, throttle, "RW", "throttled"},
		{"SlowDown", 200, throttle, "RW", "throttled"},

		{"InternalError", 500, failure, "RW", "status_5xx"},
		{"InternalError", 200, failure, "RW", "status_5xx"},
		{"500 Internal Server Error", 500, failure, "RW", "status_5xx"},

		{"ServiceUnavailable", 503, failure, "RW", "unavailable"},
		{"503 Service Unavailable", 503, failure, "RW", "unavailable"},
		{"XMinioServerNotInitialized", 503, failure, "RW", "unavailable"},
		{"XMinioIAMNotInitialized", 503, failure, "RW", "unavailable"},

		{"502 Bad Gateway", 502, failure, "RW", "status_5xx"},
		{"504 Gateway Timeout", 504, failure, "RW", "status_5xx"},
		{"520 ", 520, failure, "RW", "status_5xx"},

		{"RequestTimeout", 400, ignore, "RW", "request_timeout"},
		{"RequestTimeout", 408, ignore, "RW", "request_timeout"},
		{"408 Request Timeout", 408, ignore, "RW", "request_timeout"},

		{"IncompleteBody", 400, ignore, "RW", "damaged_body"},
		{"BadDigest", 400, ignore, "RW", "damaged_body"},
		{"XAmzContentSHA256Mismatch", 400, ignore, "RW", "damaged_body"},

		{"ConditionalRequestConflict", 409, successClass, "RW", "conflict"},
		{"OperationAborted", 409, successClass, "RW", "conflict"},

		{"ExpiredToken", 400, ignore, "RWO", "expired_token"},
		{"ExpiredTokenException", 400, ignore, "RWO", "expired_token"},

		{"InvalidAccessKeyId", 403, successClass, "", "denied"},
		{"SignatureDoesNotMatch", 403, successClass, "", "denied"},
		{"AccessDenied", 403, successClass, "", "denied"},
		{"AllAccessDisabled", 403, successClass, "", "denied"},
		{"AuthorizationHeaderMalformed", 400, successClass, "", "status_4xx"},
		{"InvalidRegion", 400, successClass, "", "status_4xx"},

		{"RequestTimeTooSkewed", 403, ignore, "", "clock_skew"},

		{"NoSuchKey", 404, successClass, "", "not_found"},
		{"NoSuchBucket", 404, successClass, "", "not_found"},
		{"NoSuchVersion", 404, successClass, "", "not_found"},
		{"NoSuchUpload", 404, successClass, "", "not_found"},
		{"NoSuchTagSet", 404, successClass, "", "not_found"},
		{"NoSuchLifecycleConfiguration", 404, successClass, "", "not_found"},
		{"NoSuchCORSConfiguration", 404, successClass, "", "not_found"},
		{"NoSuchBucketPolicy", 404, successClass, "", "not_found"},
		{"ReplicationConfigurationNotFoundError", 404, successClass, "", "not_found"},

		{"PreconditionFailed", 412, successClass, "", "precondition"},
		{"304 Not Modified", 304, successClass, "", "precondition"},
		{"InvalidRange", 416, successClass, "", "status_4xx"},
		{"MethodNotAllowed", 405, successClass, "", "status_4xx"},

		{"BucketAlreadyExists", 409, successClass, "", "status_4xx"},
		{"BucketAlreadyOwnedByYou", 409, successClass, "", "status_4xx"},
		{"BucketNotEmpty", 409, successClass, "", "status_4xx"},
		{"Conflict", 409, successClass, "", "status_4xx"},
		{"InvalidObjectState", 403, successClass, "", "status_4xx"},
		{"InvalidPart", 400, successClass, "", "status_4xx"},
		{"InvalidPartOrder", 400, successClass, "", "status_4xx"},
		{"EntityTooLarge", 400, successClass, "", "status_4xx"},
		{"EntityTooSmall", 400, successClass, "", "status_4xx"},
		{"MalformedXML", 400, successClass, "", "status_4xx"},
		{"InvalidArgument", 400, successClass, "", "status_4xx"},
		{"MissingContentLength", 411, successClass, "", "status_4xx"},
		{"NotImplemented", 501, successClass, "", "status_4xx"},
		{"501 Not Implemented", 501, successClass, "", "status_4xx"},
		{"APINotSupported", 501, successClass, "", "status_4xx"},

		{"Surprise", 418, successClass, "", "status_4xx"},
		{"Surprise", 500, failure, "RW", "status_5xx"},
		{"Surprise", 505, failure, "", "status_5xx"},
		{"Surprise", 0, ignore, "", "local"},
	} {
		t.Run(fmt.Sprintf("%s %d", row.code, row.status), func(t *testing.T) {
			response := minio.ErrorResponse{Code: row.code, StatusCode: row.status, RequestID: "4711"}
			checkVerdicts(t, response, row.class, row.repeat, row.reason)
			checkVerdicts(t, fmt.Errorf("wrapped: %w", response), row.class, row.repeat, row.reason)
		})
	}
}

func TestClassifyRegion(t *testing.T) {
	for _, code := range []string{"AuthorizationHeaderMalformed", "InvalidRegion", "AccessDenied"} {
		response := minio.ErrorResponse{Code: code, StatusCode: 400, Region: "eu-west-1", RequestID: "4711"}
		checkVerdicts(t, response, successClass, "RWO", "region")
	}
}

func TestClassifyFullStorageIsAFailureOfWrites(t *testing.T) {
	for _, response := range []minio.ErrorResponse{
		{Code: "XMinioStorageFull", StatusCode: 507, RequestID: "4711"},
		{Code: "507 Insufficient Storage", StatusCode: 507, RequestID: "4711"},
	} {
		for kind, want := range map[Kind]middleware.Class{Read: ignore, Write: failure, Once: failure, Never: failure} {
			if got := Classify(response, kind); got != (middleware.Verdict{Class: want, Reason: "storage_full"}) {
				t.Errorf("%s, kind %d: %+v", response.Code, kind, got)
			}
		}
	}
}

// TestClassifyLocal: what minio-go refused by itself is no sign of life of the server.
func TestClassifyLocal(t *testing.T) {
	c := failFirst(0, 0, "", "").connect(t, nil)
	raw, ctx := c.Raw(), t.Context()
	_, badBucket := raw.StatObject(ctx, "", "o", minio.StatObjectOptions{})
	_, badOption := raw.PutObject(ctx, "bucket", "o", nil, 0, minio.PutObjectOptions{LegalHold: "x"})
	_, tooLarge := raw.PutObject(ctx, "bucket", "o", nil, 1<<62, minio.PutObjectOptions{})
	for _, err := range []error{badBucket, badOption, tooLarge} {
		if minio.ToErrorResponse(err).StatusCode != 400 {
			t.Errorf("error %#v is not the one to test", err)
		}
		checkVerdicts(t, err, ignore, "", "local")
	}
}

// errText is an error of minio-go that is only a text.
type errText string

func (e errText) Error() string { return string(e) }

func TestClassifyNoResponse(t *testing.T) {
	request := func(err error) error { return &url.Error{Op: "Put", URL: "https://s3.test/", Err: err} }
	for _, row := range []struct {
		name   string
		err    error
		class  middleware.Class
		repeat string
		reason string
	}{
		{"none", nil, successClass, "", ""},
		{"reset", request(&net.OpError{Op: "read", Err: os.NewSyscallError("read", errors.New("reset"))}), failure, "RW", "network"},
		{"refused", request(&net.OpError{Op: "dial", Err: errors.New("refused")}), failure, "RWO", "connect"},
		{"dial timeout", request(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), failure, "RWO", "connect"},
		{"proxy", request(&net.OpError{Op: "proxyconnect", Err: errors.New("refused")}), failure, "RWO", "connect"},
		{"no such host", request(&net.DNSError{Err: "no such host", IsNotFound: true}), failure, "RWO", "connect"},
		{"minio-go's text for EOF", request(errText("Connection closed by foreign host https://s3.test/. Retry again.")), failure, "RW", "network"},
		{"cut answer", io.ErrUnexpectedEOF, failure, "RW", "network"},
		{"empty answer", io.EOF, failure, "RW", "network"},
		{"no XML", &xml.SyntaxError{Msg: "unexpected EOF"}, failure, "RW", "network"},
		{"other XML", xml.UnmarshalError("expected element type <Error>"), failure, "RW", "network"},
		{"cut in an answer", &net.OpError{Op: "read", Err: errors.New("reset")}, failure, "RW", "network"},
		{"unknown authority", request(x509.UnknownAuthorityError{}), failure, "", "tls"},
		{"wrong host", request(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "s3.test"}), failure, "", "tls"},
		{"expired certificate", request(x509.CertificateInvalidError{Reason: x509.Expired}), failure, "", "tls"},
		{"HTTP on HTTPS", request(http.ErrSchemeMismatch), failure, "", "tls"},
		{"cancelled", request(context.Canceled), ignore, "", "canceled"},
		{"deadline", context.DeadlineExceeded, failure, "RW", "timeout"},
		{"open breaker", request(&middleware.Rejection{Reason: middleware.ErrOpen}), ignore, "", "rejected"},
		{"limited", request(&middleware.Rejection{Reason: middleware.ErrRateLimited}), ignore, "", "rejected"},
		{"timeout of an inner chain", request(&middleware.Rejection{Reason: middleware.ErrTimeout}), failure, "RW", "timeout"},
		{"minio-go's health check", errText("https://s3.test is offline."), ignore, "", "local"},
		{"bad name", errors.New("Bucket name cannot be empty"), ignore, "", "local"},
		{"bad URL", &url.Error{Op: "parse", URL: ":", Err: errors.New("missing protocol scheme")}, ignore, "", "local"},
		{"file", &fs.PathError{Op: "write", Path: "x", Err: io.ErrUnexpectedEOF}, ignore, "", "local"},
		{"rename", &os.LinkError{Op: "rename", Err: os.ErrPermission}, ignore, "", "local"},
	} {
		t.Run(row.name, func(t *testing.T) { checkVerdicts(t, row.err, row.class, row.repeat, row.reason) })
	}
}

// TestClassifyConnections: the errors that minio-go makes of real connections.
func TestClassifyConnections(t *testing.T) {
	server := func(options ...loopback.Option) string {
		url := loopback.New(t, options...).URL
		return url[strings.Index(url, "//")+2:]
	}
	_, refused, _ := strings.Cut(loopback.Refused(t), "//")
	plain := httptest.NewUnstartedServer(nil)
	plain.Config.ErrorLog = quiet
	plain.Start()
	defer plain.Close()

	for _, row := range []struct {
		name, host string
		secure     bool
		class      middleware.Class
		repeat     string
		reason     string
	}{
		{"closed in mid-request", server(loopback.Script(loopback.Close())), false, failure, "RW", "network"},
		{"reset in mid-request", server(loopback.Script(loopback.Reset())), false, failure, "RW", "network"},
		{"cut in the answer", server(loopback.Script(loopback.Status(500).Size(1000).Cut(10, loopback.Reset()))), false, failure, "RW", "status_5xx"},
		{"refused", refused, false, failure, "RWO", "connect"},
		{"no answer", server(loopback.Connections(loopback.Silent)), false, failure, "RW", "timeout"},
		{"unknown authority", server(loopback.HTTPS1), true, failure, "", "tls"},
		{"HTTP on HTTPS", plain.Listener.Addr().String(), true, failure, "", "tls"},
	} {
		t.Run(row.name, func(t *testing.T) {
			transport := &http.Transport{ResponseHeaderTimeout: 100 * time.Millisecond}
			defer transport.CloseIdleConnections()
			c, err := New(row.host, minio.Options{Region: "us-east-1", Secure: row.secure, Transport: transport}, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
			checkVerdicts(t, err, row.class, row.repeat, row.reason)
		})
	}
}

func TestCutJSONIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"a":`) }}
		seen := &verdicts{}
		if _, err := s.connect(t, middleware.NewChain("s3", retryPolicy(2), seen)).GetBucketReplicationMetrics(t.Context(), "bucket"); err == nil {
			t.Error("no error")
		}
		broken := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "network"}
		seen.want(t, broken, broken)
	})
}
