package minio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/tidegate-go/tidegate/middleware"
)

// An operation is one of the mix.
type operation struct {
	name  string
	share int // of 100
	run   func(*worker, context.Context, *watched) error
}

var mix = []operation{
	{"put", 20, (*worker).put},
	{"put a stream", 10, (*worker).putStream},
	{"put in parts", 3, (*worker).putInParts},
	{"put a version", 6, (*worker).putVersion},
	{"put a version from a stream", 4, (*worker).putVersionFromStream},
	{"put if absent", 7, (*worker).putIfAbsent},
	{"get", 20, (*worker).get},
	{"stat", 8, (*worker).stat},
	{"list", 5, (*worker).list},
	{"remove", 8, (*worker).remove},
	{"tag", 6, (*worker).tag},
	{"make a bucket", 3, (*worker).makeBucket},
}

// mixOf returns n operations in an order that is the same each time.
func mixOf(n int) []operation {
	var all []operation
	for len(all) < n {
		var round []operation
		for _, op := range mix {
			round = append(round, slices.Repeat([]operation{op}, op.share)...)
		}
		all = append(all, round...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(min(len(all), 100*(n/100+1)), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

// A worker runs one operation after the other, on objects that only it writes.
type worker struct {
	*stage

	prefix  string
	random  *rand.Rand
	first   string // the name of an object that is never written again
	objects map[string]*record
	names   []string // of objects, in the order of their making
	tags    map[string]*record
	vers    map[string]*record
	buckets map[string]*record
	next    int
}

func newWorker(s *stage, n int) *worker {
	return &worker{
		stage: s, prefix: fmt.Sprintf("w%d/", n), random: rand.New(rand.NewPCG(uint64(n), 7)),
		objects: map[string]*record{}, tags: map[string]*record{}, vers: map[string]*record{}, buckets: map[string]*record{},
	}
}

// prepare puts a large object, which stays as it is, some small ones and one for tags.
func (w *worker) prepare() error {
	ctx := w.Context()
	w.first = w.prefix + "first"
	large := content{w.random.Uint64(), 128 << 10}
	if err := w.upload(ctx, w.first, large); err != nil {
		return err
	}
	w.objects[w.first] = &record{contents: []content{large}, acked: 1, sent: 1}
	for range 2 {
		name, c := w.fresh("k"), content{w.random.Uint64(), 4 << 10}
		if err := w.upload(ctx, name, c); err != nil {
			return err
		}
		w.add(name).settle(c, nil, &watched{})
		name = w.fresh("t")
		if err := w.upload(ctx, name, content{1, 1}); err != nil {
			return err
		}
		w.tags[name] = &record{contents: []content{{}}}
	}
	return nil
}

func (w *worker) upload(ctx context.Context, name string, c content) error {
	_, err := w.client.Load().PutObject(ctx, w.bucket, name, bytes.NewReader(c.bytes()), int64(c.size), w.server.options)
	return err
}

func (w *worker) fresh(kind string) string {
	w.next++
	return fmt.Sprintf("%s%s%d", w.prefix, kind, w.next)
}

func (w *worker) add(name string) *record {
	r := &record{contents: []content{{}}}
	w.objects[name] = r
	w.names = append(w.names, name)
	return r
}

// do runs one operation and notes what became of it. After a rejection it waits for
// a moment, as a job would that has to be done.
func (w *worker) do(op operation, t *tally) {
	ctx, cancel := context.WithTimeout(w.Context(), orElse(w.row.within, time.Minute))
	defer cancel()
	ctx, watched := watch(ctx)
	err := op.run(w, ctx, watched)

	var rejection *middleware.Rejection
	rejected := errors.As(err, &rejection) && watched.attempts == 0
	if watched.faulty > 0 || err != nil {
		t.saw.Add(1)
	}
	switch {
	case err == nil:
		t.succeeded.Add(1)
	case rejected:
		t.rejected.Add(1)
		<-time.After(min(orElse(rejection.RetryAfter, openFor), openFor))
	default:
		t.failed.Add(1)
		if t == &w.after || w.row.outcome == onlyStreamsFail && !strings.Contains(op.name, "stream") {
			w.Errorf("%s: %v (after %d attempts)", op.name, err, watched.attempts)
		}
	}
	if w.row.reasons[0] == "denied" && t == &w.during && watched.attempts > 1+watched.uncertain {
		w.Errorf("%s: %d attempts with wrong credentials: %v", op.name, watched.attempts, err)
	}
	if strings.Contains(op.name, "stream") && watched.attempts > 1 {
		w.Errorf("%s: %d attempts: %v", op.name, watched.attempts, err)
	}
}

// content returns a new one of 4 KiB to 1 MiB, and each power of two as likely as another.
func (w *worker) content() content {
	return content{w.random.Uint64(), int(4096 * math.Exp2(8*w.random.Float64()))}
}

// one returns an object whose content is certain, or "" if there is none.
func (w *worker) one() string {
	var names []string
	for _, name := range w.names {
		if _, ok := w.objects[name].certain(); ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[w.random.IntN(len(names))]
}

// target returns an object to write: an old one, if there is one, as often as not.
func (w *worker) target() (string, *record) {
	if name := w.one(); name != "" && w.random.IntN(2) == 0 {
		return name, w.objects[name]
	}
	name := w.fresh("k")
	return name, w.add(name)
}

func (w *worker) putTo(ctx context.Context, seen *watched, bucket, name string, r *record, c content, reader io.Reader, opts minio.PutObjectOptions) error {
	_, err := w.client.Load().PutObject(ctx, bucket, name, reader, int64(c.size), opts)
	r.settle(c, err, seen)
	return err
}

func (w *worker) put(ctx context.Context, seen *watched) error {
	c := w.content()
	name, r := w.target()
	return w.putTo(ctx, seen, w.bucket, name, r, c, bytes.NewReader(c.bytes()), w.server.options)
}

func (w *worker) putStream(ctx context.Context, seen *watched) error {
	c := w.content()
	name, r := w.target()
	return w.putTo(ctx, seen, w.bucket, name, r, c, stream{bytes.NewReader(c.bytes())}, w.server.options)
}

func (w *worker) putInParts(ctx context.Context, seen *watched) error {
	c, opts := content{w.random.Uint64(), 6 << 20}, w.server.options
	opts.PartSize = 5 << 20
	name, r := w.target()
	return w.putTo(ctx, seen, w.bucket, name, r, c, bytes.NewReader(c.bytes()), opts)
}

func (w *worker) putVersion(ctx context.Context, seen *watched) error {
	c, name := w.content(), w.fresh("v")
	w.vers[name] = &record{contents: []content{{}}}
	return w.putTo(ctx, seen, w.versions, name, w.vers[name], c, bytes.NewReader(c.bytes()), w.server.options)
}

func (w *worker) putVersionFromStream(ctx context.Context, seen *watched) error {
	c, name := w.content(), w.fresh("v")
	w.vers[name] = &record{contents: []content{{}}}
	return w.putTo(ctx, seen, w.versions, name, w.vers[name], c, stream{bytes.NewReader(c.bytes())}, w.server.options)
}

// putIfAbsent writes a new object, or fails to write one that is there. A new one may
// be refused only when an earlier attempt may have written it.
func (w *worker) putIfAbsent(ctx context.Context, seen *watched) error {
	c, opts := w.content(), w.server.options
	opts.SetMatchETagExcept("*")
	reader := bytes.NewReader(c.bytes())
	if name := w.one(); name != "" && w.random.IntN(2) == 0 {
		_, err := w.client.Load().PutObject(ctx, w.bucket, name, reader, int64(c.size), opts)
		if err == nil {
			w.Errorf("%s was written though it is there", name)
		}
		if isCode(err, minio.PreconditionFailed) {
			return nil
		}
		return err
	}
	name := w.fresh("k")
	r := w.add(name)
	err := w.putTo(ctx, seen, w.bucket, name, r, c, reader, opts)
	if isCode(err, minio.PreconditionFailed) && seen.uncertain == 0 {
		w.Errorf("%s was not there, and nobody has written it: %v", name, err)
	}
	return err
}

// known returns any object that there may be.
func (w *worker) known() (string, *record) {
	if len(w.names) == 0 || w.random.IntN(3) == 0 {
		return w.first, w.objects[w.first]
	}
	name := w.names[w.random.IntN(len(w.names))]
	return name, w.objects[name]
}

func (w *worker) get(ctx context.Context, _ *watched) error {
	name, r := w.known()
	object, err := w.client.Load().GetObject(ctx, w.bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return w.answered(name, r, err)
	}
	defer object.Close()
	got, err := io.ReadAll(object)
	if wrong := r.checkBytes(got, err == nil); wrong != nil {
		w.Errorf("%s: %v (%v)", name, wrong, err)
	}
	return err
}

// answered checks the error of a read. That there is no such object is no failure.
func (w *worker) answered(name string, r *record, err error) error {
	if wrong := r.checkError(err); wrong != nil {
		w.Errorf("%s: %v", name, wrong)
	}
	if isCode(err, minio.NoSuchKey) {
		return nil
	}
	return err
}

func (w *worker) stat(ctx context.Context, _ *watched) error {
	name, r := w.known()
	info, err := w.client.Load().StatObject(ctx, w.bucket, name, minio.StatObjectOptions{})
	if err != nil {
		return w.answered(name, r, err)
	}
	if !slices.ContainsFunc(r.contents, func(c content) bool { return c.size > 0 && int64(c.size) == info.Size }) {
		w.Errorf("%s has %d bytes, want one of %v", name, info.Size, r.contents)
	}
	return nil
}

func (w *worker) list(ctx context.Context, _ *watched) error {
	seen := map[string]bool{}
	for object, err := range w.client.Load().ListObjects(ctx, w.bucket, minio.ListObjectsOptions{Prefix: w.prefix + "k", Recursive: true, MaxKeys: 10}) {
		if err != nil {
			return err
		}
		if seen[object.Key] || w.objects[object.Key] == nil {
			w.Errorf("the listing has %s, which is there once: %v, or never", object.Key, seen[object.Key])
		}
		seen[object.Key] = true
	}
	for _, name := range w.names {
		if !seen[name] && !w.objects[name].absent() {
			w.Errorf("the listing has no %s", name)
		}
	}
	return nil
}

func (w *worker) remove(ctx context.Context, seen *watched) error {
	name := w.one()
	if name == "" {
		name = w.prefix + "none"
		return w.client.Load().RemoveObject(ctx, w.bucket, name, minio.RemoveObjectOptions{})
	}
	err := w.client.Load().RemoveObject(ctx, w.bucket, name, minio.RemoveObjectOptions{})
	w.objects[name].settle(content{}, err, seen)
	return err
}

func (w *worker) tag(ctx context.Context, seen *watched) error {
	for name, r := range w.tags {
		if r.retired {
			continue
		}
		c := content{w.random.Uint64(), 1}
		value, err := tags.NewTags(map[string]string{"seed": fmt.Sprint(c.seed)}, true)
		if err != nil {
			return err
		}
		op := Op{Name: "PutObjectTagging", Bucket: w.bucket, Kind: Write}
		err = w.client.Load().Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
			return raw.PutObjectTagging(ctx, w.bucket, name, value, minio.PutObjectTaggingOptions{})
		})
		r.settle(c, err, seen)
		return err
	}
	return w.stat(ctx, seen)
}

func (w *worker) makeBucket(ctx context.Context, seen *watched) error {
	name := strings.ReplaceAll(w.bucket+"-"+w.fresh("b"), "/", "-")
	w.buckets[name] = &record{contents: []content{{}}}
	err := w.client.Load().MakeBucket(ctx, name, minio.MakeBucketOptions{})
	w.buckets[name].settle(content{1, 1}, err, seen)
	return err
}
