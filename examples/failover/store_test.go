package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// Only a primary that cannot be used makes Put go to the secondary.
func TestPutFailsOver(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer answer
		open   bool   // the breaker is
		code   string // of the error; empty: the secondary has it
		puts   int32  // the primary saw
	}{
		{name: "503", answer: down, puts: 2},
		{name: "500", answer: refuse(http.StatusInternalServerError, "InternalError"), puts: 2},
		{name: "cut", answer: cut, puts: 2},
		{name: "rejected", answer: up, open: true},
		{name: "denied", answer: refuse(http.StatusForbidden, "AccessDenied"), code: "AccessDenied", puts: 1},
		{name: "no bucket", answer: refuse(http.StatusNotFound, "NoSuchBucket"), code: "NoSuchBucket", puts: 1},
		{name: "throttled", answer: refuse(http.StatusServiceUnavailable, "SlowDown"), code: "SlowDown", puts: 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			s := p.open(t)
			p.primary.become(row.answer)
			if row.open {
				s.primary.breaker.ForceOpen()
			}
			holder, err := s.Put(t.Context(), "a/b", strings.NewReader("content"))
			if code := miniogo.ToErrorResponse(err).Code; code != row.code {
				t.Errorf("got %v, want code %q", err, row.code)
			}
			if puts := p.primary.puts.Load(); puts != row.puts {
				t.Errorf("the primary saw %d requests, want %d", puts, row.puts)
			}
			p.primary.become(up)
			if row.code != "" {
				p.check(t, nil, nil)
				return
			}
			if holder != "secondary" || err != nil {
				t.Errorf("%q has it, %v", holder, err)
			}
			p.check(t, nil, map[string]string{"a/b": "content"})
		})
	}
}

// A caller who gives up wants no other endpoint to be tried.
func TestPutCanceled(t *testing.T) {
	for _, row := range []struct {
		name string
		open bool // the breaker of the primary is
		want error
	}{
		{"in flight", false, context.Canceled},
		{"rejected", true, middleware.ErrOpen},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			s := p.open(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p.primary.become(func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
				cancel()
				cut(w, r, s3)
			})
			if row.open {
				cancel()
				s.primary.breaker.ForceOpen()
			}
			_, err := s.Put(ctx, "a", strings.NewReader("content"))
			if !errors.Is(err, row.want) || strings.Contains(err.Error(), "secondary") {
				t.Errorf("got %v, want %v of the primary alone", err, row.want)
			}
		})
	}
}

