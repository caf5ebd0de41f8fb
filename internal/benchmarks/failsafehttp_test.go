package benchmarks

import (
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/timeout"
)

func failsafeTransport(base http.RoundTripper, s stack) http.RoundTripper {
	type policy = failsafe.Policy[*http.Response]
	retry := failsafehttp.NewRetryPolicyBuilder().WithBackoff(100*time.Millisecond, 10*time.Second).Build()
	switch s {
	case retryStack:
		return failsafehttp.NewRoundTripper(base, retry)
	case fullStack:
		return failsafehttp.NewRoundTripper(base, []policy{
			timeout.New[*http.Response](30 * time.Second),
			retry,
			circuitbreaker.NewBuilder[*http.Response]().
				HandleIf(func(resp *http.Response, err error) bool { return err != nil || resp.StatusCode >= 500 }).
				WithFailureThreshold(5).WithSuccessThreshold(2).WithDelay(30 * time.Second).Build(),
			ratelimiter.NewBursty[*http.Response](1e9, time.Second),
		}...)
	case repeatStack:
		return failsafehttp.NewRoundTripper(base,
			failsafehttp.NewRetryPolicyBuilder().WithMaxAttempts(attempts).WithDelay(noWait).Build())
	default:
		return nil
	}
}
