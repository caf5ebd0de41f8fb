package observability_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

var update = flag.Bool("update", false, "write what the golden files should be")

// A shelf is a manager of chains that a test has made.
type shelf struct {
	mu       sync.Mutex
	chains   []*middleware.Chain
	breakers map[string]*policies.Breaker
}

func (s *shelf) Chains() []*middleware.Chain {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chains
}

func (s *shelf) each(name string, do func(*policies.Breaker)) error {
	b := s.breakers[name]
	if b == nil {
		return errors.New("tidegate: service \"" + name + "\" has no breaker")
	}
	do(b)
	return nil
}

func (s *shelf) ForceOpen(name string) error { return s.each(name, (*policies.Breaker).ForceOpen) }
func (s *shelf) Release(name string) error   { return s.each(name, (*policies.Breaker).Release) }
func (s *shelf) Reset(name string) error     { return s.each(name, (*policies.Breaker).Reset) }

// newShelf returns a manager of services with a breaker each, and one without any.
func newShelf(o *observability.Observer, names ...string) *shelf {
	s := &shelf{breakers: make(map[string]*policies.Breaker)}
	for _, name := range names {
		s.breakers[name] = policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: time.Minute})
		s.chains = append(s.chains, middleware.NewChain(name, o,
			policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 100 * time.Millisecond, Jitter: -1}), s.breakers[name]))
	}
	s.chains = append(s.chains, middleware.NewChain("plain", o))
	return s
}

func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPageRoutes(t *testing.T) {
	page := observability.Page(newShelf(observability.New(observability.WithLive()), "billing"))
	for _, row := range []struct {
		method, target string
		status         int
		kind           string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/assets/app.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/assets/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/assets/icon.svg", 200, "image/svg+xml"},
		{"GET", "/assets/", 404, ""},
		{"GET", "/assets/index.html", 404, ""},
		{"GET", "/assets/..%2fpage.go", 404, ""},
		{"GET", "/chain?service=billing", 200, "application/json"},
		{"GET", "/chain?service=nobody", 404, "application/json"},
		{"GET", "/chain", 404, "application/json"},
		{"GET", "/trace?id=0-1", 404, "application/json"},
		{"GET", "/healthz", 200, "application/health+json"},
		{"GET", "/events", 200, "application/json"},
		{"GET", "/alerts", 200, "application/json"},
		{"HEAD", "/stream", 200, "text/event-stream"},
		{"POST", "/", 405, ""},
		{"POST", "/stream", 405, ""},
		{"DELETE", "/chain", 405, ""},
		{"GET", "/control", 404, ""},
		{"POST", "/control", 404, ""},
		{"GET", "/elsewhere", 404, ""},
	} {
		w := ask(page, row.method, row.target, "")
		if w.Code != row.status || row.kind != "" && w.Header().Get("Content-Type") != row.kind {
			t.Errorf("%s %s: %d %q, want %d %q", row.method, row.target, w.Code, w.Header().Get("Content-Type"), row.status, row.kind)
		}
		if row.method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%s %s has a body", row.method, row.target)
		}
		for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control"} {
			if w.Header().Get(h) == "" {
				t.Errorf("%s %s: no %s", row.method, row.target, h)
			}
		}
	}
}

// A browser that keeps a file asks whether it is still the same.
func TestPageAssetsAreKept(t *testing.T) {
	page := observability.Page(nil)
	first := ask(page, "GET", "/assets/app.js", "")
	tag := first.Header().Get("ETag")
	if again := ask(page, "GET", "/assets/app.js", "", "If-None-Match", tag); tag == "" || again.Code != http.StatusNotModified {
		t.Errorf("with tag %q: %d", tag, again.Code)
	}
	if w := ask(page, "GET", "/healthz", ""); w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("healthz may be stored: %q", w.Header().Get("Cache-Control"))
	}
}

