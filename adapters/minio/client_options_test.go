package minio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestM1TwoLayersOfRetriesAreRefused(t *testing.T) {
	for _, row := range []struct {
		maxRetries int
		chain      *middleware.Chain
		ok         bool
	}{
		{0, retrying(3), true},
		{1, retrying(3), true},
		{3, nil, true},
		{3, retrying(1), true},
		{3, middleware.NewChain("s3", policies.NewBreaker(policies.BreakerConfig{})), true},
		{3, retrying(3), false},
		{2, middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{})), false},
	} {
		c, err := New("s3.test", minio.Options{Region: "us-east-1", MaxRetries: row.maxRetries}, row.chain)
		if (err == nil) != row.ok || (c != nil) != row.ok {
			t.Errorf("MaxRetries %d: %v", row.maxRetries, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "MaxRetries") || !strings.Contains(err.Error(), `"s3"`)) {
			t.Errorf("the error does not say what to do: %v", err)
		}
	}
}

// What can only be repeated part by part is, by minio-go and up to three times.
func TestM11StreamsAreRepeatedByPart(t *testing.T) {
	const mib = 1 << 20
	content := strings.Repeat("0123456789abcdef", 12*mib/16)
	stream := func() io.Reader { return iotest.DataErrReader(strings.NewReader(content)) }
	for _, row := range []struct {
		name       string
		reader     io.Reader
		size       int64
		failures   int // of the second part
		maxRetries int
		ok         bool
		tries      int // of the second part
	}{
		{"a part fails", stream(), -1, 1, 0, true, 2},
		{"a part fails twice", stream(), 12 * mib, 2, 0, true, 3},
		{"a part fails for good", stream(), -1, 100, 0, false, 3},
		{"a file that shall not be repeated as a whole", struct{ io.Reader }{strings.NewReader(content)}, 12 * mib, 2, 0, true, 3},
		{"only once, as the options say", stream(), -1, 1, 1, false, 1},
		{"as often as the options say", stream(), -1, 4, 5, true, 5},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, aborted := 0, 0
				m := newMultipart(func(*http.Request) bool { return false })
				inner := m.answer
				m.answer = func(n int, w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodDelete {
						aborted++
					}
					if r.URL.Query().Get("partNumber") == "2" {
						if tries++; tries <= row.failures {
							fail(w, r, 503, "SlowDown")
							return
						}
					}
					inner(n, w, r)
				}
				seen := &verdicts{}
				attempts := 3
				if row.maxRetries > 1 {
					attempts = 1
				}
				c := m.connect(t, middleware.NewChain("s3", retryPolicy(attempts), seen), func(o *minio.Options) { o.MaxRetries = row.maxRetries })
				_, err := c.PutObject(t.Context(), "bucket", "object", row.reader, row.size, minio.PutObjectOptions{PartSize: 5 * mib})
				if (err == nil) != row.ok || row.ok && m.object() != content {
					t.Errorf("error %v", err)
				}
				if tries != row.tries || (aborted == 0) != row.ok || len(seen.seen) != 1 {
					t.Errorf("%d tries of the part, %d aborts, attempts %v", tries, aborted, seen.seen)
				}
				if !row.ok {
					wantCode(t, err, "SlowDown")
				}
			})
		})
	}
}

// A stream that nothing has been read from is as good as new.
func TestM11StreamThatWasNotReadIsRepeated(t *testing.T) {
	for _, row := range []struct {
		name     string
		refused  int
		answers  int // failures of the server itself
		ok       bool
		requests int
	}{
		{"no connection", 2, 0, true, 1},
		{"never a connection", 9, 0, false, 0},
		{"read and refused", 0, 1, false, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := failFirst(row.answers, 503, "ServiceUnavailable", "")
				c := s.connect(t, retrying(4), refusing(row.refused))
				_, err := c.PutObject(t.Context(), "bucket", "object", bytes.NewBufferString("content"), 7, minio.PutObjectOptions{})
				if (err == nil) != row.ok {
					t.Error(err)
				}
				s.wantRequests(t, row.requests)
				if row.ok && s.seen()[0].body != "content" {
					t.Errorf("uploaded %q", s.seen()[0].body)
				}
			})
		})
	}
}

// After the region was put right, a stream that has been read is as good as gone.
func TestM11StreamThatWasReadIsNotRepeated(t *testing.T) {
	const mib = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		m := newMultipart(func(*http.Request) bool { return false })
		begun, inner := 0, m.answer
		m.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			switch q := r.URL.Query(); {
			case q.Has("location"):
				io.WriteString(w, "<LocationConstraint>us-east-1</LocationConstraint>")
				return
			case q.Has("uploads"):
				if begun++; begun <= partTries+1 { // minio-go repeats it by itself, once for the region
					w.Header().Set("X-Amz-Bucket-Region", fmt.Sprint("eu-west-", begun))
					fail(w, r, 400, "AuthorizationHeaderMalformed")
					return
				}
			}
			inner(n, w, r)
		}
		seen := &verdicts{}
		c := m.connect(t, middleware.NewChain("s3", retryPolicy(3), seen), func(o *minio.Options) {
			o.Region = ""
			base := o.Transport
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("partNumber") == "2" {
					r.Body.Close()
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.UnknownNetworkError("refused")}
				}
				return base.RoundTrip(r)
			})
		})
		stream := iotest.DataErrReader(strings.NewReader(strings.Repeat("0123456789abcdef", 12*mib/16)))
		_, err := c.PutObject(t.Context(), "bucket", "object", stream, -1, minio.PutObjectOptions{PartSize: 5 * mib})
		if _, refused := errors.AsType[*net.OpError](err); !refused {
			t.Errorf("error %v, want that of the connection", err)
		}
		seen.want(t, middleware.Verdict{Class: middleware.Failure, Reason: "connect"})
	})
}

