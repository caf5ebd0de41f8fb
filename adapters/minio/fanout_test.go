package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// fannedOut answers that each object has the error of its place.
func fannedOut(faults ...string) *script {
	return &script{answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
		for i, fault := range faults {
			fmt.Fprintf(w, `{"key":"object-%d","error":%q}`, i, fault)
		}
	}}
}

func TestM17FanOutIsAFailureWhenEveryObjectIs(t *testing.T) {
	for _, row := range []struct {
		name   string
		faults []string
		failed bool // to the policies
	}{
		{"none", []string{"", ""}, false},
		{"one", []string{"disk full", ""}, false},
		{"the other", []string{"", "disk full"}, false},
		{"all", []string{"disk full", "no quorum"}, true},
		{"no items", nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := fannedOut(row.faults...), &verdicts{}
				breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
				c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), breaker, seen), needs("PutObjectFanOut"))
				items, err := c.PutObjectFanOut(t.Context(), "bucket", strings.NewReader(digits), fanOut("object-0", "object-1"))
				if err != nil || len(items) != len(row.faults) {
					t.Fatalf("%d items, %v; want %d", len(items), err, len(row.faults))
				}
				for i, item := range items {
					if item.Key != fmt.Sprintf("object-%d", i) || item.Error != row.faults[i] {
						t.Errorf("item %d is %+v", i, item)
					}
				}
				want := middleware.Verdict{}
				if row.failed {
					want = middleware.Verdict{Class: failure, Reason: "all_failed"}
				}
				seen.want(t, want)
				if open := breaker.State() == policies.Open; open != row.failed {
					t.Errorf("the breaker is %v", breaker.State())
				}
				s.wantRequests(t, 1)
			})
		})
	}
}

func TestM17FanOutOfAReaderThatFailsIsAnError(t *testing.T) {
	errDisk := errors.New("disk on fire")
	for name, reader := range map[string]io.Reader{
		"stream":         io.MultiReader(strings.NewReader("01234"), iotest.ErrReader(errDisk)),
		"section":        failingAt{strings.NewReader(digits), errDisk},
		"seeker":         &stuck{ReadSeeker: strings.NewReader(digits), err: errDisk, seeks: 1}, // the first attempt's Seek fails
		"seeker, in use": seekOnly{failingReader{strings.NewReader(digits), errDisk}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := fannedOut("", ""), &verdicts{}
				c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen), needs("PutObjectFanOut"))
				_, err := c.PutObjectFanOut(t.Context(), "bucket", reader, fanOut("a", "b"))
				if !errors.Is(err, errDisk) {
					t.Errorf("error %v, want that of the reader", err)
				}
				seen.want(t, middleware.Verdict{Class: ignore, Reason: "reader"})
			})
		})
	}
}

// failingReader can be moved, but not read.
type failingReader struct {
	io.ReadSeeker
	err error
}

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// readsThenRefuses reads what the first n requests send, and lets them fail as if
// nobody listened.
func readsThenRefuses(n int) func(*minio.Options) {
	return func(o *minio.Options) {
		base := o.Transport
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Body == nil || r.Body == http.NoBody {
				return base.RoundTrip(r)
			}
			if n--; n < 0 {
				return base.RoundTrip(r)
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.UnknownNetworkError("refused")}
		})
	}
}

func TestM17ReadersBeginAgainWhereTheyStood(t *testing.T) {
	for _, op := range []struct {
		name     string
		contains string // what the last request sends
		run      func(context.Context, *Client, io.Reader) error
	}{
		{"PutObjectFanOut", "\r\n\r\n56789\r\n--", func(ctx context.Context, c *Client, r io.Reader) error {
			_, err := c.PutObjectFanOut(ctx, "bucket", r, fanOut("a", "b"))
			return err
		}},
		{"AppendObject", "56789", func(ctx context.Context, c *Client, r io.Reader) error {
			_, err := c.AppendObject(ctx, "bucket", "object", r, 5, minio.AppendObjectOptions{})
			return err
		}},
	} {
		for _, row := range []struct {
			name    string
			reader  func() io.Reader
			refuses func(int) func(*minio.Options)
			fails   bool
		}{
			{"section", func() io.Reader { return strings.NewReader(digits) }, refusing, false},
			{"section that was read", func() io.Reader { return strings.NewReader(digits) }, readsThenRefuses, false},
			{"seeker", func() io.Reader { return seekOnly{strings.NewReader(digits)} }, refusing, false},
			{"seeker that was read", func() io.Reader { return seekOnly{strings.NewReader(digits)} }, readsThenRefuses, false},
			{"stream", func() io.Reader { return iotest.DataErrReader(strings.NewReader(digits)) }, refusing, false},
			{"stream that was read", func() io.Reader { return iotest.DataErrReader(strings.NewReader(digits)) }, readsThenRefuses, true},
		} {
			t.Run(op.name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
						w.Header().Set("X-Amz-Object-Size", "12") // of AppendObject
						succeed(w, r, "content")
					}}
					reader := row.reader()
					if _, err := io.CopyN(io.Discard, reader, 5); err != nil {
						t.Fatal(err)
					}
					err := op.run(t.Context(), s.connect(t, retrying(4), needs(op.name), row.refuses(2)), reader)
					if row.fails != (err != nil) {
						t.Fatalf("error %v, want one: %v", err, row.fails)
					}
					sent := 0
					for _, r := range s.seen() {
						if r.method == http.MethodHead {
							continue
						}
						if sent++; !strings.Contains(r.body, op.contains) || strings.Contains(r.body, digits) {
							t.Errorf("sent %q, want %q in it", r.body, op.contains)
						}
					}
					if want := map[bool]int{false: 1}[row.fails]; sent != want {
						t.Errorf("%d uploads arrived, want %d", sent, want)
					}
				})
			})
		}
	}
}

func TestM17SnowballIsOneAttempt(t *testing.T) {
	for _, row := range []struct {
		name    string
		s       *script
		refused int
		fails   bool
		want    int // requests
	}{
		{"success", failFirst(0, 0, "", ""), 0, false, 1},
		{"failure", always(503, "ServiceUnavailable"), 0, true, 1},
		{"refused", failFirst(0, 0, "", ""), 1, true, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := row.s.connect(t, retrying(3), refusing(row.refused))
				metadata := map[string]string{"Colour": "green"}
				before := maps.Clone(metadata)
				opts := minio.SnowballOptions{InMemory: true, Opts: minio.PutObjectOptions{UserMetadata: metadata}}
				var closed atomic.Int64
				objects := make(chan minio.SnowballObject, 2)
				for _, key := range []string{"a", "b"} {
					objects <- minio.SnowballObject{Key: key, Size: 7, Content: strings.NewReader("content"), Close: func() { closed.Add(1) }}
				}
				close(objects)
				err := c.PutObjectsSnowball(t.Context(), "bucket", opts, objects)
				if row.fails != (err != nil) {
					t.Errorf("error %v, want one: %v", err, row.fails)
				}
				if !maps.Equal(metadata, before) {
					t.Errorf("the caller's metadata became %v", metadata)
				}
				if closed.Load() != 2 || len(objects) != 0 {
					t.Errorf("%d objects were closed, %d are left", closed.Load(), len(objects))
				}
				row.s.wantRequests(t, row.want)
				for _, r := range row.s.seen() {
					if strings.Count(r.body, "content") != 2 {
						t.Errorf("sent %q", r.body)
					}
				}
			})
		})
	}
}