// The policy lets nothing in from elsewhere and no script or style that stands in the
// page, so there must be none.
func TestPageKeepsToItsPolicy(t *testing.T) {
	w := ask(observability.Page(nil), "GET", "/", "")
	policy := w.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy has no %s: %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
	forbidden := regexp.MustCompile(`(?i)\sstyle=|\son\w+=|<style|<script>|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|"style",|(src|href)="(https?:)?//`)
	files := os.DirFS("assets")
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if found := forbidden.Find(text); found != nil {
			t.Errorf("%s has %q", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !forbidden.MatchString(`<p style="color: red">`) || !forbidden.MatchString(`<script src="//example.com/x.js">`) {
		t.Error("the check finds nothing")
	}
}

// The page works below any prefix, with and without the slash in what is stripped, and
// sends who forgets the slash at the end to where its relative links work.
func TestPageBelowAPrefix(t *testing.T) {
	page := observability.Page(newShelf(observability.New(), "billing"))
	for _, row := range []struct {
		strip, target string
		status        int
		location      string
	}{
		{"/ops", "/ops/", 200, ""},
		{"/ops", "/ops/assets/app.js", 200, ""},
		{"/ops", "/ops/chain?service=billing", 200, ""},
		{"/ops/", "/ops/", 200, ""},
		{"/ops/", "/ops/assets/app.js", 200, ""},
		{"/ops/", "/ops/chain?service=billing", 200, ""},
		{"/ops", "/ops", 301, "./ops/"},
		{"/a/b", "/a/b", 301, "./b/"},
		{"/a/b", "/a/b?x=1", 301, "./b/"},
	} {
		w := ask(http.StripPrefix(row.strip, page), "GET", row.target, "")
		if w.Code != row.status || w.Header().Get("Location") != row.location {
			t.Errorf("%s without %s: %d %q, want %d %q", row.target, row.strip, w.Code, w.Header().Get("Location"), row.status, row.location)
		}
	}
}

// odd is a manager that a program has written in a hurry.
type odd struct{ chains []*middleware.Chain }

func (o *odd) Chains() []*middleware.Chain { return o.chains }
func (*odd) ForceOpen(string) error        { return nil }
func (*odd) Release(string) error          { return nil }
func (*odd) Reset(string) error            { return nil }

func TestPageOfOddManagers(t *testing.T) {
	twice := middleware.NewChain("twice")
	for _, row := range []struct {
		name    string
		manager observability.Manager
		want    int
	}{
		{"none", nil, 0},
		{"a nil pointer", (*odd)(nil), 0},
		{"no chains", &odd{}, 0},
		{"nil and equal chains", &odd{[]*middleware.Chain{nil, twice, twice, middleware.NewChain("twice")}}, 1},
		{"no name", &odd{[]*middleware.Chain{middleware.NewChain("")}}, 1},
		{"a nil observer", &odd{[]*middleware.Chain{middleware.NewChain("x", (*observability.Observer)(nil))}}, 1},
		{"the zero observer", &odd{[]*middleware.Chain{middleware.NewChain("x", new(observability.Observer))}}, 1},
		{"no history", &odd{[]*middleware.Chain{middleware.NewChain("x", observability.New(observability.WithHistory(-1)))}}, 1},
		{"two observers", &odd{[]*middleware.Chain{
			middleware.NewChain("x", observability.New()), middleware.NewChain("y", observability.New(observability.WithLive())),
		}}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			page := observability.Page(row.manager, nil, observability.WithMonitor(nil), observability.AllowControl(nil))
			s := look(t, page)
			if got := len(s.next(t).Services); got != row.want {
				t.Errorf("%s: %d services, want %d", row.name, got, row.want)
			}
			if w := ask(page, "POST", "/control", `{"service":"x","action":"reset"}`); w.Code != http.StatusNotFound {
				t.Errorf("%s: a nil auth allows control: %d", row.name, w.Code)
			}
			for _, target := range []string{"/healthz", "/events", "/alerts", "/"} {
				if w := ask(page, "GET", target, ""); w.Code != http.StatusOK {
					t.Errorf("%s: %s answers %d", row.name, target, w.Code)
				}
			}
		})
	}
}

func TestTraceLinks(t *testing.T) {
	for _, row := range []struct{ template, want string }{
		{observability.DefaultTraceLink, observability.DefaultTraceLink},
		{"https://traces.example.com/{trace_id}?a=b", "https://traces.example.com/{trace_id}?a=b"},
		{"", ""},
		{"https://traces.example.com/", ""},
		{"javascript:alert('{trace_id}')", ""},
		{"data:text/html,{trace_id}", ""},
		{"//traces.example.com/{trace_id}", ""},
		{"https:///{trace_id}", ""},
		{"ftp://example.com/{trace_id}", ""},
		{"http://[::1/{trace_id}", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			hello := look(t, observability.Page(nil, observability.WithTraceLink(row.template))).next(t).Hello
			if hello == nil || hello.TraceLink != row.want {
				t.Errorf("%q: got %+v, want %q", row.template, hello, row.want)
			}
		})
	}
}

