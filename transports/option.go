package transports

import (
	"net/http"

	"github.com/tidegate-go/tidegate/middleware"
)

// An Option changes what [New] and [Client] make. A nil Option changes nothing.
type Option func(*options)

type options struct {
	classify     func(*http.Request, *http.Response, error) middleware.Verdict
	key          func(*http.Request) string
	idempotent   func(*http.Request) bool
	repeatable   func(*http.Request) bool
	longRunning  func(*http.Request) bool
	fallback     func(*http.Request, error) (*http.Response, error)
	generateKeys bool
	replay       replay
	statusErrors bool
	propagate    bool
}

// WithClassifier sets the function that judges each attempt, in place of
// [Classify], which it may ask for all that it does not know better. Nil is
// Classify.
//
// classify gets what Classify gets. It must not read or close bodies, nor change
// anything, and must be safe for concurrent use. A response whose verdict is a
// Success without Retry is none of the policies' business. A request that has a
// body without GetBody is never repeated, whatever the verdict says.
func WithClassifier(classify func(req *http.Request, resp *http.Response, err error) middleware.Verdict) Option {
	return func(o *options) { o.classify = classify }
}

// WithKey sets the function that names what a request goes to, in place of scheme, host
// and port: a bucket that is part of the host, a tenant that is part of the path. It is
// the Key of the [middleware.Operation], by which policies.Keyed tells servers apart, so
// there should be few, and outsiders should not choose them. key gets the caller's
// request, must not change it and must be safe for concurrent use. Nil changes nothing.
func WithKey(key func(*http.Request) string) Option {
	return func(o *options) { o.key = key }
}

// WithIdempotent names further requests that may be repeated, besides those that the
// package comment lists: a POST that only asks, for instance. is gets the caller's
// request, must not change it or read its body, and must be safe for concurrent use. For a
// single request use [Idempotent]. Nil changes nothing.
func WithIdempotent(is func(*http.Request) bool) Option {
	return func(o *options) { o.idempotent = is }
}

// WithRepeatable sets the function that decides which requests are idempotent, in place of
// their method, their headers and [WithIdempotent]; the last word has [Idempotent]. It does
// not have requests sent beside themselves whose method may change something. is gets
// the caller's request, must not change it or read its body, and must be safe for
// concurrent use. Nil changes nothing.
func WithRepeatable(is func(*http.Request) bool) Option {
	return func(o *options) { o.repeatable = is }
}

// WithIdempotencyKey gives each request that may not be repeated otherwise a header
// Idempotency-Key with a random value, the same for all its attempts, so that it may be.
// It is for servers that know the header: they carry out what comes twice with one key
// only once. A key that the caller has set stays as it is.
//
// It does not make a request one to be hedged: the answer to a second one with the same
// key may be that the first is still under way.
func WithIdempotencyKey() Option {
	return func(o *options) { o.generateKeys = true }
}

// WithReplay lets requests be repeated whose body has no GetBody. One that is an
// io.ReaderAt and an io.Seeker, such as a file, is read again in its place, from the
// offset at which it stood, which does not move. Of any other one, at most buffer bytes
// are read by the first attempt, before it is sent, and kept; when the attempt's context
// ends meanwhile the body is closed, which must end a Read that waits; when it is longer, or is said to be by its
// ContentLength, it is sent once, like without this option. A buffer of zero or less keeps nothing.
func WithReplay(buffer int64) Option {
	return func(o *options) { o.replay = replay{allowed: true, buffer: buffer} }
}

// WithLongRunning names requests whose response goes on for as long as somebody listens: a
// watch, a log that is followed, an event stream. For the policies such a call is over when
// its headers have come: its place in a bulkhead is free again, no time limit cuts it and
// how long it takes counts nowhere. It is never sent beside itself. is gets the caller's
// request, must not change it and must be safe for concurrent use. Nil changes nothing.
func WithLongRunning(is func(*http.Request) bool) Option {
	return func(o *options) { o.longRunning = is }
}

// WithStatusErrors makes a response that is no success to the policies, when no other
// attempt follows, an error for the caller too, with a method StatusCode() int; the
// response is given up. Without it, as net/http has it, any response comes with a nil
// error.
func WithStatusErrors() Option {
	return func(o *options) { o.statusErrors = true }
}
