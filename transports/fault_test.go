package transports_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// underFire is a chain of all policies, with three attempts.
func underFire(engine policies.RetryEngine, seen *recorder) *middleware.Chain {
	return middleware.NewChain("fire", seen,
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute, Scope: policies.UntilEnd}),
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Microsecond, Engine: engine}),
		policies.NewHedge(policies.HedgeConfig{Delay: time.Minute}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 100}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e6}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 10 * time.Second, Scope: policies.EachRead}),
	)
}

// A server that does one wrong thing and then is well: what becomes of a GET and of a POST,
// and that nothing leaks.
func TestH10WhatIsRepeatedAfterWhichFault(t *testing.T) {
	all := []loopback.Mode{loopback.HTTP1, loopback.HTTPS1, loopback.HTTP2}
	h2 := all[2:]
	repeated, once := want{2, nil}, func(says ...error) want { return want{1, says} }
	anything := errors.New("any error")
	for _, row := range []struct {
		name      string
		fault     loopback.Option
		modes     []loopback.Mode
		get, post want
	}{
		{"no fault", loopback.Script(loopback.OK("well")), all, want{1, nil}, want{1, nil}},
		{"503", then(loopback.Status(503).Size(10_000)), all, repeated, once(errStatus)},
		{"close", then(loopback.Close()), all, repeated, once(anything)},
		{"close in the middle of the upload", then(loopback.Close().After(1)), all, want{2, nil}, once(anything)},
		{"reset", then(loopback.Reset()), all, repeated, once(anything)},
		{"nonsense", then(loopback.Raw("SSH-2.0-OpenSSH_9.2\r\n")), []loopback.Mode{loopback.HTTP1}, once(anything), once(anything)},
		{"cut in the body", then(loopback.OK("").Size(1<<20).Cut(300_000, loopback.Close())), all, once(io.ErrUnexpectedEOF), once(io.ErrUnexpectedEOF)},
		{"REFUSED_STREAM", then(loopback.ResetStream(7)), h2, repeated, repeated}, // net/http repeats it by itself
		{"INTERNAL_ERROR", then(loopback.ResetStream(2)), h2, repeated, once(anything)},
		{"CANCEL", then(loopback.ResetStream(8)), h2, repeated, once(anything)},
		{"ENHANCE_YOUR_CALM", then(loopback.ResetStream(11)), h2, repeated, once(anything)},
		{"GOAWAY, unprocessed", then(loopback.GoAway(0)), h2, repeated, repeated}, // net/http again
		{"GOAWAY, an error", then(loopback.GoAway(1)), h2, repeated, once(anything)},
		{"the handshake breaks", loopback.Connections(loopback.BreakTLS, loopback.Serve), all[1:], want{1, nil}, want{1, nil}},
		{"not trusted", loopback.Connections(loopback.UntrustedTLS), all[1:], want{0, []error{anything}}, want{0, []error{anything}}},
		{"closed at once", loopback.Connections(loopback.CloseAtOnce, loopback.Serve), all[:1], want{1, nil}, want{0, []error{anything}}},
		{"closed before the handshake", loopback.Connections(loopback.CloseAtOnce, loopback.Serve), all[1:], want{1, nil}, want{1, nil}},
	} {
		for _, mode := range row.modes {
			for name, engine := range engines {
				for method, want := range map[string]want{"GET": row.get, "POST": row.post} {
					t.Run(strings.Join([]string{row.name, mode.String(), name, method}, "/"), func(t *testing.T) {
						s := loopback.New(t, mode, loopback.Script(loopback.OK("well")), row.fault)
						watch := &loopback.Watch{Base: s.Transport()}
						var seen recorder
						source := loopback.Bytes(200_000)
						resp, err := transports.New(watch, underFire(engine, &seen)).RoundTrip(source.Request(t, method, s.URL))
						if err == nil {
							_, err = io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
						if err == nil && resp.StatusCode != http.StatusOK {
							err = errStatus
						}
						if got := s.Count(); got != want.requests {
							t.Errorf("the server got %d requests, want %d", got, want.requests)
						}
						if (err == nil) != (want.says == nil) || err != nil && !slices.Contains(want.says, anything) && !errors.Is(err, want.says[0]) {
							t.Errorf("the caller got %v, want %v", err, want.says)
						}
						if n := watch.Leaked(); n != 0 {
							t.Errorf("%d response bodies leaked", n)
						}
						s.Transport().CloseIdleConnections()
						s.WantOpen(0)
						dropped := 0
						if row.name == "GOAWAY, unprocessed" {
							dropped = 1 // net/http asks GetBody once too often, by itself too (Go 1.26)
						}
						wait(t, "the request bodies to be closed", func() bool { return source.Seen().Open <= dropped })
						// net/http's HTTP/2 may read once more after it has closed a body.
						if b := source.Seen(); b.Overlapping > 0 || b.AfterClose > 0 && mode != loopback.HTTP2 {
							t.Errorf("the bodies of the request were used wrongly: %+v", b)
						}
					})
				}
			}
		}
	}
}

type want struct {
	requests int
	says     []error // nil: it succeeds
}

var errStatus = errors.New("a status that is no success")

// then is a script that goes on well.
func then(step loopback.Step) loopback.Option { return loopback.Script(step, loopback.OK("well")) }

// A server that never answers: the limit of the attempt ends it.
func TestH19AServerThatHangs(t *testing.T) {
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		for name, engine := range engines {
			for method, want := range map[string]int{"GET": 2, "POST": 1} {
				t.Run(name+"/"+method, func(t *testing.T) {
					s := loopback.New(t, mode, loopback.Script(loopback.Hang(), loopback.OK("well")))
					chain := middleware.NewChain("", policies.NewRetry(policies.RetryConfig{Delay: 1, Engine: engine}),
						policies.NewTimeout(policies.TimeoutConfig{Limit: 200 * time.Millisecond}))
					resp, err := transports.New(s.Transport(), chain).RoundTrip(request(t, method, s.URL, nil))
					if err == nil {
						resp.Body.Close()
					}
					// The well answer may be too slow for the limit on a busy machine.
					if method == "POST" && !errors.Is(err, middleware.ErrTimeout) || method == "GET" && err != nil && !errors.Is(err, middleware.ErrTimeout) {
						t.Errorf("%v", err)
					}
					if got := s.Count(); got < want || method == "POST" && got > want {
						t.Errorf("%d requests, want %d", got, want)
					}
				})
			}
		}
	})
}

