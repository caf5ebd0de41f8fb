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
// The order that is right for most chains, outermost first: Timeout for the whole
// call, Retry, Breaker, RateLimit, Timeout for each attempt. Retry outside the
// breaker lets the breaker count every attempt, and ends the retries when it
// opens.
package policies
