package minio

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// says is what a server answers to one request to remove objects: the codes of those
// that it does not remove. The code of "" is that of the request as a whole.
type says map[string]string

const (
	cut     = "cut"     // the connection breaks after the work was done
	garbage = "garbage" // the answer is none of S3
	silence = "silence" // the answer names no object
)

// remover is a server that answers the n-th request with the n-th of its answers,
// and everything after them with success.
func remover(answers ...says) *script {
	s := &script{}
	s.answer = func(n int, w http.ResponseWriter, r *http.Request) {
		var say says
		if n <= len(answers) {
			say = answers[n-1]
		}
		switch code := say[""]; code {
		case "":
		case cut:
			panic(http.ErrAbortHandler)
		case garbage:
			io.WriteString(w, "<html>Welcome</html>")
			return
		case silence:
			io.WriteString(w, "<DeleteResult></DeleteResult>")
			return
		case "AccessDenied":
			fail(w, r, 403, code)
			return
		default:
			fail(w, r, 503, code)
			return
		}
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		var b strings.Builder
		for _, key := range keysIn(s.seen()[n-1].body) {
			if code := say[key]; code != "" {
				fmt.Fprintf(&b, "<Error><Key>%s</Key><Code>%s</Code><Message>scripted</Message></Error>", key, code)
			} else {
				fmt.Fprintf(&b, "<Deleted><Key>%s</Key></Deleted>", key)
			}
		}
		fmt.Fprintf(w, "<DeleteResult>%s</DeleteResult>", b.String())
	}
	return s
}

func keysIn(body string) (keys []string) {
	var request struct {
		Object []struct {
			Key string `xml:"Key"`
		} `xml:"Object"`
	}
	if err := xml.Unmarshal([]byte(body), &request); err != nil {
		panic(err)
	}
	for _, o := range request.Object {
		keys = append(keys, o.Key)
	}
	return keys
}

// asked returns the keys of each request that s has seen. A DELETE has a minus.
func asked(s *script) (all []string) {
	for _, r := range s.seen() {
		if r.method == http.MethodDelete {
			all = append(all, "-"+strings.TrimPrefix(r.path, "/bucket/"))
			continue
		}
		all = append(all, strings.Join(keysIn(r.body), " "))
	}
	return all
}