// The error says what both did.
func TestBothAreDown(t *testing.T) {
	p := newPair(t)
	s := p.open(t)
	s.primary.breaker.ForceOpen()
	p.secondary.become(down)
	_, putErr := s.Put(t.Context(), "a", strings.NewReader("content"))
	_, getErr := s.Get(t.Context(), "a")
	for name, err := range map[string]error{"put": putErr, "get": getErr} {
		response, answered := errors.AsType[miniogo.ErrorResponse](err)
		if !errors.Is(err, middleware.ErrOpen) || !answered || response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type onlySeeker struct{ io.ReadSeeker }

// What stands before the offset of the reader is nobody's business.
func TestPutFromWhereTheReaderStands(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer answer
		holder string
	}{
		{"at once", up, "primary"},
		{"by a repeat", on(http.MethodPut, 1, down), "primary"},
		{"by the secondary", down, "secondary"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			s := p.open(t)
			p.primary.become(row.answer)
			for key, content := range map[string]io.ReadSeeker{
				"a": strings.NewReader("head, body"), "b": onlySeeker{strings.NewReader("head, body")}, "empty": strings.NewReader("head, "),
			} {
				if _, err := content.Seek(int64(len("head, ")), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if holder, err := s.Put(t.Context(), key, content); holder != row.holder || err != nil {
					t.Errorf("%s: %q has it, %v, want the %s", key, holder, err, row.holder)
				}
			}
			p.primary.become(up)
			if _, err := p.open(t).Reconcile(t.Context()); err != nil {
				t.Error(err)
			}
			p.check(t, map[string]string{"a": "body", "b": "body", "empty": ""}, nil)
		})
	}
}

// The primary stored the write and could not say so.
func TestAmbiguousWrite(t *testing.T) {
	p := newPair(t)
	s := p.open(t)
	p.primary.become(storing(cut))
	if holder, err := s.Put(t.Context(), "a", strings.NewReader("content")); holder != "secondary" || err != nil {
		t.Fatalf("%q has it, %v", holder, err)
	}
	p.primary.become(up)
	p.check(t, map[string]string{"a": "content"}, map[string]string{"a": "content"})
	s = p.open(t)
	object, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if content := read(t, object); content != "content" || object.Holder != "primary" {
		t.Errorf("got %q from the %s", content, object.Holder)
	}
	before := p.primary.puts.Load()
	moves, err := s.Reconcile(t.Context())
	if moves != (Moves{Dropped: 1}) || err != nil {
		t.Errorf("got %+v, %v", moves, err)
	}
	if n := p.primary.puts.Load() - before; n != 0 {
		t.Errorf("it was uploaded %d times again", n)
	}
	p.check(t, map[string]string{"a": "content"}, nil)
}

func TestGet(t *testing.T) {
	for _, row := range []struct {
		name            string
		key             string
		meanwhile       func(*testing.T, *pair)
		content, holder string // no holder: an error with this code
		doubt           bool
	}{
		{name: "at the primary", key: "kept", content: "kept 1", holder: "primary"},
		{name: "a newer one is pending", key: "changed", content: "changed 3", holder: "secondary"},
		{name: "only pending", key: "new", content: "new 1", holder: "secondary"},
		{name: "a key below it is pending", key: "kept/below", content: "below 1", holder: "secondary"},
		{name: "nowhere", key: "never", content: "NoSuchKey"},
		{
			name: "the primary is down", key: "changed", content: "changed 3", holder: "secondary",
			meanwhile: func(_ *testing.T, p *pair) { p.primary.become(down) },
		},
		{
			name: "the primary is down and nothing pending", key: "kept", content: "503 Service Unavailable",
			meanwhile: func(_ *testing.T, p *pair) { p.primary.become(down) },
		},
		{
			name: "the primary denies it", key: "changed", content: "AccessDenied",
			meanwhile: func(_ *testing.T, p *pair) { p.primary.become(refuse(http.StatusForbidden, "AccessDenied")) },
		},
		{
			name: "the secondary is down", key: "changed", content: "changed 1", holder: "primary", doubt: true,
			meanwhile: func(_ *testing.T, p *pair) { p.secondary.become(down) },
		},
		{
			name: "it is moved before the secondary is read", key: "changed", content: "changed 3", holder: "primary",
			meanwhile: func(t *testing.T, p *pair) {
				p.secondary.become(on(http.MethodGet, 2, p.reconciled(t))) // the first lists
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			s := p.open(t)
			for _, key := range []string{"kept", "changed"} {
				if _, err := s.Put(t.Context(), key, strings.NewReader(key+" 1")); err != nil {
					t.Fatal(err)
				}
			}
			p.putPending(t, "changed", "changed 2", "new", "new 1", "changed", "changed 3", "kept/below", "below 1")
			if row.meanwhile != nil {
				row.meanwhile(t, p)
			}
			object, err := s.Get(t.Context(), row.key)
			if err != nil {
				if code := miniogo.ToErrorResponse(err).Code; row.holder != "" || code != row.content {
					t.Errorf("got %v", err)
				}
				return
			}
			if got := read(t, object); got != row.content || object.Holder != row.holder || (object.Doubt != nil) != row.doubt {
				t.Errorf("got %q from the %s, doubt: %v", got, object.Holder, object.Doubt)
			}
		})
	}
}

// Versions rise, even when the time does not.
func TestVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		last := c.version()
		for range 100 {
			next := c.version()
			if next <= last {
				t.Fatalf("%s follows %s", next, last)
			}
			last = next
		}
	})
}
