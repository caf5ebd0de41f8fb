package transports

import (
	"math"
	"net/http"
	"strings"
	"time"
)

const (
	maxSeconds = uint64(math.MaxInt64 / time.Second)
	maxSkew    = 24 * time.Hour
)

// retryAfter returns how long the header Retry-After asks to wait: a number of
// seconds or a date. It is 0 when the header is missing, makes no sense or names a
// time that has passed. The first of several headers counts.
//
// A date is compared with the server's own clock, the header Date, when that is
// within a day of now, and else with now.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.Trim(h.Get("Retry-After"), " \t")
	if value == "" {
		return 0
	}
	if seconds, ok := parseSeconds(value); ok {
		return seconds
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return until(at, h, now)
}

// until returns how long until a time by the server's clock.
func until(at time.Time, h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil && date.Sub(now).Abs() <= maxSkew {
		now = date
	}
	return max(0, at.Sub(now))
}

// parseSeconds reads digits. More of them than a Duration can hold are the
// longest Duration of whole seconds.
func parseSeconds(s string) (time.Duration, bool) {
	var n uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(10*n+uint64(c-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second, true
}
