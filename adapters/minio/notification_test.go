package minio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/notification"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// tell sends one event for each name.
func tell(w http.ResponseWriter, names ...string) {
	for _, name := range names {
		fmt.Fprintf(w, `{"Records":[{"eventName":%q}]}`+"\n", name)
	}
	w.(http.Flusher).Flush()
}

// heard is what a caller gets: names of events, and errors as "error".
type heard struct {
	names []string
	errs  []error
	at    []time.Duration // since the beginning
}

// hear listens until stop reports true.
func hear(ctx context.Context, c *Client, bucket string, stop func(*heard) bool) *heard {
	h, began := &heard{}, time.Now()
	for info, err := range c.ListenBucketNotification(ctx, bucket, "", "", []string{"s3:ObjectCreated:*"}) {
		h.at = append(h.at, time.Since(began))
		h.note(info, err)
		if stop != nil && stop(h) {
			break
		}
	}
	return h
}

func (h *heard) note(info notification.Info, err error) {
	if err != nil {
		h.names, h.errs = append(h.names, "error"), append(h.errs, err)
		return
	}
	for _, e := range info.Records {
		h.names = append(h.names, e.EventName)
	}
}

func after(n int) func(*heard) bool { return func(h *heard) bool { return len(h.at) == n } }

// settled lets the time pass that minio-go's goroutine sleeps without watching its
// context. The end of the bubble fails if it is still there.
func settled() { time.Sleep(time.Minute) }

func TestM15ListeningPassesNoPolicy(t *testing.T) {
	open := policies.NewBreaker(policies.BreakerConfig{})
	open.ForceOpen()
	for _, row := range []struct {
		name   string
		policy middleware.Policy
		reason error // of the rejection of any other call
	}{
		{"an open breaker", open, middleware.ErrOpen},
		{"a timeout", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second, Scope: policies.UntilEnd}), middleware.ErrTimeout},
		{"a full bulkhead", policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}), middleware.ErrBulkheadFull},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
					if r.URL.Query().Has("events") {
						tell(w, "one")
					}
					select {
					case <-time.After(time.Minute):
						tell(w, "two")
					case <-r.Context().Done():
					}
				}}
				seen := &verdicts{}
				chain := middleware.NewChain("s3", row.policy, seen)
				release := make(chan struct{})
				go chain.Do(t.Context(), func(context.Context) error { <-release; return nil })
				synctest.Wait()
				c := s.connect(t, chain)
				if _, err := c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{}); !errors.Is(err, row.reason) {
					t.Errorf("any other call: %v, want %v", err, row.reason)
				}
				before := len(seen.seen)
				h := hear(t.Context(), c, "bucket", after(2))
				if want := "[one two]"; fmt.Sprint(h.names) != want {
					t.Errorf("heard %v (%v), want %s", h.names, h.errs, want)
				}
				if got := seen.seen[before:]; len(got) != 0 {
					t.Errorf("the chain saw %v", got)
				}
				close(release)
				settled()
			})
		})
	}
}

func TestM15ListeningOutlivesAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				tell(w, "one", "two")
				panic(http.ErrAbortHandler)
			case 2: // the end without an error
				tell(w, "three")
			default:
				tell(w, "four")
				<-r.Context().Done()
			}
		}}
		c := s.connect(t, nil)
		h := hear(t.Context(), c, "bucket", after(5))
		if want := "[one two error three four]"; fmt.Sprint(h.names) != want {
			t.Errorf("heard %v (%v), want %s", h.names, h.errs, want)
		}
		s.wantRequests(t, 3)
		settled()
	})
}

func TestM15ListeningWaitsLongerEachTime(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, row := range []struct {
		name string
		fail bool // the connection, not the server
	}{
		{"a refused connection", true},
		{"unavailable", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const failures = 10
				tries := 0
				s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
					if tries <= failures {
						fail(w, r, 503, "ServiceUnavailable")
						return
					}
					tell(w, "one")
					panic(http.ErrAbortHandler)
				}}
				c := s.connect(t, nil, func(o *minio.Options) {
					base := o.Transport
					o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
						if tries++; row.fail && tries <= failures {
							return nil, refused
						}
						return base.RoundTrip(r)
					})
				})
				h := hear(t.Context(), c, "bucket", after(failures+1))
				if len(h.names) != failures+1 || h.names[failures] != "one" {
					t.Fatalf("heard %v", h.names)
				}
				for _, err := range h.errs {
					if row.fail && !errors.Is(err, refused) {
						t.Error(err)
					} else if !row.fail {
						wantCode(t, err, "ServiceUnavailable")
					}
				}
				// A wait is half as long or half as long again, and minio-go adds a fifth of
				// a second, so each is longer than the last but one, up to the longest.
				var waits []time.Duration
				for i := range failures {
					waits = append(waits, h.at[i+1]-h.at[i])
				}
				if waits[0] < minListenWait/2 {
					t.Errorf("waits %v", waits)
				}
				for i := 2; i < 5; i++ {
					if waits[i] <= waits[i-2] {
						t.Errorf("waits %v do not grow", waits)
					}
				}
				if longest := slices.Max(waits); longest > maxListenWait*3/2+time.Second {
					t.Errorf("a wait of %v", longest)
				}
				if last := waits[failures-1]; last < maxListenWait/2 {
					t.Errorf("the last wait is %v", last)
				}
				settled()
			})
		})
	}
}

func TestM15WaitsBeginAnewAfterAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 8 {
				tell(w, "one")
				panic(http.ErrAbortHandler)
			}
			fail(w, r, 503, "ServiceUnavailable")
		}}
		// The break after the event is an error and minio-go's own turn.
		h := hear(t.Context(), s.connect(t, nil), "bucket", after(11))
		if len(h.names) != 11 || h.names[7] != "one" || len(h.errs) != 10 {
			t.Fatalf("heard %v", h.names)
		}
		if before, afterwards := h.at[7]-h.at[6], h.at[10]-h.at[9]; afterwards >= before || afterwards > 2*minListenWait {
			t.Errorf("the wait was %v and is %v", before, afterwards)
		}
		settled()
	})
}

func TestM15RefusalEndsListening(t *testing.T) {
	for _, row := range []struct {
		name     string
		bucket   string
		requests int
	}{
		{"denied", "bucket", 1},
		{"a bad name of a bucket", "B", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(403, "AccessDenied")
				h := hear(t.Context(), s.connect(t, nil), row.bucket, after(5))
				if len(h.errs) != 1 || len(h.names) != 1 {
					t.Errorf("heard %v (%v)", h.names, h.errs)
				}
				s.wantRequests(t, row.requests)
				settled()
				s.wantRequests(t, row.requests)
			})
		})
	}
}

// The caller does not wait for minio-go.
func TestM15ListeningEndsAtOnce(t *testing.T) {
	broken := func(_ int, w http.ResponseWriter, _ *http.Request) {
		tell(w, "one")
		panic(http.ErrAbortHandler)
	}
	for _, row := range []struct {
		name   string
		answer func(int, http.ResponseWriter, *http.Request)
		items  int           // until the caller breaks
		limit  time.Duration // of the context
		want   string
	}{
		{"break while an event is awaited", func(_ int, w http.ResponseWriter, r *http.Request) {
			tell(w, "one")
			<-r.Context().Done()
		}, 1, time.Hour, "[one] after 0s"},
		{"break while minio-go sleeps", broken, 2, time.Hour, "[one error] after 0s"},
		{"break before the second of two events", func(_ int, w http.ResponseWriter, r *http.Request) {
			tell(w, "one", "two")
			<-r.Context().Done()
		}, 1, time.Hour, "[one] after 0s"},
		{"the end of the context while an event is awaited", func(_ int, w http.ResponseWriter, r *http.Request) {
			tell(w, "one")
			<-r.Context().Done()
		}, 0, 7 * time.Second, "[one error] after 7s"},
		{"the end of the context while minio-go sleeps", broken, 0, time.Millisecond, "[one error error] after 1ms"},
		{"the end of the context during a wait", func(_ int, w http.ResponseWriter, r *http.Request) {
			fail(w, r, 503, "ServiceUnavailable")
		}, 0, 400 * time.Millisecond, "[error error] after 400ms"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := (&script{answer: row.answer}).connect(t, nil)
				ctx, cancel := context.WithTimeout(t.Context(), row.limit)
				defer cancel()
				began := time.Now()
				h := hear(ctx, c, "bucket", after(row.items))
				if got := fmt.Sprintf("%v after %v", h.names, time.Since(began)); got != row.want {
					t.Errorf("heard %s, want %s; errors %v", got, row.want, h.errs)
				}
				if last := len(h.errs) - 1; ctx.Err() != nil && !errors.Is(h.errs[last], context.DeadlineExceeded) {
					t.Errorf("the last error is %v", h.errs[last])
				}
				settled()
			})
		})
	}
}

func TestM15ListeningForAllBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			tell(w, "one")
			<-r.Context().Done()
		}}
		for info, err := range s.connect(t, nil).ListenNotification(t.Context(), "p", "s", []string{"s3:ObjectCreated:*"}) {
			if err != nil || len(info.Records) != 1 {
				t.Error(info, err)
			}
			break
		}
		const want = "events=s3%3AObjectCreated%3A%2A&ping=10&prefix=p&suffix=s"
		if got := s.seen(); len(got) != 1 || got[0].path != "/" || got[0].query != want {
			t.Errorf("requests %v", got)
		}
		settled()
	})
}

func TestM15ListeningWithoutAClient(t *testing.T) {
	var none *Client
	for _, c := range []*Client{none, Wrap(nil, nil)} {
		if h := hear(t.Context(), c, "bucket", nil); len(h.errs) != 1 || h.errs[0] != errNoClient {
			t.Errorf("heard %v (%v)", h.names, h.errs)
		}
	}
}