// What the scripts of the page rely on. After a change look at the difference:
//
//	go test ./observability -run TestPageContract -update
func TestPageContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observability.New(observability.WithLive())
		shelf := newShelf(o, "billing")
		keyed := policies.NewKeyed(policies.KeyedConfig{Name: "hosts", Key: func(context.Context) string { return "a" }},
			func(key string) *policies.Breaker {
				return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 1})
			})
		custom := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
		shelf.chains = append(shelf.chains, middleware.NewChain("hosts", o, custom, &ownPolicy{}, keyed))
		shelf.chains = append(shelf.chains, middleware.NewChain("load", o, emit(
			middleware.Event{Kind: middleware.Injected, Policy: "chaos", Attempt: 1, Reason: "latency", Wait: time.Second},
			middleware.Event{Kind: middleware.LimitChanged, Policy: "adaptive_limit", From: "20", To: "12", Reason: "drop"},
			middleware.Event{Kind: middleware.WouldReject, Policy: "bulkhead", Reason: "bulkhead_full"},
			middleware.Event{Kind: middleware.NestedRetry, Policy: "retry", Attempt: 2, Reason: "header"},
			middleware.Event{Kind: middleware.LeaseExpired, Policy: "bulkhead", Wait: time.Minute},
			middleware.Event{Kind: middleware.FallbackUsed, Policy: "fallback", Reason: "failed"},
		), adaptive(), teller{{Type: "bulkhead", Name: "bulkhead", Settings: []middleware.Setting{{Name: "ObserveOnly", Value: "on"}}}}))
		page := observability.Page(shelf)
		time.Sleep(time.Second)
		for _, c := range shelf.chains {
			fail(t.Context(), c)
		}
		time.Sleep(time.Second)
		var got strings.Builder
		l := look(t, page)
		for l.lines.Scan() && l.lines.Text() != "" {
			if text, ok := strings.CutPrefix(l.lines.Text(), "data: "); ok {
				got.WriteString("stream\n" + pretty(t, text))
			}
		}
		for _, target := range []string{"/chain?service=billing", "/chain?service=hosts", "/chain?service=load", "/trace?id=0-1"} {
			got.WriteString(target + "\n" + pretty(t, ask(page, "GET", target, "").Body.String()))
		}
		const file = "testdata/page.golden"
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s has something else than\n%s", file, &got)
		}
	})
}

type ownPolicy struct{}

func (*ownPolicy) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

// pretty writes JSON on several lines, long lists of the same on one.
func pretty(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	bars := regexp.MustCompile(`\[\s+(\d+),\s+(\d+),\s+(\d+),\s+(\d+)\s+\]`).ReplaceAllString(string(out), "[$1, $2, $3, $4]")
	bars = regexp.MustCompile(`\[\s+(".*"),\s+(".*")\s+\]`).ReplaceAllString(bars, "[$1, $2]")
	bars = regexp.MustCompile(`\{\s+("name": .*),\s+("value": .*)\s+\}`).ReplaceAllString(bars, "{$1, $2}")
	return regexp.MustCompile(`(\s+\[0, 0, 0, 0\],)+`).ReplaceAllString(bars, " ...") + "\n"
}
