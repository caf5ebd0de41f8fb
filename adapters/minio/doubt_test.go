package minio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// scripted answers the n-th request that changes something with the n-th code: cut
// breaks the connection, "" succeeds with that status, and what is not known here is
// an answer of the other status.
func scripted(codes []string, succeeds, otherwise int) (s *script, changes *int) {
	changes = new(int)
	return &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, "<ListMultipartUploadsResult><Upload><Key>object</Key><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>")
			return
		}
		*changes++
		switch code := codes[*changes-1]; code {
		case "":
			w.Header().Set("ETag", `"e"`)
			w.WriteHeader(succeeds)
			if r.Header.Get("X-Amz-Copy-Source") != "" {
				io.WriteString(w, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
			}
		case cut:
			panic(http.ErrAbortHandler)
		case "InternalError":
			fail(w, r, 500, code)
		case "SlowDown", "ServiceUnavailable":
			fail(w, r, 503, code)
		default:
			fail(w, r, otherwise, code)
		}
	}}, changes
}

// TestM12WhatWasDoneBeforeIsSuccessAfterAnUncertainAttempt: only then.
func TestM12WhatWasDoneBeforeIsSuccessAfterAnUncertainAttempt(t *testing.T) {
	const done = "done" // the operation's own code for it
	for _, op := range []struct {
		name             string
		done             string
		status, succeeds int
		run              func(context.Context, *Client) error
	}{
		{"MakeBucket", "BucketAlreadyOwnedByYou", 409, 200, func(ctx context.Context, c *Client) error {
			return c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{})
		}},
		{"RemoveBucket", "NoSuchBucket", 404, 204, func(ctx context.Context, c *Client) error {
			return c.RemoveBucket(ctx, "bucket")
		}},
		{"RemoveBucketWithOptions", "NoSuchBucket", 404, 204, func(ctx context.Context, c *Client) error {
			return c.RemoveBucketWithOptions(ctx, "bucket", minio.RemoveBucketOptions{ForceDelete: true})
		}},
		{"RemoveIncompleteUpload", "NoSuchUpload", 404, 204, func(ctx context.Context, c *Client) error {
			return c.RemoveIncompleteUpload(ctx, "bucket", "object")
		}},
		{"RestoreObject", "RestoreAlreadyInProgress", 409, 202, func(ctx context.Context, c *Client) error {
			return c.RestoreObject(ctx, "bucket", "object", "", minio.RestoreRequest{})
		}},
	} {
		for _, row := range []struct {
			name    string
			answers []string
			refused int // connections that do not come about, before the first answer
			want    string
		}{
			{"done at once", []string{""}, 0, ""},
			{"done to begin with", []string{done}, 0, done},
			{"the connection broke, then done", []string{cut, done}, 0, ""},
			{"a failure, then done", []string{"InternalError", done}, 0, ""},
			{"two failures, then done", []string{"InternalError", "SlowDown", done}, 0, ""},
			{"throttled, so not run, then done", []string{"SlowDown", done}, 0, done},
			{"never sent, then done", []string{done}, 1, done},
			{"a failure, then another answer", []string{"InternalError", "BucketAlreadyExists"}, 0, "BucketAlreadyExists"},
		} {
			t.Run(op.name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					answers := strings.Split(strings.ReplaceAll(strings.Join(row.answers, ","), done, op.done), ",")
					s, changes := scripted(answers, op.succeeds, op.status)
					err := op.run(t.Context(), s.connect(t, retrying(4), refusing(row.refused)))
					if want := strings.ReplaceAll(row.want, done, op.done); want != "" {
						wantCode(t, err, want)
					} else if err != nil {
						t.Error(err)
					}
					if *changes != len(answers) {
						t.Errorf("%d requests, want %d", *changes, len(answers))
					}
				})
			})
		}
	}
}