// removed returns the results as "key" or "key:error", sorted.
func removed(t *testing.T, results iter.Seq2[minio.RemoveObjectResult, error]) (all []string) {
	t.Helper()
	for result, err := range results {
		if fmt.Sprint(err) != fmt.Sprint(result.Err) {
			t.Errorf("error %v, but the result has %v", err, result.Err)
		}
		text := result.ObjectName
		var response minio.ErrorResponse
		var urlError *url.Error
		switch {
		case err == nil:
		case errors.As(err, &response):
			text += ":" + response.Code
		case errors.Is(err, middleware.ErrOpen):
			text += ":open"
		case errors.Is(err, context.Canceled):
			text += ":canceled"
		case errors.As(err, &urlError):
			text += ":" + cut
		default:
			text += ":error"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func TestM14RemoveObjectsAsksAgainForWhatMayPass(t *testing.T) {
	const odd = "o\x01d" // XML cannot hold it, so minio-go sends a DELETE of its own
	var (
		denied    = middleware.Verdict{Class: successClass, Reason: "denied"}
		internal  = middleware.Verdict{Class: failure, Retry: true, Reason: "status_5xx"}
		throttled = middleware.Verdict{Class: throttle, Retry: true, Reason: "throttled"}
		away      = middleware.Verdict{Class: failure, Retry: true, Reason: "unavailable"}
		network   = middleware.Verdict{Class: failure, Retry: true, Reason: "network"}
		fine      = middleware.Verdict{}
	)
	for _, row := range []struct {
		name    string
		keys    string
		answers []says
		asked   []string
		want    string // the removed
		seen    []middleware.Verdict
	}{
		{
			"all removed", "a b c", nil,
			[]string{"a b c"}, "a b c", []middleware.Verdict{fine},
		},
		{
			"none given", "", nil,
			nil, "", nil,
		},
		{
			"some fail at first", "a b c d",
			[]says{{"b": "InternalError", "d": "SlowDown"}, {"d": "SlowDown"}},
			[]string{"a b c d", "b d", "d"}, "a b c d", []middleware.Verdict{internal, throttled, fine},
		},
		{
			"one fails to the end", "a b c",
			[]says{{"b": "InternalError"}, {"b": "InternalError"}, {"b": "SlowDown"}},
			[]string{"a b c", "b", "b"}, "a b:SlowDown c", []middleware.Verdict{internal, internal, throttled},
		},
		{
			"two fail to the end, each for its own reason", "a b c",
			[]says{{"b": "InternalError", "c": "SlowDown"}, {"b": "InternalError", "c": "SlowDown"}, {"b": "InternalError", "c": "SlowDown"}},
			[]string{"a b c", "b c", "b c"}, "a b:InternalError c:SlowDown", []middleware.Verdict{internal, internal, internal},
		},
		{
			"one is denied", "a b c",
			[]says{{"b": "AccessDenied"}},
			[]string{"a b c"}, "a b:AccessDenied c", []middleware.Verdict{denied},
		},
		{
			"one is denied, another may pass", "a b c",
			[]says{{"a": "AccessDenied", "c": "InternalError"}},
			[]string{"a b c", "c"}, "a:AccessDenied b c", []middleware.Verdict{internal, fine},
		},
		{
			"one may pass, another is denied", "a b c",
			[]says{{"a": "InternalError", "c": "AccessDenied"}},
			[]string{"a b c", "a"}, "a b c:AccessDenied", []middleware.Verdict{internal, fine},
		},
		{
			"denied when asked again", "a b",
			[]says{{"a": "InternalError"}, {"a": "AccessDenied"}},
			[]string{"a b", "a"}, "a:AccessDenied b", []middleware.Verdict{internal, denied},
		},
		{
			"gone already", "a b",
			[]says{{"b": "NoSuchVersion"}},
			[]string{"a b"}, "a b", []middleware.Verdict{fine},
		},
		{
			"the same twice", "a b a",
			[]says{{"a": "AccessDenied"}},
			[]string{"a b a"}, "a:AccessDenied " + "a:AccessDenied b", []middleware.Verdict{denied},
		},
		{
			"the request fails at first", "a b",
			[]says{{"": "ServiceUnavailable"}},
			[]string{"a b", "a b"}, "a b", []middleware.Verdict{away, fine},
		},
		{
			"the request fails to the end", "a b",
			[]says{{"": "ServiceUnavailable"}, {"": "ServiceUnavailable"}, {"": "ServiceUnavailable"}},
			[]string{"a b", "a b", "a b"}, "a:ServiceUnavailable b:ServiceUnavailable", []middleware.Verdict{away, away, away},
		},
		{
			"the request is denied", "a b",
			[]says{{"": "AccessDenied"}},
			[]string{"a b"}, "a:AccessDenied b:AccessDenied", []middleware.Verdict{denied},
		},
		{
			"an item fails, then the request", "a b",
			[]says{{"b": "InternalError"}, {"": "ServiceUnavailable"}, {"": "ServiceUnavailable"}},
			[]string{"a b", "b", "b"}, "a b:ServiceUnavailable", []middleware.Verdict{internal, away, away},
		},
		{
			"the request fails, then an item", "a b",
			[]says{{"": "ServiceUnavailable"}, {"": "ServiceUnavailable"}, {"b": "InternalError"}},
			[]string{"a b", "a b", "a b"}, "a b:InternalError", []middleware.Verdict{away, away, internal},
		},
		{
			"the answer is lost", "a b",
			[]says{{"": cut}, {"a": "NoSuchVersion"}},
			[]string{"a b", "a b"}, "a b", []middleware.Verdict{network, fine},
		},
		{
			"every answer is lost", "a b",
			[]says{{"": cut}, {"": cut}, {"": cut}},
			[]string{"a b", "a b", "a b"}, "a:cut b:cut", []middleware.Verdict{network, network, network},
		},
		{
			"an answer is none of S3", "a b",
			[]says{{"": garbage}},
			[]string{"a b", "a b"}, "a b", []middleware.Verdict{network, fine},
		},
		{
			"no answer is of S3", "a b",
			[]says{{"": garbage}, {"": garbage}, {"": garbage}},
			[]string{"a b", "a b", "a b"}, "a:error b:error", []middleware.Verdict{network, network, network},
		},
		{
			"a key that XML cannot hold", "a " + odd + " b", nil,
			[]string{"-" + odd, "a b"}, "a b " + odd, []middleware.Verdict{fine},
		},
		{
			"its DELETE is denied", "a " + odd + " b",
			[]says{{"": "AccessDenied"}},
			[]string{"-" + odd, "a b"}, "a b " + odd + ":AccessDenied", []middleware.Verdict{denied},
		},
		{
			"its DELETE is denied, another is gone already", "a " + odd + " b",
			[]says{{"": "AccessDenied"}, {"a": "NoSuchVersion"}},
			[]string{"-" + odd, "a b"}, "a b " + odd + ":AccessDenied", []middleware.Verdict{denied},
		},
		{
			"its DELETE fails at first", "a " + odd + " b",
			[]says{{"": "ServiceUnavailable"}},
			[]string{"-" + odd, "a b", "-" + odd}, "a b " + odd, []middleware.Verdict{away, fine},
		},
		{
			"its DELETE is denied, the others fail at first", "a " + odd + " b",
			[]says{{"": "AccessDenied"}, {"b": "InternalError"}},
			[]string{"-" + odd, "a b", "b"}, "a b " + odd + ":AccessDenied", []middleware.Verdict{internal, fine},
		},
		{
			"its DELETE is done, the others fail at first", "a " + odd + " b",
			[]says{nil, {"": "ServiceUnavailable"}},
			[]string{"-" + odd, "a b", "a b"}, "a b " + odd, []middleware.Verdict{away, fine},
		},
		{
			"the second of two such is denied", odd + " " + odd + "2",
			[]says{nil, {"": "AccessDenied"}},
			[]string{"-" + odd, "-" + odd + "2"}, odd + " " + odd + "2:AccessDenied", []middleware.Verdict{denied},
		},
		{
			"two such fail for their own reasons", odd + " " + odd + "2 a",
			[]says{{"": "ServiceUnavailable"}, {"": "AccessDenied"}},
			[]string{"-" + odd, "-" + odd + "2", "a", "-" + odd}, "a " + odd + " " + odd + "2:AccessDenied", []middleware.Verdict{away, fine},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := remover(row.answers...), &verdicts{}
				c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen))
				keys := objectsNamed(strings.Fields(row.keys)...)
				got := removed(t, c.RemoveObjects(t.Context(), "bucket", keys, minio.RemoveObjectsOptions{}))
				if !slices.Equal(got, strings.Fields(row.want)) {
					t.Errorf("results %q, want %q", got, row.want)
				}
				if got := asked(s); !slices.Equal(got, row.asked) {
					t.Errorf("requests %q, want %q", got, row.asked)
				}
				seen.want(t, row.seen...)
			})
		})
	}
}

