// Package loopback is a server for tests that does as a script says, over HTTP/1
// and HTTP/2: it answers, trickles, hangs, cuts bodies and connections, refuses
// streams. It counts what it gets. Beside it are spies for the bodies of requests
// and of responses.
//
//	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
//		s := loopback.New(t, mode, loopback.Script(
//			loopback.Status(503).Header("Retry-After", "1"),
//			loopback.OK("done").Size(1<<20).Cut(1000, loopback.Reset()),
//			loopback.OK("done"),
//		))
//		resp, err := transports.New(s.Transport(), chain).RoundTrip(request)
//		...
//		if got := s.Count(); got != 3 {
//			t.Errorf("the server got %d requests, want 3", got)
//		}
//	})
//
// It speaks the protocols by itself, since net/http's server cannot be made to
// break them. It is no server for anything else: it knows what well-behaved
// clients send.
//
// The server listens on an ephemeral port of the loopback interface and ends with
// its test, with every connection and goroutine. Nothing in it depends on the
// time: what is to wait, waits for a channel of the test.
package loopback
