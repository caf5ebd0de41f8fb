// Package minio puts the operations of a minio-go client inside a chain of
// policies.
//
//	client, err := minio.New("s3.example.com", options, chain)
//	info, err := client.PutObject(ctx, "backups", "monday.tar", file, size, miniogo.PutObjectOptions{})
//
// A [Client] has the methods of minio-go's client, most with the same signatures.
// Where minio-go would send nothing yet (GetObject), hide an error among the items
// (ListObjects), or consume what an attempt cannot give back (PutObject,
// RemoveObjects), the method here is one that policies can repeat and judge.
// [Client.Do] and [Call] run anything else, such as the operations of minio.Core,
// inside the same chain, and [Client.Raw] reaches the client without it.
//
// # What is repeated
//
// The [Kind] of each operation decides, not the policies: what changes nothing, and
// what leaves the same when it is done twice, may be repeated; what would do more
// (AppendObject, PutObjectFanOut, ResetBucketReplication, PromptObject) only when the
// request was certainly not carried out; what consumes a channel never; a reader only
// when it can be rewound to where it stood, see [Client.PutObject]. Only operations
// that change nothing run beside themselves in a hedge, and none that writes to a
// file.
//
// A repeat may find the work done by an attempt whose answer was lost. Where the
// answer says so beyond doubt (a bucket that is made or removed already) that is
// success, elsewhere an [*AmbiguousError]. In a bucket with versions, repeated copies,
// uploads and removals may each leave one version or delete marker more.
//
// # Errors
//
// The caller gets minio-go's own error, so minio-go's ToErrorResponse works on it,
// or one of three that errors.As or errors.Is find: a [*middleware.Rejection], an
// [*AmbiguousError] or [ErrChanged]. Where these wrap an answer, errors.As finds that
// ErrorResponse too, which ToErrorResponse does not.
//
// # Judgement
//
// [Classify] says what an error means to the policies. An answer such as NoSuchKey
// is a success of the server, SlowDown asks for fewer calls, a 503 or a broken
// connection is a failure. What did not reach the server, such as a bad argument or a
// reader that fails, counts neither way. Errors of single items that a nil error
// hides (RemoveObjects, PutObjectFanOut) are judged too.
//
// # Traces
//
// Each call through the chain is one operation, named after the method; the rest of a
// download or listing that broke off, ReadAt, and each 1000 objects of RemoveObjects are
// calls of their own. For a span
// of each request as well, give Options.Transport an observer's transport:
//
//	options.Transport = observer.Transport(transport)
package minio
