package transports_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// hedging is a chain whose hedges begin at once, more or less, inside a retry.
func hedging(engine policies.RetryEngine, seen *recorder, inner ...middleware.Policy) *middleware.Chain {
	return middleware.NewChain("hedged", append([]middleware.Policy{seen,
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute, Scope: policies.UntilEnd}),
		policies.NewRetry(policies.RetryConfig{Delay: time.Microsecond, Engine: engine}),
		policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond})}, inner...)...)
}

// The first request hangs, the one beside it is answered: the caller gets that answer,
// whole, the first is cancelled, and nobody holds it against the server.
func TestH28TheFirstSuccessWins(t *testing.T) {
	const size = 4 << 20
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		for name, engine := range engines {
			t.Run(name, func(t *testing.T) {
				gone := make(chan struct{})
				hang := loopback.Handler(func(_ http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body) // over HTTP/1 the end of the client is seen after that
					<-r.Context().Done()
					close(gone)
				})
				s := loopback.New(t, mode, loopback.Script(hang, loopback.OK("").Size(size)))
				watch := &loopback.Watch{Base: s.Transport()}
				var seen recorder
				breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
				resp, err := transports.New(watch, hedging(engine, &seen, breaker)).RoundTrip(request(t, "GET", s.URL, nil))
				if err != nil {
					t.Fatal(err)
				}
				<-gone // the loser has ended; its end is not the winner's
				got, err := loopback.SumOf(resp.Body)
				resp.Body.Close()
				want, _ := loopback.SumOf(loopback.Generate(size))
				if err != nil || got != want {
					t.Errorf("the response: %+v, %v, want %+v", got, err, want)
				}
				// Which of the two came first to the server, and hung, nobody knows.
				if s.Count() != 2 || len(seen.of(middleware.HedgeStarted)) != 1 {
					t.Errorf("%d requests, %d hedges", s.Count(), len(seen.of(middleware.HedgeStarted)))
				}
				if breaker.State() != policies.Closed {
					t.Error("the loser opened the breaker")
				}
				wait(t, "the loser's response to be closed", func() bool { return watch.Leaked() == 0 })
			})
		}
	})
}

// Both are answered: the response that comes later is closed, at once.
func TestH28TheLosersBodyIsClosed(t *testing.T) {
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		for name, engine := range engines {
			t.Run(name, func(t *testing.T) {
				// A base that gives the first answer only when the second is there, and
				// takes no notice of the cancellation, as a careless one may.
				second := make(chan struct{})
				s := loopback.New(t, mode, loopback.Script(loopback.OK("").Size(1<<20)))
				watch := &loopback.Watch{Base: s.Transport()}
				base := baseFunc(func(r *http.Request) (*http.Response, error) {
					resp, err := watch.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
					if middleware.Attempt(r.Context()) == 1 {
						<-second
					} else {
						defer close(second)
					}
					return resp, err
				})
				resp, err := transports.New(base, hedging(engine, new(recorder))).RoundTrip(request(t, "GET", s.URL, nil))
				if err != nil {
					t.Fatal(err)
				}
				wait(t, "the loser to be closed", func() bool { return watch.Opened() == 2 && watch.Leaked() == 1 })
				if n, err := io.Copy(io.Discard, resp.Body); n != 1<<20 || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
				resp.Body.Close()
				if watch.Leaked() != 0 {
					t.Errorf("%d bodies leaked", watch.Leaked())
				}
			})
		}
	})
}

func TestH28OnlyWhatMayRunTwiceIsHedged(t *testing.T) {
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		for _, row := range []struct {
			name, method string
			body         *loopback.Source
			again        bool
			idempotent   any
			want         int
		}{
			{"a GET", "GET", nil, true, nil, 2},
			{"a PUT that may, with GetBody", "PUT", loopback.Text("payload"), true, true, 2},
			{"a PUT that may, without", "PUT", loopback.Text("payload"), false, true, 1},
			{"a PUT, which the first may spoil", "PUT", loopback.Text("payload"), true, nil, 1},
			{"a DELETE, likewise", "DELETE", nil, true, nil, 1},
			{"a POST", "POST", loopback.Text("payload"), true, nil, 1},
			{"a POST that may be repeated", "POST", loopback.Text("payload"), true, true, 2},
			{"a GET that may not", "GET", nil, true, false, 1},
		} {
			t.Run(row.name, func(t *testing.T) {
				// The first answer waits for the second request, or for the test.
				release := make(chan struct{})
				s := loopback.New(t, mode, loopback.Script(loopback.OK("well").Hold(release)))
				var req *http.Request
				if row.body == nil {
					req = request(t, row.method, s.URL, nil)
				} else {
					row.body.NoGetBody = !row.again
					req = row.body.Request(t, row.method, s.URL)
				}
				if is, ok := row.idempotent.(bool); ok {
					req = req.WithContext(transports.Idempotent(req.Context(), is))
				}
				var seen recorder
				go func() {
					for range 200 { // long enough for a hedge that must not be
						if s.Count() >= 2 {
							break
						}
						time.Sleep(time.Millisecond)
					}
					close(release)
				}()
				do(t, transports.New(s.Transport(), hedging(nil, &seen)), req, 200)
				if got := len(seen.of(middleware.HedgeStarted)); got != row.want-1 {
					t.Errorf("%d hedges, want %d", got, row.want-1)
				}
				for i, r := range s.Requests() {
					if r.Complete && row.body != nil && r.Body != row.body.Sum() {
						t.Errorf("request %d had %+v, want the whole body", i+1, r.Body)
					}
				}
			})
		}
	})
}
