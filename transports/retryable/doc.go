// Package retryable puts a chain of policies under a client of
// hashicorp/go-retryablehttp.
//
// # When to use it
//
// Use [Wrap] in a program that already works with a [retryablehttp.Client], its
// requests and its hooks, and is to gain a breaker, a rate limit or time limits
// without a change of its retries:
//
//	client := retryable.Wrap(old, middleware.NewChain("vault", breaker, limit, timeout))
//
// In new code use transports.New with policies.Retry instead. It is an
// http.RoundTripper like any other, does not read request bodies into memory, does
// not repeat a POST that may have been carried out, returns the last response when
// the attempts are spent, and its waits and attempts are seen as events. Nothing of
// that can be added to retryablehttp from outside.
//
// Do not put a Retry into the chain of a wrapped client: the attempts multiply.
package retryable
