package minio

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

// removeBatch is how many objects S3 removes with one request.
const removeBatch = 1000

// RemoveObject removes an object; it is no error when there is none. In a bucket
// with versions, a repeat without a VersionID may add a second delete marker.
func (c *Client) RemoveObject(ctx context.Context, bucket, object string, opts minio.RemoveObjectOptions) error {
	return c.write(ctx, "RemoveObject", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveObject(ctx, bucket, object, opts)
	})
}

// RemoveIncompleteUpload aborts the uploads in parts of an object. When an attempt
// failed and may have aborted one all the same, a later one that finds it gone has
// succeeded.
func (c *Client) RemoveIncompleteUpload(ctx context.Context, bucket, object string) error {
	return c.settle(ctx, "RemoveIncompleteUpload", bucket, minio.NoSuchUpload, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveIncompleteUpload(ctx, bucket, object)
	})
}

// RemoveObjects removes objects, or those versions of them that have a VersionID, up
// to 1000 with one request, and says of each what came of it. The second value is the
// Err of the first. Objects are taken as the iteration goes on; when it ends early,
// those of the request under way may be removed.
//
// Each request is a call through the policies. They see the errors of single
// objects too, and a repeat asks only for the objects that failed in a way that may
// pass. A request that fails ends the iteration, after an error for each of its
// objects. minio-go takes an object for removed whose error is NoSuchVersion or
// InvalidArgument.
func (c *Client) RemoveObjects(ctx context.Context, bucket string, objects iter.Seq[minio.ObjectInfo], opts minio.RemoveObjectsOptions) iter.Seq2[minio.RemoveObjectResult, error] {
	return func(yield func(minio.RemoveObjectResult, error) bool) {
		if err := c.check(); err != nil {
			yield(minio.RemoveObjectResult{Err: err}, err)
			return
		}
		for batch := range batches(objects) {
			r := removal{client: c, bucket: bucket, opts: opts, left: batch}
			err := r.run(ctx)
			for _, result := range r.results(err) {
				if !yield(result, result.Err) {
					return
				}
			}
			if err != nil && !r.answered {
				return
			}
		}
	}
}

func batches(objects iter.Seq[minio.ObjectInfo]) iter.Seq[[]minio.ObjectInfo] {
	return func(yield func([]minio.ObjectInfo) bool) {
		if objects == nil {
			return
		}
		var batch []minio.ObjectInfo
		for o := range objects {
			if batch = append(batch, o); len(batch) == removeBatch {
				if !yield(batch) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// A removal is one request to remove objects, and its repeats.
type removal struct {
	client *Client
	bucket string
	opts   minio.RemoveObjectsOptions

	mu       sync.Mutex // a policy may run attempts that overlap
	done     []minio.RemoveObjectResult
	left     []minio.ObjectInfo
	failed   map[objectVersion]error // of those left
	answered bool                    // the last attempt was, whatever was said of single objects
	rounds   int                     // attempts that were answered
}

type objectVersion struct{ name, version string }

func (r *removal) run(ctx context.Context) error {
	op := Op{Name: "RemoveObjects", Bucket: r.bucket, Kind: Write}
	return r.client.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		r.mu.Lock()
		left, round := slices.Clone(r.left), r.rounds
		r.answered = false
		r.mu.Unlock()
		results, err := raw.RemoveObjectsWithIter(ctx, r.bucket, slices.Values(left), r.opts)
		if err != nil {
			return err
		}
		return r.note(ctx, round, left, slices.Collect(results))
	})
}

// note takes the results of an attempt, and returns the error that says most about
// it to the policies: one that may pass before one that may not.
func (r *removal) note(ctx context.Context, round int, asked []minio.ObjectInfo, results []minio.RemoveObjectResult) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := requestError(ctx, asked, results); err != nil {
		return err
	}
	if round != r.rounds {
		return nil // an attempt beside this one was answered first
	}
	r.rounds++
	r.answered, r.left, r.failed = true, nil, map[objectVersion]error{}
	said := make(map[objectVersion]minio.RemoveObjectResult, len(results))
	var nameless []error // of keys that XML cannot hold, in their order
	for _, result := range results {
		if result.ObjectName == "" {
			nameless = append(nameless, result.Err)
			continue
		}
		said[objectVersion{result.ObjectName, result.ObjectVersionID}] = result
	}
	var worst error
	unasked := maps.Clone(said)
	for _, o := range asked {
		id := objectVersion{o.Key, o.VersionID}
		result, ok := said[id]
		if !ok { // some servers leave out the version
			id = objectVersion{name: o.Key}
			result, ok = said[id]
			result.ObjectVersionID = o.VersionID
		}
		delete(unasked, id)
		if !ok { // see RemoveObjects
			result = minio.RemoveObjectResult{ObjectName: o.Key, ObjectVersionID: o.VersionID}
			if len(nameless) > 0 && !fitsXML(o.Key) {
				result.Err, nameless = nameless[0], nameless[min(1, len(nameless)-1):]
			}
		}
		if result.Err == nil {
			r.done = append(r.done, result)
			continue
		}
		retry := r.client.judge(ctx, Write, result.Err).Retry
		if worst == nil || retry && !r.client.judge(ctx, Write, worst).Retry {
			worst = result.Err
		}
		result.Err = r.client.redact(result.Err)
		if retry {
			r.left, r.failed[objectVersion{o.Key, o.VersionID}] = append(r.left, o), result.Err
		} else {
			r.done = append(r.done, result)
		}
	}
	for _, result := range unasked {
		if result.Err != nil { // of which object, the server does not say in our words
			worst = cmp.Or(worst, result.Err)
			result.Err = r.client.redact(result.Err)
			r.done = append(r.done, result)
		}
	}
	return worst
}

// fitsXML reports whether XML can hold a key. minio-go sends a DELETE of its own for
// one that it cannot, and does not name it when that fails.
func fitsXML(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF'
	})
}

// requestError returns the error of a request as a whole, nil if the server has
// said something of single objects.
func requestError(ctx context.Context, asked []minio.ObjectInfo, results []minio.RemoveObjectResult) error {
	if len(results) < len(asked) && ctx.Err() != nil {
		return ctx.Err() // minio-go then sends nothing more and says nothing
	}
	if len(results) == 0 {
		return nil
	}
	if last := results[len(results)-1]; last.ObjectName == "" && last.Err != nil {
		if _, answered := errors.AsType[minio.ErrorResponse](last.Err); !answered {
			return last.Err // the answer is none of S3
		}
	}
	for _, result := range results {
		if response, ok := errors.AsType[minio.ErrorResponse](result.Err); result.Err == nil || ok && response.StatusCode == 0 {
			return nil
		}
	}
	if len(results) < len(asked) {
		return nil
	}
	return results[0].Err
}

// results returns a result for each object, after a call that ended with err.
func (r *removal) results(err error) []minio.RemoveObjectResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	results := r.done
	for _, o := range r.left {
		result := minio.RemoveObjectResult{ObjectName: o.Key, ObjectVersionID: o.VersionID, Err: err}
		if own := r.failed[objectVersion{o.Key, o.VersionID}]; own != nil && r.answered {
			result.Err = own
		}
		results = append(results, result)
	}
	return results
}
