package transports_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// told are the headers by which a request tells of its call.
func told(r *http.Request) [2]string {
	return [2]string{r.Header.Get("Tidegate-Priority"), r.Header.Get("Tidegate-Attempt")}
}

// Each attempt tells of its priority, unless it is critical, and of its number from the
// second on; without the option nothing is told.
func TestWhatAttemptsTell(t *testing.T) {
	for name, row := range map[string]struct {
		ctx  func(context.Context) context.Context
		want [][2]string
	}{
		"critical":           {func(ctx context.Context) context.Context { return ctx }, [][2]string{{}, {"", "2"}, {"", "3"}}},
		"sheddable":          {sheddable, [][2]string{{"sheddable"}, {"sheddable", "2"}, {"sheddable", "3"}}},
		"in another's try":   {func(ctx context.Context) context.Context { return middleware.WithOuterAttempt(ctx, 2) }, [][2]string{{"", "2"}}}, // which is not repeated again
		"without the option": {sheddable, [][2]string{{}, {}, {}}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var got [][2]string
			over(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				got = append(got, told(r))
				mu.Unlock()
				answers(503, 503, 200)(w, r)
			}, func(t *testing.T, s *server) {
				got = nil
				opts := []transports.Option{transports.WithPropagation()}
				if name == "without the option" {
					opts = nil
				}
				req := request(t, "GET", s.URL, nil)
				resp, err := transports.New(s.base, s.retrying(3), opts...).RoundTrip(req.WithContext(row.ctx(req.Context())))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if !slices.Equal(got, row.want) {
					t.Errorf("the server was told %q, want %q", got, row.want)
				}
			})
		})
	}
}

func sheddable(ctx context.Context) context.Context {
	return middleware.WithPriority(ctx, middleware.Sheddable)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What the caller's request has under these names is not sent, and stays as it is.
func TestTheContextDecidesWhatIsTold(t *testing.T) {
	req := request(t, "GET", "http://example.com", nil)
	req.Header = http.Header{"Tidegate-Priority": {"critical_plus", "x"}, "Tidegate-Attempt": {"7"}, "X": {"y"}}
	before := req.Header.Clone()
	for name, row := range map[string]struct {
		ctx  context.Context
		opts []transports.Option
		want http.Header
	}{
		"nothing":   {t.Context(), []transports.Option{transports.WithPropagation()}, http.Header{"X": {"y"}}},
		"sheddable": {sheddable(t.Context()), []transports.Option{transports.WithPropagation()}, http.Header{"X": {"y"}, "Tidegate-Priority": {"sheddable"}}},
		"no option": {sheddable(t.Context()), nil, before},
	} {
		var sent http.Header
		base := roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Header
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		resp, err := transports.New(base, nil, row.opts...).RoundTrip(req.WithContext(row.ctx))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !maps.EqualFunc(sent, row.want, slices.Equal) || !maps.EqualFunc(req.Header, before, slices.Equal) {
			t.Errorf("%s: %v was sent, want %v", name, sent, row.want)
		}
	}
	req.Header = nil
	var sent *http.Request
	base := roundTripper(func(r *http.Request) (*http.Response, error) { sent = r; return nil, io.EOF })
	resp, err := transports.New(base, nil, transports.WithPropagation()).RoundTrip(req.WithContext(sheddable(t.Context())))
	if resp != nil || err != io.EOF || sent.Header != nil {
		t.Errorf("without headers: %v, %v", sent.Header, err)
	}
}

// The policies and the handler know what the client told, if they are to believe it.
func TestWhatAHandlerBelieves(t *testing.T) {
	for _, row := range []struct {
		name    string
		headers http.Header
		opts    []transports.HandlerOption
		want    [2]string // what calls made for the request tell
	}{
		{"nothing", nil, []transports.HandlerOption{transports.WithHandlerPropagation()}, [2]string{}},
		{"both", http.Header{"Tidegate-Priority": {"sheddable_plus"}, "Tidegate-Attempt": {"3"}}, []transports.HandlerOption{transports.WithHandlerPropagation()}, [2]string{"sheddable_plus", "3"}},
		{"too large a number", http.Header{"Tidegate-Attempt": {strings.Repeat("9", 1000)}}, []transports.HandlerOption{transports.WithHandlerPropagation()}, [2]string{"", "100"}},
		{"malformed", http.Header{"Tidegate-Priority": {"first"}, "Tidegate-Attempt": {"second"}}, []transports.HandlerOption{transports.WithHandlerPropagation()}, [2]string{}},
		{"no option", http.Header{"Tidegate-Priority": {"sheddable"}, "Tidegate-Attempt": {"3"}}, nil, [2]string{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got [][2]string
			note := func(ctx context.Context) {
				header := http.Header{}
				middleware.Propagate(ctx, header.Set)
				got = append(got, [2]string{header.Get("Tidegate-Priority"), header.Get("Tidegate-Attempt")})
			}
			policy := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { note(ctx); return next.Do(ctx) })
			next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				note(r.Context())
				if op := middleware.OperationOf(r.Context()); op != (middleware.Operation{}) {
					t.Errorf("the handler has the operation %+v", op)
				}
			})
			for name, chain := range map[string]*middleware.Chain{"a chain": middleware.NewChain("server", policy), "no chain": nil} {
				got = nil
				r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
				maps.Copy(r.Header, row.headers)
				transports.NewHandler(next, chain, row.opts...).ServeHTTP(httptest.NewRecorder(), r)
				want := [][2]string{row.want, row.want}[:1]
				if chain != nil {
					want = [][2]string{row.want, row.want}
				}
				if !slices.Equal(got, want) {
					t.Errorf("with %s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// A priority passes from process to process.
func TestAPriorityPassesThroughAServer(t *testing.T) {
	var mu sync.Mutex
	var got [][2]string
	last := serve(t, "HTTP/1", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, told(r))
	})
	outward := transports.New(last.base, nil, transports.WithPropagation())
	tries := 0
	middle := serve(t, "HTTP/1", transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := outward.RoundTrip(request(t, "GET", last.URL, nil).WithContext(r.Context()))
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		if tries++; tries == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}), nil, transports.WithHandlerPropagation()).ServeHTTP)
	req := request(t, "GET", middle.URL, nil)
	resp, err := transports.New(middle.base, middle.retrying(3), transports.WithPropagation()).RoundTrip(req.WithContext(sheddable(req.Context())))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := [][2]string{{"sheddable"}, {"sheddable", "2"}}; !slices.Equal(got, want) {
		t.Errorf("the last server was told %q, want %q", got, want)
	}
}

