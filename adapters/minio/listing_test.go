package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// page is a page of a listing with two objects.
func page(w http.ResponseWriter, r *http.Request, last int) {
	n := 1
	fmt.Sscan(r.URL.Query().Get("continuation-token"), &n)
	more := ""
	if n < last {
		more = fmt.Sprintf("<IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", n+1)
	}
	fmt.Fprintf(w, `<ListBucketResult>%s<Contents><Key>%da</Key></Contents><Contents><Key>%db</Key></Contents></ListBucketResult>`, more, n, n)
}

// collect lists until stop says so.
func collect(ctx context.Context, c *Client, stop func(key string) bool) (keys []string, errs []error) {
	for object, err := range c.ListObjects(ctx, "bucket", minio.ListObjectsOptions{}) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, object.Key)
		if stop != nil && stop(object.Key) {
			break
		}
	}
	return keys, errs
}

func TestM7Listing(t *testing.T) {
	for _, row := range []struct {
		name     string
		failures map[int]int // status of the n-th request
		stop     string      // the key after which the caller stops
		keys     []string
		code     string // of the error at the end
		requests int
	}{
		{"three pages", nil, "", []string{"1a", "1b", "2a", "2b", "3a", "3b"}, "", 3},
		{"failures before the first object", map[int]int{1: 503, 2: 500}, "", []string{"1a", "1b", "2a", "2b", "3a", "3b"}, "", 5},
		{"no object at all", map[int]int{1: 503, 2: 503, 3: 503}, "", nil, "scripted", 3},
		{"no bucket", map[int]int{1: 404}, "", nil, "scripted", 1},
		{"failure of a later page", map[int]int{2: 503}, "", []string{"1a", "1b"}, "scripted", 2},
		{"early stop", nil, "1a", []string{"1a"}, "", 1},
		{"early stop at the end of a page", nil, "2b", []string{"1a", "1b", "2a", "2b"}, "", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
					if status := row.failures[n]; status != 0 {
						fail(w, r, status, "scripted")
						return
					}
					page(w, r, 3)
				}}
				ended := 0
				c := s.connect(t, middleware.NewChain("s3", holder(&ended), retryPolicy(3)))
				keys, errs := collect(t.Context(), c, func(key string) bool { return key == row.stop })
				if !slices.Equal(keys, row.keys) {
					t.Errorf("keys %v, want %v", keys, row.keys)
				}
				switch {
				case row.code == "" && len(errs) != 0, row.code != "" && len(errs) != 1:
					t.Errorf("errors %v", errs)
				case row.code != "":
					wantCode(t, errs[0], row.code)
				}
				s.wantRequests(t, row.requests)
				if ended != 1 {
					t.Errorf("the policies released %d times", ended)
				}
			})
		})
	}
}

func TestM7ListingIsNotSilentlyCut(t *testing.T) {
	errTired := errors.New("tired")
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		spend func(context.CancelCauseFunc)
		want  error
	}{
		{"the caller cancels", nil, func(cancel context.CancelCauseFunc) { cancel(errTired) }, context.Canceled},
		{"a timeout that counts streams", middleware.NewChain("s3", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute, Scope: policies.UntilEnd})),
			func(context.CancelCauseFunc) { time.Sleep(2 * time.Minute) }, middleware.ErrTimeout},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) { page(w, r, 3) }}
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				keys, errs := collect(ctx, s.connect(t, row.chain), func(key string) bool {
					if key == "1b" {
						row.spend(cancel)
						synctest.Wait()
					}
					return false
				})
				if len(keys) != 2 || len(errs) != 1 || !errors.Is(errs[0], row.want) {
					t.Errorf("keys %v, errors %v", keys, errs)
				}
			})
		})
	}
}

func TestM7ListingOfAnEndedContext(t *testing.T) {
	c := failFirst(0, 0, "", "").connect(t, retrying(3))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	keys, errs := collect(ctx, c, nil)
	if keys != nil || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("keys %v, errors %v", keys, errs)
	}
}

func TestM7PanicInTheLoopReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) { page(w, r, 3) }}
		ended := 0
		c := s.connect(t, middleware.NewChain("s3", holder(&ended)))
		defer func() {
			if recover() != "boom" || ended != 1 {
				t.Errorf("released %d times", ended)
			}
		}()
		collect(t.Context(), c, func(string) bool { panic("boom") })
	})
}

func TestM7ListingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) { page(w, r, 1) }}
		listing := s.connect(t, nil).ListObjects(t.Context(), "bucket", minio.ListObjectsOptions{})
		s.wantRequests(t, 0)
		for range 2 {
			n := 0
			for range listing {
				n++
			}
			if n != 2 {
				t.Errorf("%d objects", n)
			}
		}
		s.wantRequests(t, 2)
	})
}

func TestListingThatIsCutIsRepeated(t *testing.T) {
	for name, half := range map[string]string{"empty": "", "half": "<ListBucketResult><Contents>"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
					if n == 1 {
						io.WriteString(w, half)
						return
					}
					page(w, r, 1)
				}}
				keys, errs := collect(t.Context(), s.connect(t, retrying(2)), nil)
				if len(keys) != 2 || errs != nil {
					t.Errorf("keys %v, errors %v", keys, errs)
				}
			})
		})
	}
}

