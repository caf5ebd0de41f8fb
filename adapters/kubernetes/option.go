package kubernetes

import "sync/atomic"

// An Option changes what [Wrap], [Do] and [Call] do; each says for which it is. A nil
// Option, and one that is for another function, changes nothing.
type Option func(*options)

type options struct {
	retries            bool
	open               *atomic.Int64
	ignoreCertificates bool
	ignoreWebhooks     bool
	idempotent         bool
}

func optionsOf(opts []Option) (o options) {
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// WithRetries has the chain of [Wrap] repeat requests, and client-go not: the header
// Retry-After is taken off the last answer of a request, and errors that client-go would
// repeat lose what it knows them by. Without it the verdicts of Wrap never ask for a
// repeat, and it is client-go that repeats: any request up to ten times whose answer, 429
// or 5xx, has a Retry-After, and a GET whose connection broke.
//
// The price is that apierrors.SuggestsClientDelay may say of the last answer that there is
// no hint. Long-running requests are never repeated by the chain; those stay client-go's.
func WithRetries() Option { return func(o *options) { o.retries = true } }

// WithOpenCount has [Wrap] count in n the long-running requests whose answers are being
// read: open watches and followed logs, which take no place in a bulkhead. Upgraded
// connections are not among them, since nobody tells of their end. Nil changes nothing.
func WithOpenCount(n *atomic.Int64) Option {
	return func(o *options) {
		if n != nil {
			o.open = n
		}
	}
}

// IgnoreCertificates has certificates that are not trusted count against nobody, in
// [Wrap], [Do] and [Call]. Otherwise they are failures, which open a breaker. They are
// never repeated.
func IgnoreCertificates() Option { return func(o *options) { o.ignoreCertificates = true } }

// IgnoreWebhooks has the server's errors count against nobody that are those of an
// admission webhook, in [Do] and [Call]. Otherwise they are failures.
func IgnoreWebhooks() Option { return func(o *options) { o.ignoreWebhooks = true } }

// Idempotent says of a call of [Do] or [Call] that running it twice does the same as
// running it once, whatever its verb: of a dry run, or a delete with the UID as its
// precondition.
func Idempotent() Option { return func(o *options) { o.idempotent = true } }
