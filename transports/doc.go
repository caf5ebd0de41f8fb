// Package transports puts a chain of policies around HTTP requests.
//
// A [Transport] is an [http.RoundTripper]: give it to an http.Client, or to any
// library that takes one. [Client] does that for a client that exists:
//
//	chain := middleware.NewChain("billing", retry, breaker, timeout)
//	client := transports.Client(http.DefaultClient, chain)
//
// # Requests
//
// The caller's request is never changed; each attempt works on a clone. Attempts
// after the first take their body from GetBody, as requests made by
// [http.NewRequest] from a bytes.Buffer, bytes.Reader or strings.Reader have it.
// A request whose body cannot be had again is sent once. Nothing is buffered.
//
// # Repeating
//
// [Classify] judges each attempt. GET, HEAD, OPTIONS, TRACE, PUT and DELETE, and
// any request with the header Idempotency-Key or X-Idempotency-Key, may be
// repeated. Others are repeated only when the request was provably never sent: the
// name was not resolved, the connection or the TLS handshake failed, the server
// refused the HTTP/2 stream.
//
// # Responses
//
// To the policies a response that is no success is an error; to the caller it
// stays a response. When the attempts are spent on a status, the caller gets the
// last response, readable, with a nil error. A response that is given up is
// drained a little, so that its connection is used again, and closed before the
// wait for the next attempt.
//
// What the policies hold for an attempt (a permit, a deadline that covers the
// body) they hold until the body of its response has been read to the end or
// closed. As with net/http, a caller that does neither leaks it.
package transports