func TestM18RedactionLeavesOutTheNamesOfObjects(t *testing.T) {
	const secret = "patients/mustermann ä.pdf"
	broken := roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset")}
	})
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			name   string
			change func(*minio.Options)
			answer string
		}{
			{"answer", func(*minio.Options) {}, "<Error><Code>AccessDenied</Code><Message>No access to " + secret + "</Message><Key>" + secret +
				"</Key><BucketName>bucket</BucketName><Resource>/bucket/" + secret + "</Resource><RequestId>1</RequestId></Error>"},
			{"network", func(o *minio.Options) { o.Transport = broken }, ""},
		} {
			s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(403)
				io.WriteString(w, row.answer)
			}}
			var seen []string
			spy := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				err := next.Do(ctx)
				seen = append(seen, err.Error())
				return err
			})
			c := s.connect(t, middleware.NewChain("s3", retryPolicy(2), spy), row.change)
			WithRedactedNames()(&c.options)
			ctx := t.Context()
			_, err1 := c.GetObject(ctx, "bucket", secret, minio.GetObjectOptions{})
			_, err2 := c.PutObject(ctx, "bucket", secret, strings.NewReader("x"), 1, minio.PutObjectOptions{})
			_, err3 := c.StatObject(ctx, "bucket", secret, minio.StatObjectOptions{})
			for _, err := range []error{err1, err2, err3} {
				text := err.Error()
				if response, ok := errors.AsType[minio.ErrorResponse](err); ok {
					text += response.Key + response.Resource + response.Message
					if response.BucketName != "bucket" || response.StatusCode != 403 {
						t.Errorf("%s: %+v", row.name, response)
					}
				} else if _, ok := errors.AsType[*net.OpError](err); !ok {
					t.Errorf("%s: the cause is lost: %v", row.name, err)
				}
				seen = append(seen, text)
			}
			for _, text := range seen {
				if strings.Contains(text, "mustermann") {
					t.Errorf("%s: %s", row.name, text)
				}
			}
			if row.name == "answer" && minio.ToErrorResponse(err1).Code != "AccessDenied" {
				t.Errorf("ToErrorResponse of %#v", err1)
			}
		}
	})
}

func TestM19KeysByBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		note := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			keys = append(keys, middleware.OperationOf(ctx).Key)
			return next.Do(ctx)
		})
		c := failFirst(0, 0, "", "").connect(t, middleware.NewChain("s3", note))
		for range 2 {
			c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
			c.ListBuckets(t.Context())
			WithBucketKeys()(&c.options)
		}
		if got := strings.Join(keys, ", "); got != strings.Repeat("s3.test, ", 2)+"s3.test/bucket, s3.test" {
			t.Errorf("keys %s", got)
		}
	})
}

// An upload in parts has one permit, however many requests it is.
func TestM20UploadInPartsTakesOnePermit(t *testing.T) {
	const mib = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		m := newMultipart(func(*http.Request) bool { return false })
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 1})
		chain := middleware.NewChain("s3", limit, policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}))
		content := strings.Repeat("0123456789abcdef", 20*mib/16)
		_, err := m.connect(t, chain).PutObject(t.Context(), "bucket", "object", strings.NewReader(content), 20*mib, minio.PutObjectOptions{PartSize: 5 * mib, NumThreads: 4})
		if err != nil || m.object() != content {
			t.Errorf("error %v", err)
		}
		if n := len(m.seen()); n != 6 {
			t.Errorf("%d requests, want one to begin, four parts and one to complete", n)
		}
	})
}

// rotating are credentials that are another one's each time they are asked for.
type rotating struct{ asked atomic.Int32 }

func (r *rotating) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }

func (r *rotating) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	key := "old"
	if r.asked.Add(1) > 1 {
		key = "new"
	}
	return credentials.Value{AccessKeyID: key, SecretAccessKey: "secret", SignerType: credentials.SignatureV4}, nil
}

func (r *rotating) IsExpired() bool { return false }

// An expired token is renewed, without a retry in the chain.
func TestM22ExpiredTokenIsRenewed(t *testing.T) {
	for _, row := range []struct {
		name     string
		valid    string
		ok       bool
		requests int
	}{
		{"renewed", "new", true, 2},
		{"of no use", "another", false, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
					if !strings.Contains(r.Header.Get("Authorization"), "Credential="+row.valid+"/") {
						fail(w, r, 400, "ExpiredToken")
						return
					}
					succeed(w, r, "content")
				}}
				provider, seen := &rotating{}, &verdicts{}
				c := s.connect(t, middleware.NewChain("s3", seen), func(o *minio.Options) { o.Creds = credentials.New(provider) })
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if (err == nil) != row.ok {
					t.Fatal(err)
				}
				if row.ok {
					o.Close()
					seen.want(t, middleware.Verdict{})
				} else {
					seen.want(t, middleware.Verdict{Class: middleware.Ignored, Reason: "expired_token"})
				}
				s.wantRequests(t, row.requests)
			})
		})
	}
}

func TestEndpointURL(t *testing.T) {
	c, err := New("s3.test:9000", minio.Options{Secure: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.EndpointURL(); got.String() != "https://s3.test:9000" {
		t.Errorf("endpoint %s", got)
	}
	if got := Wrap(nil, nil).EndpointURL(); got != (*url.URL)(nil) {
		t.Errorf("endpoint %s", got)
	}
}
