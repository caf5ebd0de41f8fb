package minio

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"
)

// verifyModel compares what is on the server, past the injector and the policies,
// with what was acknowledged.
func (s *stage) verifyModel() {
	s.each(func(w *worker) {
		for name, r := range w.objects {
			s.verifyContent(s.bucket, name, r)
		}
		for name, r := range w.vers {
			s.verifyContent(s.versions, name, r)
			s.verifyVersions(name, r)
		}
		for name, r := range w.tags {
			s.verifyTags(name, r)
		}
		for name, r := range w.buckets {
			exists, err := s.bare.BucketExists(s.Context(), name)
			if err != nil || exists && r.sent == 0 || !exists && r.acked > 0 {
				s.Errorf("bucket %s: %v, %v; acknowledged %d, sent %d", name, exists, err, r.acked, r.sent)
			}
		}
	})
}

func (s *stage) verifyContent(bucket, name string, r *record) {
	got, err := download(s.Context(), s.bare, bucket, name)
	switch {
	case isCode(err, minio.NoSuchKey):
		if wrong := r.checkError(err); wrong != nil {
			s.Errorf("%s: %v", name, wrong)
		}
	case err != nil:
		s.Errorf("%s: %v", name, err)
	default:
		if wrong := r.checkBytes(got, true); wrong != nil {
			s.Errorf("%s: %v", name, wrong)
		}
	}
}

func download(ctx context.Context, c *minio.Client, bucket, name string) ([]byte, error) {
	object, err := c.GetObject(ctx, bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

// verifyVersions: as many as were acknowledged, and at the most those that may have run.
func (s *stage) verifyVersions(name string, r *record) {
	n := 0
	for object := range s.bare.ListObjectsIter(s.Context(), s.versions, minio.ListObjectsOptions{Prefix: name, Recursive: true, WithVersions: true}) {
		if object.Err != nil {
			s.Errorf("versions of %s: %v", name, object.Err)
			return
		}
		if object.Key == name && !object.IsDeleteMarker {
			n++
		}
	}
	if n < r.acked || n > r.sent {
		s.Errorf("%s has %d versions; acknowledged %d, sent %d", name, n, r.acked, r.sent)
	}
}

func (s *stage) verifyTags(name string, r *record) {
	tags, err := s.bare.GetObjectTagging(s.Context(), s.bucket, name, minio.GetObjectTaggingOptions{})
	none := isCode(err, "NoSuchTagSet") || errors.Is(err, io.EOF) // EOF: gofakes3 answers with nothing
	if err != nil && !none {
		s.Errorf("tags of %s: %v", name, err)
		return
	}
	got := ""
	if tags != nil {
		got = tags.ToMap()["seed"]
	}
	for _, c := range r.contents {
		if want := fmt.Sprint(c.seed); got == want || got == "" && c.size == 0 {
			return
		}
	}
	s.Errorf("%s has the tag %q, want one of %v", name, got, r.contents)
}
