// Package kubernetes puts a chain of policies around what client-go sends to an API
// server.
//
//	config = kubernetes.Wrap(config, chain)               // everything made from it has the policies
//	clients, err := kubernetes.NewForConfig(config)       // of client-go
//	election := kubernetes.Exempt(config)                 // for what must never wait
//
// [Wrap] works on requests: breaker, rate limit, bulkhead and time limits, for typed and
// dynamic clients, informers and controller-runtime alike. [Do] and [Call] work on calls: the
// chain judges the error that client-go made of the answer, and repeats calls with respect
// to what they do. Together, Wrap's chain has the breakers and limits, and Do's the retry.
//
// # One layer of retries
//
// client-go repeats by itself: any request up to ten times whose answer, 429 or 5xx, has a
// Retry-After, POST included, and a GET or a watch whose connection broke. So the chain of
// Wrap repeats nothing unless [WithRetries] makes it the one that does. Of requests inside of
// Do, by clients of a wrapped config, only Do repeats.
// An eviction is an example: where its budget has just changed, the API server answers 429 with
// Retry-After: 10, and client-go waits for ten times that; with WithRetries or in Do the 429
// comes back at once.
//
// # Requests
//
// [Wrap] judges an attempt by the tables of package transports, but for these:
//
//	GET, HEAD, OPTIONS, server-side apply, dry runs           are idempotent
//	POST, PUT, DELETE, other PATCH                            are not, unless transports.Idempotent says so
//	429, and 503 with Retry-After                             any request is repeated
//	429 to an eviction                                        success, not repeated: a disruption budget
//	watch, follow, exec, attach, portforward, proxy, upgrade  never repeated
//
// client-go makes an error of an answer that refuses a WebSocket; its Status means what it
// means to calls, and without one it is ignored.
//
// A dry run is known by the query of its request. client-go says it of a delete in the body
// instead, where nobody looks: that is a delete like any other.
//
// # Calls
//
// [Do] and [Call] judge by this table; the first row that fits counts. "If safe" are [Get]
// and [List], and what is idempotent: [Apply], [CreateNamed], and what [Idempotent] says.
// That a plugin, the limiter or a webhook is meant is read from the text: there is no type.
//
//	answer                                        repeated                         counts as
//	a time limit of a chain further in            if safe                          failure
//	a policy of a chain further in                never                            ignored
//	NotFound                                      never                            success
//	AlreadyExists                                 never                            success
//	Conflict                                      never                            success
//	Gone, Expired                                 never                            success
//	Forbidden                                     never                            success
//	Unauthorized                                  any, once                        success
//	TooManyRequests because of a disruption budget
//	                                              never                            success
//	TooManyRequests                               any                              throttled
//	ServerTimeout                                 any but Create                   failure
//	Timeout                                       if safe                          failure
//	ServiceUnavailable                            if safe, any with a delay        failure
//	of an admission webhook                       Get, List                        failure (IgnoreWebhooks: ignored)
//	any other answer with 5xx                     Get, List                        failure
//	any other answer                              never                            success
//	the limiter of client-go                      never                            ignored
//	a credential plugin                           never                            ignored
//	the connection, by the table of package transports
//	                                              if safe, any if never sent       mostly failure
//	any other error: not the server's             never                            ignored
//
// The caller's own cancellation and deadline are ignored and not repeated; a time limit of
// the chain is a failure, repeated if safe, or if there was no connection yet, as is known of
// clients of a wrapped config. A conflict is the caller's to settle: see [RetryOnConflict].
package kubernetes