// counted yields n objects and counts how many were taken.
func counted(n int) (objects iter.Seq[minio.ObjectInfo], taken *atomic.Int64) {
	taken = new(atomic.Int64)
	return func(yield func(minio.ObjectInfo) bool) {
		for i := range n {
			taken.Add(1)
			if !yield(minio.ObjectInfo{Key: fmt.Sprintf("object-%04d", i)}) {
				return
			}
		}
	}, taken
}

func TestM14RemoveObjectsTakesOneRequestPer1000(t *testing.T) {
	unavailable := says{"": "ServiceUnavailable"}
	for _, row := range []struct {
		name     string
		answers  []says
		stop     int // after so many results; 0: never
		open     bool
		gone     bool // the context is
		requests []int
		taken    int
		results  int
		failed   int
	}{
		{"all", nil, 0, false, false, []int{1000, 1000, 500}, 2500, 2500, 0},
		{"one fails for good in the first", []says{{"object-0007": "AccessDenied"}}, 0, false, false, []int{1000, 1000, 500}, 2500, 2500, 1},
		{"one fails to the end in the first", []says{{"object-0007": "InternalError"}, {"object-0007": "InternalError"}}, 0, false, false, []int{1000, 1, 1000, 500}, 2500, 2500, 1},
		{"the second fails", []says{nil, unavailable, unavailable}, 0, false, false, []int{1000, 1000, 1000}, 2000, 2000, 1000},
		{"the second fails at first", []says{nil, unavailable}, 0, false, false, []int{1000, 1000, 1000, 500}, 2500, 2500, 0},
		{"an item fails, then its repeat", []says{{"object-0007": "InternalError"}, unavailable}, 0, false, false, []int{1000, 1}, 1000, 1000, 1},
		{"stopped in the first", nil, 10, false, false, []int{1000}, 1000, 10, 0},
		{"stopped after the first", nil, 1001, false, false, []int{1000, 1000}, 2000, 1001, 0},
		{"open breaker", nil, 0, true, false, nil, 1000, 1000, 1000},
		{"cancelled", nil, 0, false, true, nil, 1000, 1000, 1000},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				breaker := policies.NewBreaker(policies.BreakerConfig{})
				if row.open {
					breaker.ForceOpen()
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				want := middleware.ErrOpen
				if row.gone {
					cancel()
					want = context.Canceled
				}
				s := remover(row.answers...)
				c := s.connect(t, middleware.NewChain("s3", retryPolicy(2), breaker))
				objects, taken := counted(2500)
				results, failed, names := 0, 0, map[string]bool{}
				for result, err := range c.RemoveObjects(ctx, "bucket", objects, minio.RemoveObjectsOptions{}) {
					results++
					names[result.ObjectName] = true
					if err != nil {
						failed++
					}
					if (row.open || row.gone) && !errors.Is(err, want) {
						t.Fatalf("error %v, want %v", err, want)
					}
					if results == row.stop {
						break
					}
				}
				if results != row.results || failed != row.failed || len(names) != results {
					t.Errorf("%d results of %d objects, %d with an error; want %d, %d", results, len(names), failed, row.results, row.failed)
				}
				if int(taken.Load()) != row.taken {
					t.Errorf("%d objects taken, want %d", taken.Load(), row.taken)
				}
				var requests []int
				for _, r := range s.seen() {
					requests = append(requests, len(keysIn(r.body)))
				}
				if !slices.Equal(requests, row.requests) {
					t.Errorf("requests for %v objects, want %v", requests, row.requests)
				}
			})
		})
	}
}