func TestM12ConditionThatFailsAfterAnUncertainAttemptIsAmbiguous(t *testing.T) {
	const failed = "PreconditionFailed"
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	for name, run := range map[string]func(context.Context, *Client) error{
		"PutObject": func(ctx context.Context, c *Client) error {
			_, err := c.PutObject(ctx, "bucket", "object", strings.NewReader(digits), 10, opts)
			return err
		},
		"FPutObject": func(ctx context.Context, c *Client) error {
			file := aFile()
			defer os.Remove(file)
			_, err := c.FPutObject(ctx, "bucket", "object", file, opts)
			return err
		},
		"CopyObject": func(ctx context.Context, c *Client) error {
			dst, src := minio.CopyDestOptions{Bucket: "bucket", Object: "object"}, minio.CopySrcOptions{Bucket: "bucket", Object: "source"}
			_, err := c.CopyObject(ctx, dst, src)
			return err
		},
	} {
		for _, row := range []struct {
			name      string
			answers   []string
			refused   int
			want      string
			ambiguous bool
		}{
			{"written at once", []string{""}, 0, "", false},
			{"written after all", []string{cut, ""}, 0, "", false},
			{"at once", []string{failed}, 0, failed, false},
			{"after the connection broke", []string{cut, failed}, 0, failed, true},
			{"after a failure", []string{"InternalError", failed}, 0, failed, true},
			{"after a 503", []string{"ServiceUnavailable", failed}, 0, failed, true},
			{"after a failure and a throttling", []string{"InternalError", "SlowDown", failed}, 0, failed, true},
			{"after a throttling", []string{"SlowDown", failed}, 0, failed, false},
			{"never sent before", []string{failed}, 1, failed, false},
			{"another answer after a failure", []string{"InternalError", "AccessDenied"}, 0, "AccessDenied", false},
		} {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, changes := scripted(row.answers, 200, 412)
					err := run(t.Context(), s.connect(t, retrying(4), refusing(row.refused)))
					checkAmbiguous(t, err, name, row.want, row.ambiguous)
					if *changes != len(row.answers) {
						t.Errorf("%d requests, want %d", *changes, len(row.answers))
					}
				})
			})
		}
	}
}

func checkAmbiguous(t *testing.T, err error, op, code string, want bool) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	wantCode(t, err, code)
	var ambiguous *AmbiguousError
	if errors.As(err, &ambiguous) != want {
		t.Fatalf("error %v (%T), want an AmbiguousError: %v", err, err, want)
	}
	if !want {
		if got, ok := err.(minio.ErrorResponse); !ok || got.Code != code {
			t.Errorf("error %T, want minio-go's own", err)
		}
		return
	}
	if ambiguous.Op != op || ambiguous.ErrorType() != "ambiguous" || !strings.Contains(err.Error(), op) {
		t.Errorf("error %#v of %s", ambiguous, op)
	}
}

// TestM12UploadThatIsGoneWhenCompletedAgainIsAmbiguous: minio-go sends the request
// that completes an upload again, which the Client does not see.
func TestM12UploadThatIsGoneWhenCompletedAgainIsAmbiguous(t *testing.T) {
	for name, first := range map[string]string{"cut": cut, "failure": "InternalError"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				completed := 0
				m := newMultipart(func(*http.Request) bool { return false })
				answer := m.answer
				m.answer = func(n int, w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || r.URL.Query().Has("uploads") {
						answer(n, w, r)
						return
					}
					switch completed++; {
					case completed > 1:
						fail(w, r, 404, "NoSuchUpload")
					case first == cut:
						panic(http.ErrAbortHandler)
					default:
						fail(w, r, 500, first)
					}
				}
				seen := &verdicts{}
				c := m.connect(t, middleware.NewChain("s3", retryPolicy(3), seen))
				reader := iotest.DataErrReader(strings.NewReader(digits))
				_, err := c.PutObject(t.Context(), "bucket", "object", reader, -1, minio.PutObjectOptions{PartSize: 5 << 20})
				checkAmbiguous(t, err, "PutObject", "NoSuchUpload", true)
				seen.want(t, middleware.Verdict{Class: successClass, Reason: "not_found"})
				if completed != 2 {
					t.Errorf("completed %d times, want 2", completed)
				}
			})
		})
	}
}

// TestM13: what a repeat may do twice is repeated where that does no harm, and
// otherwise only when nothing was sent.
func TestM13RepeatsOfWhatIsNotTheSameTwice(t *testing.T) {
	for _, op := range operations {
		repeats := false
		switch op.name {
		case "RemoveObject", "CopyObject": // in a bucket with versions one more marker or version
			repeats = true
		case "AppendObject", "PutObjectFanOut", "ResetBucketReplication", "ResetBucketReplicationOnTarget":
		default:
			continue
		}
		for _, row := range []struct {
			name    string
			code    string
			refused int
		}{
			{"503", "ServiceUnavailable", 0},
			{"throttled", "SlowDown", 0},
			{"cut", cut, 0},
			{"refused, then 503", "ServiceUnavailable", 2},
			{"refused, then cut", cut, 1},
			{"refused each time", "", 4},
		} {
			t.Run(op.name+"/"+row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const attempts = 4
					changes := 0
					s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
						if r.Method == http.MethodHead { // AppendObject asks for the size
							succeed(w, r, "content")
							return
						}
						if changes++; row.code == cut {
							panic(http.ErrAbortHandler)
						}
						fail(w, r, 503, row.code)
					}}
					if err := op.run(t.Context(), s.connect(t, retrying(attempts), needs(op.name), refusing(row.refused))); err == nil {
						t.Error("no error")
					}
					want := attempts - row.refused
					if !repeats {
						want = min(1, want)
					}
					if changes != want {
						t.Errorf("%d requests that change something, want %d: %v", changes, want, s.seen())
					}
				})
			})
		}
	}
}
