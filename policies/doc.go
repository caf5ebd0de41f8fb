// Package policies holds the policies of Tidegate: ready decorators for the
// chains of package middleware.
//
// Every policy has a settings struct (XConfig), a constructor (NewX) and a
// Validate method. A zero setting means its documented default, an exported
// constant. Validate names the setting that is wrong, its value and what is
// allowed; NewX panics with the same error, because settings written in a program
// are the programmer's to get right. Load settings from outside with package
// tidegate, which returns the error instead.
//
// All policies are safe for concurrent use, by several chains too: a policy that
// is part of two chains has one state for both. [Keyed] makes one of a policy for
// each key.
//
// What they do:
//
//   - [Timeout] limits how long a call takes, or an attempt.
//   - [Retry] repeats what failed.
//   - [Hedge] runs a call beside itself that takes long, and takes what comes first.
//   - [Breaker] stops calls to a dependency that fails.
//   - [RateLimit] lets calls begin at a bounded rate.
//   - [Bulkhead] lets a bounded number of calls run at the same time.
//   - [Keyed] makes one of any of them for each key.
//
// A [Budget] is no policy: it bounds the load that retries and hedges add.
//
// The order that is right for most chains, outermost first: Timeout for the whole
// call, Retry, Hedge, Breaker, RateLimit, Bulkhead, Timeout for each attempt. Retry outside
// the breaker lets the breaker count every attempt, and ends the retries when it
// opens. A call that waits for its turn at the rate limit takes no place in the
// bulkhead meanwhile, and neither wait counts against the time of the attempt.
package policies