// A POST that found nobody to take it is repeated, and says so in the end.
func TestH10NobodyListens(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			var seen recorder
			rt := transports.New(new(http.Transport), underFire(engine, &seen))
			_, err := rt.RoundTrip(loopback.Text("x").Request(t, "POST", loopback.Refused(t)))
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "dial" || len(seen.of(middleware.RetryScheduled)) != 2 {
				t.Errorf("%v after %d repetitions", err, len(seen.of(middleware.RetryScheduled)))
			}
		})
	}
}

// A connection that dies when it is used again: net/http repeats a GET, ours a PUT, nobody
// a POST.
func TestH10AConnectionThatDiedWhileIdle(t *testing.T) {
	for name, engine := range engines {
		for method, want := range map[string]int{"GET": 3, "PUT": 3, "POST": 2} {
			t.Run(name+"/"+method, func(t *testing.T) {
				s := loopback.New(t, loopback.HTTP1, loopback.Script(loopback.IfReused(loopback.Close(), loopback.OK("well"))))
				rt := transports.New(s.Transport(), underFire(engine, new(recorder)))
				do(t, rt, request(t, "GET", s.URL, nil), 200)
				resp, err := rt.RoundTrip(loopback.Text("x").Request(t, method, s.URL))
				if err == nil {
					resp.Body.Close()
				}
				if (err != nil) != (method == "POST") || s.Count() != want {
					t.Errorf("%v after %d requests, want %d", err, s.Count(), want)
				}
			})
		}
	}
}

// Megabytes in both directions, which come slowly, through every policy.
func TestH19LargeSlowBodiesPass(t *testing.T) {
	const size = 8 << 20
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		for name, engine := range engines {
			t.Run(name, func(t *testing.T) {
				next := make(chan struct{})
				s := loopback.New(t, mode, loopback.Script(loopback.Status(503), loopback.OK("").Size(size).Trickle(1<<20, next)))
				var seen recorder
				source := loopback.Bytes(size)
				resp, err := transports.New(s.Transport(), underFire(engine, &seen)).RoundTrip(source.Request(t, "PUT", s.URL))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				ended := make(chan struct{})
				go func() {
					for {
						select {
						case next <- struct{}{}:
						case <-ended:
							return
						}
						time.Sleep(time.Millisecond)
					}
				}()
				got, err := loopback.SumOf(resp.Body)
				close(ended)
				want, _ := loopback.SumOf(loopback.Generate(size))
				if err != nil || got != want {
					t.Errorf("the response: %+v, %v, want %+v", got, err, want)
				}
				for i, r := range s.Requests() {
					if r.Complete && r.Body != source.Sum() {
						t.Errorf("request %d: %+v, want %+v", i+1, r.Body, source.Sum())
					}
				}
				if n := len(seen.of(middleware.TimedOut)); n != 0 {
					t.Errorf("%d time-outs", n)
				}
			})
		}
	})
}

// 101 through every policy: the connection is the caller's, and what was held is free.
func TestH17AnUpgradeThroughEveryPolicy(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			s := loopback.New(t, loopback.HTTP1, loopback.Script(loopback.Echo("echo", "farewell")))
			req := request(t, "GET", s.URL, nil)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
			resp, err := transports.New(s.Transport(), underFire(engine, new(recorder))).RoundTrip(req)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v, %v", resp, err)
			}
			defer resp.Body.Close()
			conn := resp.Body.(io.ReadWriter)
			for range 3 {
				io.WriteString(conn, "hello")
				if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
			}
			if err := resp.Body.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); string(got) != "farewell" || err != nil {
				t.Errorf("after the half close: %q, %v", got, err)
			}
		})
	}
}
