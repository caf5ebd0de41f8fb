package transports

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Rules change what [Classify] says about some attempts. Give their Classify to
// [WithClassifier]:
//
//	transports.WithClassifier(transports.Rules{ForbiddenIsThrottled: true}.Classify)
//
// The zero Rules change nothing.
type Rules struct {
	// RepeatThrottled repeats any request whose body can be had again, a POST too, that
	// was answered with 429, or with 503 and a Retry-After: the server says that it did
	// not carry it out.
	RepeatThrottled bool

	// ForbiddenIsThrottled takes a 403 with Retry-After, or with X-RateLimit-Remaining: 0,
	// for a 429, as GitHub means it. Without Retry-After the wait is until X-RateLimit-Reset.
	ForbiddenIsThrottled bool

	// RepeatUnknownHost repeats a request whose host has no address, as one does that is
	// being set up. Otherwise it is taken for a mistake in the name.
	RepeatUnknownHost bool

	// IgnoreCertificates has certificates that are not trusted count against nobody.
	// Otherwise they are failures, which open a breaker. They are never repeated.
	IgnoreCertificates bool
}

// Classify is [Classify] under the rules.
func (r Rules) Classify(req *http.Request, resp *http.Response, err error) middleware.Verdict {
	v := Classify(req, resp, err)
	switch {
	case err != nil:
		return r.ofError(v, req, err)
	case resp == nil:
		return v
	}
	throttled := resp.StatusCode == http.StatusTooManyRequests
	switch h := resp.Header; {
	case resp.StatusCode == http.StatusServiceUnavailable:
		throttled = h.Get("Retry-After") != ""
	case r.ForbiddenIsThrottled && isQuota(resp):
		throttled = true
		v = ofStatus(http.StatusTooManyRequests).verdict(req)
		if now := time.Now(); h.Get("Retry-After") != "" {
			v.After = retryAfter(h, now)
		} else {
			v.After = untilReset(h, now)
		}
	}
	if r.RepeatThrottled && throttled {
		v.Retry = replayable(req)
	}
	return v
}

func (r Rules) ofError(v middleware.Verdict, req *http.Request, err error) middleware.Verdict {
	switch {
	case r.RepeatUnknownHost && v.Reason == "dns" && unknownHost(req, err):
		v.Retry = replayable(req)
	case r.IgnoreCertificates && v.Reason == "certificate":
		v.Class = middleware.Ignored
	}
	return v
}

// isQuota reports whether a 403 says that a quota is used up.
func isQuota(resp *http.Response) bool {
	return resp.StatusCode == http.StatusForbidden &&
		(resp.Header.Get("Retry-After") != "" || resp.Header.Get("X-Ratelimit-Remaining") == "0")
}

// untilReset returns how long until the time that X-RateLimit-Reset names in seconds of
// the Unix epoch, by the server's clock as retryAfter knows it.
func untilReset(h http.Header, now time.Time) time.Duration {
	seconds, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return until(time.Unix(seconds, 0), h, now)
}
