package minio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// streams are the methods of a Client whose result is read afterwards, besides
// GetObject.
var streams = []struct {
	name  string
	kind  Kind
	open  func(context.Context, *Client) (io.ReadCloser, error)
	chunk func(string) []byte // how the server sends a part of the content
	end   []byte              // and its end
}{
	{"SelectObjectContent", Read, func(ctx context.Context, c *Client) (io.ReadCloser, error) {
		s, err := c.SelectObjectContent(ctx, "bucket", "object", minio.SelectObjectOptions{Expression: "SELECT *"})
		if s == nil {
			return nil, err
		}
		return s, err
	}, func(s string) []byte { return message("Records", "application/octet-stream", s) },
		append(message("Stats", "text/xml", "<Stats><BytesScanned>9</BytesScanned></Stats>"), message("End", "", "")...)},
	{"GetObjectAnnotation", Read, func(ctx context.Context, c *Client) (io.ReadCloser, error) {
		return c.GetObjectAnnotation(ctx, "bucket", "object", "note", minio.GetObjectAnnotationOptions{})
	}, func(s string) []byte { return []byte(s) }, nil},
	{"PromptObject", Once, func(ctx context.Context, c *Client) (io.ReadCloser, error) {
		return c.PromptObject(ctx, "bucket", "object", "what is it?", minio.PromptObjectOptions{})
	}, func(s string) []byte { return []byte(s) }, nil},
}

// message is a message of the answer to a query: lengths, headers, payload and
// their sums.
func message(event, content, payload string) []byte {
	var headers []byte
	for _, h := range [][2]string{{":message-type", "event"}, {":event-type", event}, {":content-type", content}} {
		if h[1] == "" { // minio-go takes an empty header for the end of the answer
			continue
		}
		headers = append(headers, byte(len(h[0])))
		headers = append(headers, h[0]...)
		headers = append(headers, 7)
		headers = binary.BigEndian.AppendUint16(headers, uint16(len(h[1])))
		headers = append(headers, h[1]...)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func send(w http.ResponseWriter, parts ...[]byte) {
	for _, p := range parts {
		w.Write(p)
		w.(http.Flusher).Flush()
	}
}

func TestPoliciesHoldUntilTheEndOfAStream(t *testing.T) {
	for _, row := range streams {
		for _, way := range []struct {
			name   string
			silent bool // the server does not go on after a part
			end    func(t *testing.T, r io.ReadCloser)
		}{
			{"end of the content", false, func(t *testing.T, r io.ReadCloser) {
				if content, err := io.ReadAll(r); string(content) != "content" || err != nil {
					t.Errorf("read %q, %v", content, err)
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("read after the end: %d, %v", n, err)
				}
			}},
			{"close", false, func(_ *testing.T, r io.ReadCloser) { r.Close() }},
			{"close in the middle", false, func(_ *testing.T, r io.ReadCloser) { r.Read(make([]byte, 1)); r.Close() }},
			{"close while the server is silent", true, func(_ *testing.T, r io.ReadCloser) { r.Read(make([]byte, 7)); r.Close() }},
			{"close during a read", true, func(t *testing.T, r io.ReadCloser) {
				done := make(chan error)
				go func() {
					_, err := io.Copy(io.Discard, r)
					done <- err
				}()
				synctest.Wait()
				r.Close()
				if err := <-done; err == nil {
					t.Error("the read has no error")
				}
			}},
		} {
			t.Run(row.name+", "+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
						send(w, row.chunk("con"), row.chunk("tent"))
						if way.silent {
							<-r.Context().Done()
						}
						send(w, row.end)
					}}
					ended := 0
					r, err := row.open(t.Context(), s.connect(t, middleware.NewChain("s3", holder(&ended))))
					if err != nil || ended != 0 {
						t.Fatalf("error %v, released %d times", err, ended)
					}
					way.end(t, r)
					if ended != 1 {
						t.Errorf("released %d times", ended)
					}
					if err := errors.Join(r.Close(), r.Close()); err != nil || ended != 1 {
						t.Errorf("closed again: %v, released %d times", err, ended)
					}
				})
			})
		}
	}
}

// An error before the first byte is repeated as the kind of the operation says.
func TestErrorsBeforeAStream(t *testing.T) {
	for _, stream := range streams {
		for _, row := range []struct {
			name   string
			status int // 0: there is no connection
			code   string
			notRun bool
			repeat bool
		}{
			{"unavailable", 503, "ServiceUnavailable", false, true},
			{"not found", 404, "NoSuchKey", false, false},
			{"no connection", 0, "", true, true},
		} {
			t.Run(stream.name+", "+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tries, ended := 0, 0
					s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
						if tries == 1 {
							fail(w, r, row.status, row.code)
							return
						}
						send(w, stream.chunk("content"), stream.end)
					}}
					chain := middleware.NewChain("s3", retryPolicy(2), holder(&ended))
					c := s.connect(t, chain, func(o *minio.Options) {
						base := o.Transport
						o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
							if tries++; tries == 1 && row.status == 0 {
								return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
							}
							return base.RoundTrip(r)
						})
					})
					r, err := stream.open(t.Context(), c)
					want := 1
					if row.repeat && (row.notRun || stream.kind != Once) {
						want = 2
					}
					if tries != want || (err == nil) != (want == 2) || (r == nil) != (err != nil) {
						t.Fatalf("%d requests, want %d; %v, %v", tries, want, r, err)
					}
					if err != nil {
						wantCode(t, err, row.code)
						return
					}
					if content, err := io.ReadAll(r); string(content) != "content" || err != nil {
						t.Errorf("read %q, %v", content, err)
					}
				})
			})
		}
	}
}