func TestM14RemoveObjectsCancelledBetweenItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := remover()
		answer := s.answer
		s.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			defer cancel()
			answer(n, w, r)
		}
		objects, taken := counted(1500)
		results := 0
		for _, err := range s.connect(t, retrying(3)).RemoveObjects(ctx, "bucket", objects, minio.RemoveObjectsOptions{}) {
			if results++; results > 1000 && !errors.Is(err, context.Canceled) {
				t.Fatalf("result %d: %v", results, err)
			}
		}
		if results != int(taken.Load()) {
			t.Errorf("%d results of %d objects", results, taken.Load())
		}
	})
}

func TestM14RemoveObjectsOfNothing(t *testing.T) {
	s := remover()
	c := s.connect(t, retrying(3))
	for result, err := range c.RemoveObjects(t.Context(), "bucket", nil, minio.RemoveObjectsOptions{}) {
		t.Errorf("%+v, %v", result, err)
	}
	s.wantRequests(t, 0)
	got := removed(t, c.RemoveObjects(t.Context(), "", objectsNamed("a", "b"), minio.RemoveObjectsOptions{}))
	if !slices.Equal(got, []string{"a:error", "b:error"}) {
		t.Errorf("without a bucket: %q", got)
	}
	if got := removed(t, new(Client).RemoveObjects(t.Context(), "bucket", objectsNamed("a"), minio.RemoveObjectsOptions{})); len(got) != 1 || got[0] != ":error" {
		t.Errorf("without a client: %q", got)
	}
	s.wantRequests(t, 0)
}

// TestM14RemoveObjectsUnderAPolicyOfOverlappingAttempts: each object has one result.
func TestM14RemoveObjectsUnderAPolicyOfOverlappingAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remover()
		answer, both := s.answer, make(chan struct{})
		s.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				close(both)
			}
			<-both
			answer(n, w, r)
		}
		c := s.connect(t, middleware.NewChain("s3", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			other := make(chan error)
			go func() { other <- next.Do(ctx) }()
			return errors.Join(next.Do(ctx), <-other)
		})))
		got := removed(t, c.RemoveObjects(t.Context(), "bucket", objectsNamed("a", "b"), minio.RemoveObjectsOptions{}))
		if !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("results %q", got)
		}
	})
}

func TestM17BreakerLearnsOfItems(t *testing.T) {
	for _, row := range []struct {
		code string
		want policies.State
	}{
		{"InternalError", policies.Open},
		{"AccessDenied", policies.Closed},
		{"NoSuchVersion", policies.Closed},
	} {
		synctest.Test(t, func(t *testing.T) {
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
			c := remover(says{"b": row.code}).connect(t, middleware.NewChain("s3", breaker))
			removed(t, c.RemoveObjects(t.Context(), "bucket", objectsNamed("a", "b"), minio.RemoveObjectsOptions{}))
			if got := breaker.State(); got != row.want {
				t.Errorf("%s: the breaker is %v, want %v", row.code, got, row.want)
			}
		})
	}
}

func TestM14AnswerWithoutTheVersionIsNoSuccess(t *testing.T) {
	for _, row := range []struct{ name, answer string }{
		{"no version", "<Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message></Error>"},
		{"another name", "<Error><Key>A</Key><Code>AccessDenied</Code><Message>no</Message></Error>"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "<DeleteResult>"+row.answer+"</DeleteResult>")
				}}
				objects := func(yield func(minio.ObjectInfo) bool) { yield(minio.ObjectInfo{Key: "a", VersionID: "v"}) }
				seen := &verdicts{}
				var last error
				for _, err := range s.connect(t, middleware.NewChain("s3", seen)).RemoveObjects(t.Context(), "bucket", objects, minio.RemoveObjectsOptions{}) {
					last = err
				}
				wantCode(t, last, "AccessDenied")
				seen.want(t, middleware.Verdict{Class: middleware.Success, Reason: "denied"})
			})
		})
	}
}
