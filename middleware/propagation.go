package middleware

import (
	"context"
	"strconv"
)

// What [Propagate] tells, by its names in HTTP. gRPC has them in lower case.
const (
	// PriorityHeader has the name of a [Priority], such as "sheddable".
	PriorityHeader = "Tidegate-Priority"
	// AttemptHeader has the number of the attempt, such as "2".
	AttemptHeader = "Tidegate-Attempt"
)

// maxPropagatedAttempt is the largest number that is believed and told. More say no more:
// the call is not in its first attempt.
const maxPropagatedAttempt = 100

// Propagate tells what another process should know of a call: it calls set with
// PriorityHeader, unless the priority of ctx is Critical, and with AttemptHeader from the
// second attempt on. That of a retry further out, in this process or in one before
// it, counts too. An adapter uses it for each attempt, with the context of the attempt.
func Propagate(ctx context.Context, set func(name, value string)) {
	if p := PriorityOf(ctx); p != Critical {
		set(PriorityHeader, p.String())
	}
	outer, _ := OuterAttempt(ctx)
	if n := max(Attempt(ctx), outer); n > 1 {
		set(AttemptHeader, strconv.Itoa(min(n, maxPropagatedAttempt)))
	}
}

// WithPropagated returns a context with what another process told by [Propagate], for the
// work that it asked for: see [WithPriority] and [WithOuterAttempt]. get returns the
// value of a name, or "". What is malformed changes nothing, and an attempt above 100
// counts as 100.
//
// It believes the other process, which may call anything critical. Use it only for
// callers that are trusted.
func WithPropagated(ctx context.Context, get func(name string) string) context.Context {
	if p, ok := ParsePriority(get(PriorityHeader)); ok {
		ctx = WithPriority(ctx, p)
	}
	if n := parseAttempt(get(AttemptHeader)); n > 1 {
		ctx = WithOuterAttempt(ctx, n)
	}
	return ctx
}

// parseAttempt returns the number in a value of AttemptHeader, or 0 if it is none. It is
// written in digits, without a sign and without zeros before it.
func parseAttempt(value string) int {
	if value == "" || value[0] == '0' {
		return 0
	}
	n := 0
	for _, c := range []byte(value) {
		if c < '0' || c > '9' {
			return 0
		}
		n = min(10*n+int(c-'0'), maxPropagatedAttempt)
	}
	return n
}
