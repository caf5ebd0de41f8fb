package observability

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// picture draws a trace as the page does.
func (t *keptTrace) picture() string {
	var b strings.Builder
	spans := t.snapshot()
	var draw func(parent int, indent string)
	draw = func(parent int, indent string) {
		for _, s := range spans {
			if s.parent != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s %s %s", indent, s.name, strings.ToUpper(s.kind.String()), s.ended.Sub(s.began))
			if s.red {
				b.WriteString(" RED")
			}
			b.WriteString("\n")
			for _, e := range s.events {
				fmt.Fprintf(&b, "%s  + %s %s\n", indent, e.at.Sub(s.began), e.name)
			}
			draw(s.index, indent+"  ")
		}
	}
	draw(-1, "")
	return b.String()
}

type statusTransport struct {
	mu       sync.Mutex
	statuses []int
}

func (s *statusTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	status := s.statuses[0]
	s.statuses = s.statuses[1:]
	s.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: req, Header: http.Header{}}, nil
}

// The live traces are those that a tracer gets, row for row, whether or not one does.
func TestLiveTraces(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	for name, tracers := range map[string]*sdktrace.TracerProvider{
		"no tracer": nil,
		"sampled":   sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)),
		"unsampled": sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options := []Option{WithLive()}
				if tracers != nil {
					options = append(options, WithTracerProvider(tracers))
				}
				o := New(options...)
				base := &statusTransport{statuses: []int{503, 200}}
				chain := middleware.NewChain("x", o, policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}))
				transport := transports.New(o.Transport(base), chain)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://user:secret@example.com?sig=secret", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				all := o.live.traces.newer(0)
				if len(all) != 1 {
					t.Fatalf("%d traces, want 1", len(all))
				}
				if got, want := all[0].picture(), `x GET INTERNAL 1.02s
  + 10ms tidegate.retry.scheduled
  GET CLIENT 10ms RED
  GET CLIENT 10ms
`; got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				if n := strings.Count(fmt.Sprint(all[0].snapshot()), "url.full"); n != 2 {
					t.Errorf("%d requests have their attributes, want 2", n)
				}
				if text := fmt.Sprint(all[0].snapshot()); strings.Contains(text, "secret") {
					t.Errorf("a secret is in the trace: %s", text)
				}
				want := ""
				if name == "sampled" {
					want = exporter.GetSpans()[0].SpanContext.TraceID().String()
				}
				if all[0].id != want || all[0].chain != "x" {
					t.Errorf("the trace is %q of %q, want %q of x", all[0].id, all[0].chain, want)
				}
			})
		})
	}
}

// A call inside of a call is part of its trace; a health check is a trace of its own.
func TestLiveTracesOfChainsInChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(WithLive())
		inner, outer := middleware.NewChain("inner", o), middleware.NewChain("outer", o)
		_ = outer.Do(t.Context(), func(ctx context.Context) error {
			return inner.Do(ctx, func(context.Context) error { return nil })
		})
		outer.Emit(t.Context(), middleware.Event{Kind: middleware.HealthCheckFailed, Policy: "breaker", Wait: time.Second, Err: context.Canceled})
		var got []string
		for _, kept := range o.live.traces.newer(0) {
			got = append(got, kept.picture())
		}
		want := []string{`outer INTERNAL 0s
  inner INTERNAL 0s
    attempt INTERNAL 0s
  attempt INTERNAL 0s
`, `breaker probe INTERNAL 1s RED
`}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// The live traces have the requests that otelhttp makes the spans of, unless spans of attempts are
// off. One of its spans that is around the whole call is not that of an attempt.
func TestLiveTracesBesideOtelhttp(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	theirs := func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			ctx, span := tracers.Tracer(otelhttp).Start(req.Context(), "HTTP GET", trace.WithSpanKind(trace.SpanKindClient))
			defer span.End()
			return base.RoundTrip(req.WithContext(ctx))
		})
	}
	none := func(base http.RoundTripper) http.RoundTripper { return base }
	const both, one = "x GET INTERNAL\n  GET CLIENT RED\n  GET CLIENT\n", "x GET INTERNAL\n"
	for _, row := range []struct {
		name            string
		options         []Option
		outside, inside func(http.RoundTripper) http.RoundTripper
		want            string
		numbers         []string // of attempts, on otelhttp's spans
		client          int      // of the spans that a tracer gets
	}{
		{"inside", nil, none, theirs, both, []string{"1", "2"}, 2},
		{"inside, a tracer", []Option{WithTracerProvider(tracers)}, none, theirs, both, []string{"1", "2"}, 2},
		{"inside, off", []Option{WithAttemptSpans(AttemptSpansOff)}, none, theirs, one, []string{"1", "2"}, 2},
		{"inside, on", []Option{WithTracerProvider(tracers), WithAttemptSpans(AttemptSpansOn)}, none, theirs, both, nil, 4},
		{"around all", nil, theirs, none, both, nil, 1},
		{"around all, a tracer", []Option{WithTracerProvider(tracers)}, theirs, none, both, nil, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			exporter.Reset()
			o := New(append(row.options, WithLive())...)
			chain := middleware.NewChain("x", o, policies.NewRetry(policies.RetryConfig{Delay: 1}))
			transport := row.outside(transports.New(row.inside(o.Transport(&statusTransport{statuses: []int{503, 200}})), chain))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			got := regexp.MustCompile(`(?m)^ +\+.*\n| [0-9.]+[µm]?s`).ReplaceAllString(o.live.traces.newer(0)[0].picture(), "")
			if got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			var numbers []string
			client := 0
			for _, s := range exporter.GetSpans() {
				if s.SpanKind == trace.SpanKindClient {
					client++
				}
				for _, a := range s.Attributes {
					if a.Key == keyAttempt && s.InstrumentationScope.Name == otelhttp {
						numbers = append(numbers, a.Value.String())
					}
				}
			}
			if !slices.Equal(numbers, row.numbers) || client != row.client {
				t.Errorf("otelhttp's spans have the numbers %q, want %q, of %d requests, want %d", numbers, row.numbers, client, row.client)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A health check, too, is found in the tracer's traces.
func TestALiveProbeTellsItsTrace(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	o := New(WithLive(), WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))))
	middleware.NewChain("x", o).Emit(t.Context(), middleware.Event{Kind: middleware.HealthCheckPassed, Policy: "breaker"})
	all := o.live.traces.newer(0)
	if len(all) != 1 || all[0].id != exporter.GetSpans()[0].SpanContext.TraceID().String() {
		t.Errorf("kept are %+v", all)
	}
}

