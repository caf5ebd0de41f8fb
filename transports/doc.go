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
// [http.NewRequest] from a bytes.Buffer, bytes.Reader or strings.Reader have it. A body
// without GetBody can be sent once; only when nobody has read from it, because no
// connection came about, is it sent again. Nothing is buffered, unless [WithReplay] asks
// for it. Trailers that the caller sets when its body ends are sent; when several bodies of
// one request may be read at once, setting them must be safe for that.
//
// # What is repeated
//
// [Classify] judges each attempt by the tables below; the first row that fits counts. GET,
// HEAD, OPTIONS, TRACE, PUT and DELETE are idempotent, and so is any request with the
// header Idempotency-Key or X-Idempotency-Key ([WithIdempotencyKey] makes one), one that
// [WithIdempotent] names, and one whose context says so ([Idempotent]); [WithRepeatable]
// decides otherwise. Others are repeated only when it is sure that the server did not
// begin with them: the host, the connection or the TLS handshake failed, the server
// refused the HTTP/2 stream, or the transport never had a connection for it. That last one
// needs the hooks of [httptrace.ClientTrace]: a base that does not call them proves
// nothing. A protocol that you have added to net/http by TLSNextProto, and that does not
// call GotConn, must not be used with requests that may not be repeated: on a connection
// used before they look as if they had none.
//
// A policies.Hedge sends beside itself only what changes nothing: GET, HEAD, OPTIONS and
// TRACE, and what [WithIdempotent] or [Idempotent] names. The second DELETE would be told
// that there is nothing to delete.
//
//	status                                                   repeated             counts as
//	100-399                                                  never                success
//	408 gave up on a slow sender                             if idempotent        ignored
//	421 misdirected                                          if idempotent, once  ignored
//	425 too early                                            if idempotent, once  ignored
//	429 too many requests                                    if idempotent        throttled
//	499 a proxy's word for a client that left                if idempotent        ignored
//	400-498 others: the caller's mistake                     never                success
//	501 not implemented                                      never                ignored
//	505 HTTP version                                         never                ignored
//	507 storage is full                                      never                failure
//	511 captive portal                                       never                ignored
//	500-599 others                                           if idempotent        failure
//	any other number                                         never                failure
//
//	error                                                    repeated             counts as
//	time limit of the chain, before there was a connection   any                  failure
//	time limit of the chain                                  if idempotent        failure
//	the caller cancelled, or its deadline passed             never                ignored
//	a policy further in refused it                           never                ignored
//	the certificate is not trusted                           never                failure
//	plain HTTP answer to TLS                                 never                ignored
//	DNS: no such host                                        never                failure
//	DNS: any other error                                     any                  failure
//	proxy: no connection through it                          any                  failure
//	connect: refused, unreachable, timed out                 any                  failure
//	TLS: the two do not agree (alert)                        never                failure
//	TLS: the handshake broke                                 any                  failure
//	HTTP/2: the stream was refused, at the first attempt     any, once            ignored
//	HTTP/2: the stream was refused again                     never                failure
//	HTTP/2: the stream was reset                             if idempotent        failure
//	the response makes no sense                              never                failure
//	the body is not as long as ContentLength says            never                ignored
//	the request makes no sense                               never                ignored
//	any other error before there was a connection            any                  failure
//	no answer in time (a limit of the transport)             if idempotent        failure
//	any other error: the connection broke                    if idempotent        failure
//
// A success leaves a breaker closed, a failure may open it, a throttled request asks for
// fewer, and what is ignored counts for nobody. The wait that the server asks for in
// Retry-After is read from 429 and 503, in seconds or as a date. [Rules] change some rows,
// [WithClassifier] any.
//
// # Responses
//
// To the policies a response that is no success is an error; to the caller it
// stays a response, unless [WithStatusErrors] is given. When the attempts are spent on a
// status, the caller gets the last response, readable, with a nil error. A response that
// is given up is drained a little, so that its connection is used again, and closed before
// the wait for the next attempt.
//
// What the policies hold for an attempt (a permit, a deadline that covers the
// body) they hold until the body of its response has been read to the end or
// closed. As with net/http, a caller that does neither leaks it. The context of the
// attempt lives on until the body is closed. A body can be written to, and half closed,
// if the base's can; one of a 101 is the base's own.
//
// # Time limits
//
// A policies.Timeout ends with the headers (policies.UntilResult), or covers the body too
// (policies.UntilEnd), or also each wait for more of the body (policies.EachRead). The
// reader of a body that one cuts gets its rejection, which is middleware.ErrTimeout.
//
// # Servers
//
// [NewHandler] puts a chain in front of an http.Handler.
package transports
