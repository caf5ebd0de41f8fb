package minio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// hedging is a chain that runs a call once more after a second.
func hedging() *middleware.Chain {
	unlimited := policies.NewBudget(policies.BudgetConfig{Ratio: -1})
	return middleware.NewChain("s3", policies.NewHedge(policies.HedgeConfig{Delay: time.Second, Budget: unlimited}))
}

// firstHangs answers the first request only when it is given up, and the others at once.
func firstHangs(content string) *script {
	return &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			<-r.Context().Done()
			return
		}
		succeed(w, r, content)
	}}
}

func TestStatObjectIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := firstHangs("content"), time.Now()
		info, err := s.connect(t, hedging()).StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
		if info.Size != 7 || err != nil || time.Since(began) != time.Second {
			t.Errorf("%+v, %v after %v", info, err, time.Since(began))
		}
		s.wantRequests(t, 2)
	})
}

func TestGetObjectIsHedged(t *testing.T) {
	for _, row := range []struct {
		name   string
		script *script
		late   bool // the first answer comes in spite of the end of its context
	}{
		{"the loser never answers", firstHangs("content"), false},
		{"the loser answers too", failFirst(0, 0, "", "content"), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var open, answers, calls atomic.Int32
				c := row.script.connect(t, hedging(), func(o *minio.Options) {
					base := o.Transport
					o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
						if calls.Add(1) == 1 && row.late {
							time.Sleep(5 * time.Second)
							r = r.WithContext(context.WithoutCancel(r.Context()))
						}
						response, err := base.RoundTrip(r)
						if err == nil {
							answers.Add(1)
						}
						return response, err
					})
				}, bodies(&open))
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if got, want := answers.Load(), map[bool]int32{false: 1, true: 2}[row.late]; got != want || open.Load() != 1 {
					t.Errorf("%d answers, want %d; %d bodies are open", got, want, open.Load())
				}
				content, err := io.ReadAll(o)
				if string(content) != "content" || err != nil {
					t.Errorf("read %q, %v", content, err)
				}
				if open.Load() != 0 {
					t.Errorf("%d bodies are still open", open.Load())
				}
				row.script.wantRequests(t, 2)
			})
		})
	}
}

// What must not run beside itself does not, however long it takes.
func TestWhatIsNotHedged(t *testing.T) {
	stat := func(ctx context.Context, raw *minio.Client) (minio.ObjectInfo, error) {
		return raw.StatObject(ctx, "bucket", "object", minio.StatObjectOptions{})
	}
	do := func(op Op) func(*testing.T, *Client) error {
		return func(t *testing.T, c *Client) error {
			return c.Do(t.Context(), op, func(ctx context.Context, raw *minio.Client) error {
				_, err := stat(ctx, raw)
				return err
			})
		}
	}
	call := func(op Op) func(*testing.T, *Client) error {
		return func(t *testing.T, c *Client) error {
			_, err := Call(t.Context(), c, op, stat)
			return err
		}
	}
	put := func(r io.Reader) func(*testing.T, *Client) error {
		return func(t *testing.T, c *Client) error {
			_, err := c.PutObject(t.Context(), "bucket", "object", r, 7, minio.PutObjectOptions{})
			return err
		}
	}
	for _, row := range []struct {
		name string
		run  func(*testing.T, *Client) error
		want int
	}{
		{"PutObject of a section", put(strings.NewReader("content")), 1},
		{"PutObject of a seeker", put(seekOnly{strings.NewReader("content")}), 1},
		{"PutObject of a stream", put(io.MultiReader(strings.NewReader("content"))), 1},
		{"CopyObject", func(t *testing.T, c *Client) error {
			dst, src := minio.CopyDestOptions{Bucket: "bucket", Object: "to"}, minio.CopySrcOptions{Bucket: "bucket", Object: "object"}
			_, err := c.CopyObject(t.Context(), dst, src)
			return err
		}, 1},
		{"RemoveObject", func(t *testing.T, c *Client) error {
			return c.RemoveObject(t.Context(), "bucket", "object", minio.RemoveObjectOptions{})
		}, 1},
		{"FGetObject", func(t *testing.T, c *Client) error {
			return c.FGetObject(t.Context(), "bucket", "object", filepath.Join(t.TempDir(), "file"), minio.GetObjectOptions{})
		}, 2}, // it asks for what is known of the object first
		{"Do", do(Op{Name: "StatObject", Bucket: "bucket", Kind: Read}), 1},
		{"Call", call(Op{Name: "StatObject", Bucket: "bucket", Kind: Read}), 1},
		{"Do, idempotent", do(Op{Name: "StatObject", Bucket: "bucket", Kind: Read, Idempotent: true}), 2},
		{"Call, idempotent", call(Op{Name: "StatObject", Bucket: "bucket", Kind: Read, Idempotent: true}), 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
					time.Sleep(10 * time.Second)
					if r.Header.Get("X-Amz-Copy-Source") != "" {
						io.WriteString(w, `<CopyObjectResult><ETag>"0123456789abcdef"</ETag></CopyObjectResult>`)
						return
					}
					succeed(w, r, "content")
				}}
				if err := row.run(t, s.connect(t, hedging())); err != nil {
					t.Error(err)
				}
				s.wantRequests(t, row.want)
			})
		})
	}
}

// A caller who gives up ends all runs.
func TestTheEndOfAHedgedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		s := &script{answer: func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		o, err := s.connect(t, hedging(), bodies(&open)).GetObject(ctx, "bucket", "object", minio.GetObjectOptions{})
		if o != nil || !errors.Is(err, context.DeadlineExceeded) || open.Load() != 0 {
			t.Errorf("%v, %v; %d bodies are open", o, err, open.Load())
		}
		s.wantRequests(t, 2)
	})
}
