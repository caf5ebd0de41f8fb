package minio

// An Option changes a [Client].
type Option func(*options)

type options struct {
	resumes  int
	byBucket bool
	redacted bool
}

// WithResume lets a download that breaks off continue where it was, at most n times
// for each [Object]. It needs a retry in the chain, see [Client.GetObject]. By
// default, and for an n below 1, the error of the connection is the error of Read.
func WithResume(n int) Option {
	return func(o *options) { o.resumes = max(n, 0) }
}

// WithBucketKeys gives each bucket a key of its own, HOST/BUCKET, so that policies
// with a state per key, such as policies.Keyed, tell buckets apart. By default the
// key is the host of the endpoint.
func WithBucketKeys() Option {
	return func(o *options) { o.byBucket = true }
}

// WithRedactedNames leaves the names of objects out of errors: out of the fields and
// the message of a minio-go ErrorResponse, in which the name of the bucket stays, and
// out of the URL of a network error, of which the server stays. An error of another
// kind around one of these has its text redacted; what errors.Unwrap finds in it is not.
func WithRedactedNames() Option {
	return func(o *options) { o.redacted = true }
}
