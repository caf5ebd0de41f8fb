package grpc

import (
	"math"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A pushback is what a server says about repeating a call, after gRFC A6.
type pushback struct {
	given   bool
	permits bool
	after   time.Duration
}

const pushbackKey = "grpc-retry-pushback-ms"

// pushbackOf reads the metadata of an answer. An answer without a message has no header, but
// servers in which a handler sets one may send it with the header.
func pushbackOf(header, trailer metadata.MD) pushback {
	values := trailer.Get(pushbackKey)
	if len(values) == 0 {
		values = header.Get(pushbackKey)
	}
	switch len(values) {
	case 0:
		return pushback{}
	case 1:
		return parsePushback(values[0])
	default:
		return pushback{given: true}
	}
}

// parsePushback reads a number of milliseconds. More of them than a Duration can hold are the
// longest Duration of whole milliseconds.
func parsePushback(s string) pushback {
	const most = math.MaxInt64 / int64(time.Millisecond)
	var n int64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return pushback{given: true}
		}
		if n = 10*n + int64(c-'0'); n > most {
			n = most
		}
	}
	return pushback{given: true, permits: s != "", after: time.Duration(n) * time.Millisecond}
}

// retryInfo returns the delay of the RetryInfo among the details of st, or 0.
func retryInfo(st *status.Status) time.Duration {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return max(0, info.GetRetryDelay().AsDuration())
		}
	}
	return 0
}