// What is called for a repeated attempt of the client is not repeated by the server, if one
// tells of it and the other believes it. Without that each attempt makes all of its own.
func TestAServerDoesNotRepeatWhatItsClientRepeats(t *testing.T) {
	tell, believe := []transports.Option{transports.WithPropagation()}, []transports.HandlerOption{transports.WithHandlerPropagation()}
	for _, row := range []struct {
		name    string
		tell    []transports.Option
		believe []transports.HandlerOption
		nested  int // NestedAttempts of the server
		want    []int
	}{
		{"told and believed", tell, believe, 0, []int{3, 1, 1}},
		{"told and believed, and two may be made", tell, believe, 2, []int{3, 2, 2}},
		{"told, and not believed", tell, nil, 0, []int{3, 3, 3}},
		{"not told", nil, believe, 0, []int{3, 3, 3}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inner := middleware.NewChain("inner", policies.NewRetry(policies.RetryConfig{
				Attempts: 3, NestedAttempts: row.nested, Delay: time.Microsecond, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
			}))
			var mu sync.Mutex
			var got []int // attempts of the server for each of the client's
			s := serve(t, "HTTP/1", transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				attempts := 0
				_ = inner.Do(r.Context(), func(context.Context) error { attempts++; return io.EOF })
				mu.Lock()
				got = append(got, attempts)
				mu.Unlock()
				w.WriteHeader(http.StatusServiceUnavailable)
			}), nil, row.believe...).ServeHTTP)
			client := &http.Client{Transport: transports.New(s.base, s.retrying(3), row.tell...)}
			resp, err := client.Do(request(t, "GET", s.URL, nil))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, row.want) {
				t.Errorf("the server made %v attempts, want %v", got, row.want)
			}
		})
	}
}

// To tell nothing allocates nothing more.
func TestWhatPropagationAllocates(t *testing.T) {
	allocs := func(opts ...transports.Option) float64 {
		resp := &http.Response{StatusCode: 200, Body: http.NoBody}
		rt := transports.New(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }), nil, opts...)
		req := request(t, "GET", "http://example.com", nil)
		return testing.AllocsPerRun(1000, func() {
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
	}
	if without, with := allocs(), allocs(transports.WithPropagation()); with > without {
		t.Errorf("%v allocations with propagation, %v without", with, without)
	}
}