// The traces that show something stay although thousands follow that show nothing, and
// no trace is without end.
func TestLiveTracesAreBounded(t *testing.T) {
	o := New(WithLive())
	plain := middleware.NewChain("plain", o)
	failing := middleware.NewChain("failing", o, policies.NewRetry(policies.RetryConfig{Attempts: 500, Delay: 1, MaxDelay: 1, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})}))
	for range 2 * maxNotable {
		_ = failing.Do(t.Context(), func(ctx context.Context) error {
			if middleware.Attempt(ctx) < 100 {
				return context.DeadlineExceeded
			}
			return nil
		})
	}
	for range 1000 {
		_ = plain.Do(t.Context(), func(context.Context) error { return nil })
	}
	count := map[string]int{}
	for _, kept := range o.live.traces.newer(0) {
		count[kept.chain]++
		if n := len(kept.snapshot()); n > maxTraceSpans {
			t.Errorf("a trace has %d spans, want at most %d", n, maxTraceSpans)
		}
	}
	if count["failing"] != maxNotable || count["plain"] != maxPlain {
		t.Errorf("kept are %v, want %d and %d", count, maxNotable, maxPlain)
	}
	last := o.live.traces.last
	if n := len(o.live.traces.newer(last - 3)); n != 3 {
		t.Errorf("%d traces are newer than the fourth last", n)
	}
}

// What comes after the end changes nothing.
func TestALiveTraceThatHasEnded(t *testing.T) {
	var kept traces
	first := kept.begin("x", "x", time.Now())
	child := first.child("child", 1, time.Now())
	first.end(time.Now())
	first.end(time.Now().Add(time.Hour))
	first.set(requestAttributes(&http.Request{}, nil))
	first.event("late", time.Now(), nil)
	first.redden()
	child.end(time.Now())
	if late := first.child("late", 1, time.Now()); late != nil {
		t.Error("a span began in a trace that has ended")
	}
	all := kept.newer(0)
	if len(all) != 1 {
		t.Fatalf("%d traces, want 1", len(all))
	}
	if s := all[0].snapshot()[0]; s.red || len(s.attributes)+len(s.events) != 0 || s.ended.Sub(s.began) > time.Minute {
		t.Errorf("the span has changed: %+v", s)
	}
}

// A chain may stand at the address of one that is gone.
func TestAProfileIsThatOfItsChain(t *testing.T) {
	var known profiles
	gone, now := middleware.NewChain("gone"), middleware.NewChain("now")
	known.store(reflect.ValueOf(now).Pointer(), newProfile(gone))
	for range 2 {
		if p := known.of(now); p.chain != "now" {
			t.Errorf("the chain now has the profile of %s", p.chain)
		}
	}
	if first, second := known.of(now), known.of(now); first != second {
		t.Error("the profile is made for each call")
	}
}
