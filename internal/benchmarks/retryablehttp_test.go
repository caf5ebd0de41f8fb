package benchmarks

import (
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
)

// It has no other policies. It sends through an http.Client of its own, and reads up
// to 4 KiB of a response that it gives up. Its log is off.
func retryableTransport(base http.RoundTripper, s stack) http.RoundTripper {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: base}
	client.Logger = nil
	switch s {
	case retryStack:
	case repeatStack:
		client.RetryMax, client.RetryWaitMin, client.RetryWaitMax = attempts-1, noWait, noWait
	default:
		return nil
	}
	return &retryablehttp.RoundTripper{Client: client}
}
