package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	miniogo "github.com/minio/minio-go/v7"
)

// A pair is two servers, on which there may be several stores: programs, or one program
// before and after a restart.
type pair struct {
	primary, secondary *server
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := new(pair)
	for bucket, s := range map[string]**server{"backups": &p.primary, "pending": &p.secondary} {
		var err error
		if *s, err = newServer(bucket); err != nil {
			t.Fatal(err)
		}
		t.Cleanup((*s).Close)
	}
	return p
}

// open returns a store whose breakers are closed.
func (p *pair) open(t *testing.T) *Store {
	t.Helper()
	endpoint := func(name, bucket string, s *server) *endpoint {
		e, err := newEndpoint(name, bucket, s.Listener.Addr().String(), s.Client().Transport)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.breaker.Close() })
		return e
	}
	return &Store{primary: endpoint("primary", "backups", p.primary), secondary: endpoint("secondary", "pending", p.secondary)}
}

// putPending puts contents by key while the primary is down.
func (p *pair) putPending(t *testing.T, keysAndContents ...string) {
	t.Helper()
	s := p.open(t)
	s.primary.breaker.ForceOpen()
	for i := 0; i < len(keysAndContents); i += 2 {
		holder, err := s.Put(t.Context(), keysAndContents[i], strings.NewReader(keysAndContents[i+1]))
		if holder != "secondary" || err != nil {
			t.Fatalf("put %s: %s, %v", keysAndContents[i], holder, err)
		}
	}
}

// check compares both buckets, keys and contents, with what is wanted. Of what is
// pending the version is cut off.
func (p *pair) check(t *testing.T, primary, pending map[string]string) {
	t.Helper()
	s := p.open(t)
	if got := all(t, s.primary, func(name string) string { return name }); !maps.Equal(got, primary) {
		t.Errorf("the primary has %q, want %q", got, primary)
	}
	key := func(name string) string { key, _ := splitName(name); return key }
	if got := all(t, s.secondary, key); !maps.Equal(got, pending) {
		t.Errorf("pending are %q, want %q", got, pending)
	}
}

// all returns the contents of a bucket. Where several names have one key they are joined
// in the order of the names.
func all(t *testing.T, e *endpoint, key func(string) string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	for o, err := range e.ListObjects(t.Context(), e.bucket, miniogo.ListObjectsOptions{Recursive: true}) {
		if err != nil {
			t.Fatal(err)
		}
		object, err := e.open(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		if contents[key(o.Key)] != "" {
			contents[key(o.Key)] += ", "
		}
		contents[key(o.Key)] += read(t, object)
	}
	return contents
}

func read(t *testing.T, object *Object) string {
	t.Helper()
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Error(err)
	}
	return string(content)
}

func writeOf(t *testing.T, version, content string) *write {
	t.Helper()
	w, err := newWrite(version, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// reconciled answers after another program has reconciled the pair.
func (p *pair) reconciled(t *testing.T) answer {
	return func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
		p.secondary.become(up)
		if _, err := p.open(t).Reconcile(context.WithoutCancel(r.Context())); err != nil {
			t.Error(err)
		}
		s3.ServeHTTP(w, r)
	}
}

// refuse answers as S3 does.
func refuse(status int, code string) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", "1")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

// cut breaks the connection instead of an answer.
func cut(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// on makes the n-th request of a method, counted from 1, get another answer.
func on(method string, n int, other answer) answer {
	requests := make(chan struct{}, 1000)
	return func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
		if r.Method == method {
			requests <- struct{}{}
			if len(requests) == n {
				other(w, r, s3)
				return
			}
		}
		s3.ServeHTTP(w, r)
	}
}