func TestACutStreamIsAnErrorOfRead(t *testing.T) {
	for _, row := range streams {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
					send(w, row.chunk("half of it"))
					panic(http.ErrAbortHandler)
				}}
				ended := 0
				r, err := row.open(t.Context(), s.connect(t, middleware.NewChain("s3", retryPolicy(3), holder(&ended))))
				if err != nil {
					t.Fatal(err)
				}
				content, err := io.ReadAll(r)
				if string(content) != "half of it" || err == nil {
					t.Errorf("read %q, %v", content, err)
				}
				if _, again := r.Read(make([]byte, 1)); again != err || ended != 1 {
					t.Errorf("then %v, released %d times", again, ended)
				}
				r.Close()
				s.wantRequests(t, 1)
			})
		})
	}
}

func TestSelectionStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
			send(w, message("Progress", "text/xml", "<Progress><BytesScanned>3</BytesScanned></Progress>"),
				message("Records", "", "content"), streams[0].end)
		}}
		r, err := s.connect(t, nil).SelectObjectContent(t.Context(), "bucket", "object", minio.SelectObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if string(content) != "content" || err != nil || r.Stats().BytesScanned != 9 || r.Progress().BytesScanned != 3 {
			t.Errorf("read %q, %v, %+v, %+v", content, err, r.Stats(), r.Progress())
		}
	})
}

func eachRead(limit time.Duration) *middleware.Chain {
	return middleware.NewChain("s3", policies.NewTimeout(policies.TimeoutConfig{Limit: limit, Scope: policies.EachRead}))
}

// A limit for each read cuts a server that falls silent, and no other.
func TestSilenceIsCut(t *testing.T) {
	object := streams[1] // its content is sent as it is
	object.name, object.open = "GetObject", func(ctx context.Context, c *Client) (io.ReadCloser, error) {
		return c.GetObject(ctx, "bucket", "object", minio.GetObjectOptions{})
	}
	for _, row := range append(streams, object) {
		for _, silent := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, silent %v", row.name, silent), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
						for range 20 {
							send(w, row.chunk("x"))
							time.Sleep(4 * time.Second)
						}
						if silent {
							<-r.Context().Done()
						}
						send(w, row.end)
					}}
					r, err := row.open(t.Context(), s.connect(t, eachRead(5*time.Second)))
					if err != nil {
						t.Fatal(err)
					}
					content, err := io.ReadAll(leisurely{r})
					if len(content) != 20 || errors.Is(err, middleware.ErrTimeout) != silent || err == nil == silent {
						t.Errorf("read %q, %v", content, err)
					}
					r.Close()
				})
			})
		}
	}
}

// leisurely takes its time after each read, which is no silence of the server.
type leisurely struct{ io.Reader }

func (l leisurely) Read(p []byte) (int, error) {
	defer time.Sleep(7 * time.Second)
	return l.Reader.Read(p)
}

func TestSilenceBetweenPagesIsCut(t *testing.T) {
	for _, silent := range []bool{true, false} {
		t.Run(fmt.Sprintf("silent %v", silent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
					if silent && n == 4 {
						<-r.Context().Done()
						return
					}
					time.Sleep(4 * time.Second)
					page(w, r, 6)
				}}
				c, items, last := s.connect(t, eachRead(5*time.Second)), 0, error(nil)
				for _, err := range c.ListObjects(t.Context(), "bucket", minio.ListObjectsOptions{}) {
					if last = err; err == nil {
						items++
						time.Sleep(time.Minute) // how long the caller takes is his matter
					}
				}
				if want := map[bool]int{true: 6, false: 12}[silent]; items != want || errors.Is(last, middleware.ErrTimeout) != silent {
					t.Errorf("%d items, want %d; %v", items, want, last)
				}
			})
		})
	}
}

func TestPutObjectAnnotationBeginsWhereThePayloadStands(t *testing.T) {
	put := func(t *testing.T, c *Client, payload io.ReadSeeker) error {
		_, err := c.PutObjectAnnotation(t.Context(), "bucket", "object", "note", payload, minio.PutObjectAnnotationOptions{})
		return err
	}
	synctest.Test(t, func(t *testing.T) {
		s := failFirst(2, 503, "ServiceUnavailable", "")
		payload := strings.NewReader("not this, but this")
		payload.Seek(10, io.SeekStart)
		if err := put(t, s.connect(t, retrying(3)), payload); err != nil {
			t.Error(err)
		}
		s.wantRequests(t, 3)
		for _, r := range s.seen() {
			if r.method != http.MethodPut || r.body != "but this" {
				t.Errorf("request %v", r)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, errBroken := failFirst(0, 0, "", ""), errors.New("broken")
		c := s.connect(t, retrying(3))
		if err := put(t, c, faulty{errBroken}); err != errBroken {
			t.Error(err)
		}
		for _, payload := range []io.ReadSeeker{nil, (*bytes.Reader)(nil), bytes.NewReader(nil), bytes.NewReader(make([]byte, maxAnnotation+1))} {
			wantCode(t, put(t, c, payload), "InvalidArgument")
		}
		s.wantRequests(t, 0)
	})
}

type faulty struct{ err error }

func (f faulty) Read([]byte) (int, error)       { return 0, f.err }
func (f faulty) Seek(int64, int) (int64, error) { return 0, nil }
