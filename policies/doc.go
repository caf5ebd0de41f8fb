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
//   - [Fallback] does something else, which the call says, in place of what failed.
//   - [Timeout] limits how long a call takes, or an attempt.
//   - [Throttle] sheds calls to a dependency that refuses many, the least important first.
//   - [Retry] repeats what failed.
//   - [Hedge] runs a call beside itself that takes long, and takes what comes first.
//   - [Breaker] stops calls to a dependency that fails.
//   - [Deadline] refuses a call that has less time left than calls usually take.
//   - [RateLimit] lets calls begin at a bounded rate, which may follow the dependency.
//   - [Bulkhead] lets a bounded number of calls run at the same time.
//   - [AdaptiveLimit] does so, and finds the number by how long calls take.
//   - [Chaos] disturbs calls, to see whether a program bears it.
//   - [Keyed] makes one of any of them for each key.
//
// A [Budget] is no policy: it bounds the load that retries and hedges add. Nor are [Stale],
// which has the last good value for a Fallback, and [Flight], which makes one call of many
// that are the same.
//
// The order that is right for most chains, outermost first: that of the list. Retry outside
// the breaker lets the breaker count every attempt, and ends the retries when it
// opens. A call that waits for its turn at the rate limit takes no place in the
// bulkhead meanwhile, and neither wait counts against the time of the attempt, for which a
// second Timeout stands innermost. [middleware.Chain.Check] finds orders and settings
// that cannot be meant, [middleware.Chain.Explain] says what a chain comes to.
//
// Most policies have a method Apply, which changes the settings while calls run, and a
// setting ObserveOnly, with which they decide and report and refuse nothing.
package policies
