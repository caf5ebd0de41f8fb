// Package minio puts the operations of a minio-go client inside a chain of
// policies.
//
//	client, err := minio.New("s3.example.com", options, chain)
//	info, err := client.PutObject(ctx, "backups", "monday.tar", file, size, miniogo.PutObjectOptions{})
//
// A [Client] has the common operations as methods. Where minio-go would send
// nothing yet (GetObject), hide an error among the items (ListObjects) or consume
// what an attempt cannot give back (PutObject), the method here is one that
// policies can repeat and judge. [Client.Do] and [Call] run any other operation of
// minio-go inside the same chain, and [Client.Raw] reaches the client without it.
//
// # Errors
//
// The caller gets minio-go's own error, so minio-go's ToErrorResponse works on it,
// or a [*middleware.Rejection] that errors.As finds. Where a rejection wraps the
// last error of an operation, errors.As finds that ErrorResponse too.
//
// # Judgement
//
// [Classify] says what an error means to the policies. An answer such as NoSuchKey
// is a success of the server, SlowDown asks for fewer calls, a 503 or a broken
// connection is a failure. Whether an operation may be repeated depends on its
// [Kind].
package minio
