// Package retryable has hashicorp/go-retryablehttp both ways: its loop for the retries of
// a chain, and a chain under its clients. Nobody links it who does not import this
// package.
//
// # When to use which
//
// In new code use transports.New with policies.Retry as it is. It is an http.RoundTripper
// like any other, takes no request body into memory, does not repeat a POST that may have
// been carried out, returns the last response when the attempts are spent, and shows its
// waits and attempts as events.
//
// Use an [Engine] where go-retryablehttp's loop is what has been approved, and is to make
// the attempts and the waits. It behaves like the loop of package policies in every
// respect, since all decisions are the Retry's; it costs seven allocations a call and about a
// microsecond an attempt more.
//
//	policies.NewRetry(policies.RetryConfig{Engine: retryable.NewEngine()})
//
// Use [Wrap] in a program that already works with a [retryablehttp.Client], its requests
// and its hooks, and is to gain a breaker, a rate limit or time limits, and decisions about
// what is repeated that are safe:
//
//	client := retryable.Wrap(old, middleware.NewChain("vault", breaker, limit, timeout))
//
// Do not put a Retry into the chain of a wrapped client: the attempts multiply.
package retryable