// shelves answers listings of keys, which it numbers, as S3 does, in pages of two.
func shelves(keys []string, failures map[int]int, deaf bool) *script {
	return &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
		if status := failures[n]; status != 0 {
			fail(w, r, status, "scripted")
			return
		}
		after := r.URL.Query().Get("continuation-token")
		if after == "" && !deaf {
			after = r.URL.Query().Get("start-after")
		}
		first, found := slices.BinarySearch(keys, after)
		if found {
			first++
		}
		last := min(first+2, len(keys))
		io.WriteString(w, "<ListBucketResult>")
		for _, key := range keys[first:last] {
			fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", key)
		}
		if last < len(keys) {
			fmt.Fprintf(w, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", keys[last-1])
		}
		io.WriteString(w, "</ListBucketResult>")
	}}
}

func TestM7ListingGoesOnAfterTheLastObject(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e"}
	whole := minio.ListObjectsOptions{Recursive: true}
	for _, row := range []struct {
		name     string
		opts     minio.ListObjectsOptions
		attempts int
		failures map[int]int
		deaf     bool
		keys     []string
		ok       bool
		requests int
	}{
		{"a later page fails", whole, 3, map[int]int{2: 503}, false, all, true, 4},
		{"each later page fails", whole, 3, map[int]int{2: 503, 4: 500}, false, all, true, 5},
		{"and the next request too", whole, 3, map[int]int{2: 503, 3: 503}, false, all[:2], true, 0},
		{"as often as the retry permits", whole, 3, map[int]int{2: 503, 3: 503, 4: 503}, false, all[:2], false, 4},
		{"no retry", whole, 1, map[int]int{2: 503}, false, all[:2], false, 2},
		{"an answer that does not pass", whole, 3, map[int]int{2: 403}, false, all[:2], false, 2},
		{"not recursive", minio.ListObjectsOptions{}, 3, map[int]int{2: 503}, false, all[:2], false, 2},
		{"unsorted", minio.ListObjectsOptions{Recursive: true, Unsorted: true}, 3, map[int]int{2: 503}, false, all[:2], false, 2},
		{"a server that begins anew", whole, 3, map[int]int{2: 503}, true, all[:2], false, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if row.requests == 0 { // goes on after two failures
					row.keys, row.requests = all, 5
				}
				s := shelves(all, row.failures, row.deaf)
				ended, begun := 0, 0
				count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
					begun++
					return next.DoThen(ctx, func() { ended++ })
				})
				var keys []string
				var last error
				for object, err := range s.connect(t, middleware.NewChain("s3", count, retryPolicy(row.attempts))).ListObjects(t.Context(), "bucket", row.opts) {
					if last = err; err == nil {
						keys = append(keys, object.Key)
					}
				}
				if !slices.Equal(keys, row.keys) || (last == nil) != row.ok {
					t.Errorf("keys %v, %v; want %v", keys, last, row.keys)
				}
				if last != nil {
					wantCode(t, last, "scripted")
				}
				s.wantRequests(t, row.requests)
				if begun != ended {
					t.Errorf("%d calls, %d released", begun, ended)
				}
			})
		})
	}
}

func TestM7KinOfListObjects(t *testing.T) {
	const uploads = `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>` +
		`<Upload><Key>a</Key><UploadId>1</UploadId></Upload><Upload><Key>b</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>`
	const buckets = `<ListAllMyDirectoryBucketsResult><Buckets><Bucket><Name>a</Name></Bucket><Bucket><Name>b</Name></Bucket></Buckets>` +
		`<ContinuationToken>t</ContinuationToken></ListAllMyDirectoryBucketsResult>`
	for _, row := range []struct {
		name, page string
		list       func(context.Context, *Client, func(error) bool)
	}{
		{"ListIncompleteUploads", uploads, func(ctx context.Context, c *Client, each func(error) bool) {
			for _, err := range c.ListIncompleteUploads(ctx, "bucket", "", true) {
				if !each(err) {
					break
				}
			}
		}},
		{"ListDirectoryBuckets", buckets, func(ctx context.Context, c *Client, each func(error) bool) {
			for _, err := range c.ListDirectoryBuckets(ctx) {
				if !each(err) {
					break
				}
			}
		}},
	} {
		for _, stop := range []int{0, 1, 2, 3} { // 0: at the error of the third request
			t.Run(fmt.Sprint(row.name, stop), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
						if n == 1 || n == 4 {
							fail(w, r, 503, "scripted")
							return
						}
						io.WriteString(w, row.page)
					}}
					ended, items := 0, 0
					c := s.connect(t, middleware.NewChain("s3", holder(&ended), retryPolicy(3)))
					row.list(t.Context(), c, func(err error) bool {
						if err != nil {
							wantCode(t, err, "scripted")
							return false
						}
						items++
						return items != stop
					})
					if want := map[bool]int{true: 4, false: stop}[stop == 0]; items != want || ended != 1 {
						t.Errorf("%d items, want %d; %d released", items, want, ended)
					}
				})
			})
		}
	}
}

// Listings that are not in order have no place to go on from.
func TestM7ListingOutOfOrderIsNotContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				fail(w, r, 503, "scripted")
				return
			}
			io.WriteString(w, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"+
				"<Contents><Key>a</Key></Contents><Contents><Key>z</Key></Contents><Contents><Key>c</Key></Contents></ListBucketResult>")
		}}
		n := 0
		var last error
		for _, err := range s.connect(t, retrying(3)).ListObjects(t.Context(), "bucket", minio.ListObjectsOptions{Recursive: true}) {
			n++
			last = err
		}
		wantCode(t, last, "scripted")
		s.wantRequests(t, 2)
		if n != 4 {
			t.Errorf("%d pairs", n)
		}
	})
}
