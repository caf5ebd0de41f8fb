// Package grpc puts a chain of policies around gRPC calls.
//
//	conn, err := grpc.NewClient(target, append(tidegrpc.DialOptions(chain), grpc.WithTransportCredentials(creds))...)
//
// (with this package imported as tidegrpc). [UnaryServerInterceptor] puts a chain in front of
// the handlers of a server.
//
// # What is repeated
//
// [Classify] judges each attempt by the table below; the first row that fits counts. No
// method is idempotent unless [WithIdempotent] or, for one call, [Idempotent] says so. Other
// calls are repeated only when grpc-go never had a connection to send them on. That is known
// from call options that this package adds: an interceptor further in that does not hand them
// on proves nothing, and then the call counts as sent. So does one that a server refused with
// GOAWAY or REFUSED_STREAM: grpc-go by itself repeats it once, transparently.
//
//	outcome                                                  repeated                       counts as
//	time limit of the chain                                  if idempotent, or never sent   failure
//	the caller cancelled, or its deadline passed             never                          ignored
//	a policy further in refused it                           never                          ignored
//	Canceled                                                 never                          ignored
//	ResourceExhausted: the message is too large              never                          ignored
//	ResourceExhausted                                        if idempotent, or never sent   throttled
//	Unavailable                                              if idempotent, or never sent   failure
//	DeadlineExceeded                                         if idempotent, or never sent   failure
//	any other error before there was a connection            never                          ignored
//	InvalidArgument                                          never                          success
//	NotFound                                                 never                          success
//	AlreadyExists                                            never                          success
//	PermissionDenied                                         never                          success
//	Unauthenticated                                          never                          success
//	FailedPrecondition                                       never                          success
//	Aborted: to be repeated by who knows the transaction     never                          success
//	OutOfRange                                               never                          success
//	Unimplemented                                            never                          success
//	Unknown                                                  never                          failure
//	Internal                                                 never                          failure
//	DataLoss                                                 never                          failure
//	any other number                                         never                          failure
//
// A success leaves a breaker closed, a failure may open it, a throttled call asks for fewer,
// and what is ignored counts for nobody. That a message is too large is read from the text of
// the status: its code is that of a quota, and neither a detail nor a field tells.
//
// The wait that a server asks for is read from the metadata grpc-retry-pushback-ms of the
// answer, as gRFC A6 has it, and else from google.rpc.RetryInfo among the details of the
// status. A pushback of zero or more also permits to repeat what the table repeats if
// idempotent; one that is negative, malformed or given twice forbids to repeat anything.
// Attempts after the first carry grpc-previous-rpc-attempts.
//
// # One retry layer
//
// grpc-go repeats calls by itself too when a service config has a retryPolicy, which may come
// by DNS. Each attempt of the chain would be several then. [DialOptions] therefore includes
// grpc.WithDisableRetry; the transparent repeat stays. With the interceptors alone, or where
// another interceptor or a mesh repeats, see to it that only one layer does. Rejections of
// the chain have the codes Unavailable and ResourceExhausted, which those further out may
// take for reasons to repeat.
//
// After a dial that failed grpc-go waits a second or more before the next one, and calls that
// come meanwhile fail at once, the attempts of a chain among them. grpc.WaitForReady makes a
// call wait for a connection instead: no policy hears of the failures then, and a breaker
// stays closed. A Timeout of the chain ends the wait, and is a failure.
//
// # Errors
//
// An error of the call is returned as it is. When a policy refused or ended the call,
// errors.As finds the [*middleware.Rejection], and status.FromError a status with its text:
// DeadlineExceeded for a time limit, ResourceExhausted for a rate limit, a bulkhead and an adaptive limit,
// Canceled when the caller gave up while it was held back, that of the last error when a
// budget is spent, and else Unavailable; with RetryInfo if the rejection knows when to come
// back.
//
// # Unary calls
//
// Each attempt has a reply of its own, and the caller's gets the one that won; likewise what
// grpc.Header, grpc.Trailer and grpc.Peer point to. A reply that is not a proto.Message, or
// that embeds one, cannot be had twice: such a call never runs beside itself. When the call
// returns no attempt is running any more, so the request is the caller's again. Functions of
// grpc.OnFinish are called once.
//
// # Streams
//
// To the policies a stream has succeeded when the server's headers have come; grpc-go servers
// send them with the first message unless the handler calls SendHeader. Until then it may be
// repeated, and no longer. A failure after the headers is the caller's to handle, and no
// policy hears of it.
//
//   - Server streams: the one message of the caller is copied and sent again. One that is not
//     a proto.Message, or that embeds one, is sent once.
//   - Client streams and bidirectional ones: once the caller has sent a message or closed
//     its side nothing is repeated. They never run beside themselves.
//
// The policies run on a goroutine of the stream, which ends with them. Opening a stream
// returns when the first attempt has one, as in grpc-go, for a server stream with the request
// sent. Errors before that come from there, later ones from RecvMsg.
//
// What the policies hold for a stream (a permit, a context) they hold until it ends: with
// io.EOF or any other error of RecvMsg, with the context of the caller, or with the
// connection. As with grpc-go, a caller that stops reading must cancel its context. A
// policies.Timeout ends with the headers (policies.UntilResult), covers the stream
// (policies.UntilEnd) or each RecvMsg (policies.EachRead). A client stream has its headers at
// its end, and a bidirectional one when the handler first sends something, so that what the
// caller takes its time for until then counts. The server of a stream is told of the deadline
// of the caller alone, for it would end the stream with one that holds until the headers;
// that of a unary call is told of the time limits of the chain too.
//
// # Traces
//
// Attempts have the contexts that the policies give them, so the spans of a stats handler
// (grpc.WithStatsHandler), one for each attempt, are inside that of the call.
package grpc
