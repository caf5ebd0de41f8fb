package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	miniogo "github.com/minio/minio-go/v7"
)

// The newer write stays, by the versions and not by the clocks of the servers: here the
// pending one was stored last.
func TestReconcileComparesVersions(t *testing.T) {
	for _, row := range []struct {
		name    string
		version string // of the primary's object; empty: another program wrote it
		none    bool
		moves   Moves
		want    string
		err     error
	}{
		{name: "none", none: true, moves: Moves{Copied: 1}, want: "pending"},
		{name: "older", version: "4", moves: Moves{Copied: 1}, want: "pending"},
		{name: "same", version: "5", moves: Moves{Dropped: 1}, want: "primary"},
		{name: "newer", version: "6", moves: Moves{Dropped: 1}, want: "primary"},
		{name: "foreign", want: "primary", err: errForeign},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			s := p.open(t)
			if !row.none {
				if err := s.primary.put(t.Context(), "a", writeOf(t, row.version, "primary")); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.secondary.put(t.Context(), pendingName("a", "5"), writeOf(t, "5", "pending")); err != nil {
				t.Fatal(err)
			}
			moves, err := s.Reconcile(t.Context())
			if moves != row.moves || !errors.Is(err, row.err) {
				t.Errorf("got %+v, %v, want %+v, %v", moves, err, row.moves, row.err)
			}
			var pending map[string]string
			if row.err != nil {
				pending = map[string]string{"a": "pending"}
			}
			p.check(t, map[string]string{"a": row.want}, pending)
		})
	}
}

// Wherever it ends, the next one does the rest.
func TestReconcileInterrupted(t *testing.T) {
	for _, row := range []struct {
		name               string
		primary, secondary func(cancel func()) answer
		first, second      Moves
	}{
		{
			name:    "before a copy",
			primary: func(cancel func()) answer { return on(http.MethodPut, 2, canceling(cancel, cut)) },
			first:   Moves{Copied: 1}, second: Moves{Copied: 2},
		},
		{
			name:    "after a copy",
			primary: func(cancel func()) answer { return on(http.MethodPut, 2, storing(canceling(cancel, cut))) },
			first:   Moves{Copied: 1}, second: Moves{Copied: 1, Dropped: 1},
		},
		{
			name:      "before a removal",
			secondary: func(cancel func()) answer { return on(http.MethodDelete, 2, canceling(cancel, cut)) },
			first:     Moves{Copied: 1}, second: Moves{Copied: 1, Dropped: 1},
		},
		{
			name:      "after a removal",
			secondary: func(cancel func()) answer { return on(http.MethodDelete, 2, storing(canceling(cancel, cut))) },
			first:     Moves{Copied: 1}, second: Moves{Copied: 1},
		},
		{
			name:    "the primary fails",
			primary: func(func()) answer { return on(http.MethodPut, 2, down) },
			first:   Moves{Copied: 1}, second: Moves{Copied: 2},
		},
		{
			name:    "the primary stores and fails",
			primary: func(func()) answer { return on(http.MethodPut, 2, storing(cut)) },
			first:   Moves{Copied: 1}, second: Moves{Copied: 1, Dropped: 1},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			p.putPending(t, "a", "all of a", "b", "all of b", "c", "all of c")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.primary != nil {
				p.primary.become(row.primary(cancel))
			}
			if row.secondary != nil {
				p.secondary.become(row.secondary(cancel))
			}
			if moves, err := p.open(t).Reconcile(ctx); err == nil || moves != row.first {
				t.Errorf("got %+v, %v, want %+v and an error", moves, err, row.first)
			}
			p.primary.become(up)
			p.secondary.become(up)
			for i, want := range []Moves{row.second, {}} {
				if moves, err := p.open(t).Reconcile(t.Context()); err != nil || moves != want {
					t.Errorf("run %d: got %+v, %v, want %+v", i+2, moves, err, want)
				}
			}
			p.check(t, map[string]string{"a": "all of a", "b": "all of b", "c": "all of c"}, nil)
		})
	}
}

func canceling(cancel func(), then answer) answer {
	return func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
		cancel()
		then(w, r, s3)
	}
}

// storing does what it is asked for before another answer.
func storing(then answer) answer {
	return func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
		s3.ServeHTTP(httptest.NewRecorder(), r)
		then(w, r, s3)
	}
}

// What is written between two steps of Reconcile is neither overwritten nor removed.
func TestWriteDuringReconcile(t *testing.T) {
	for _, row := range []struct {
		name    string
		before  string // at the primary
		pending bool   // the new write goes to the secondary
		at      string // the request before which it is written
		moves   Moves
		primary string // after the first Reconcile
	}{
		{name: "to the primary, where there was none", at: http.MethodPut, moves: Moves{Dropped: 1}, primary: "new"},
		{name: "to the primary, where there was an older one", before: "old", at: http.MethodPut, moves: Moves{Dropped: 1}, primary: "new"},
		{name: "to the secondary, before the copy", pending: true, at: http.MethodPut, moves: Moves{Copied: 1}, primary: "mid"},
		{name: "to the primary, before the removal", at: http.MethodDelete, moves: Moves{Copied: 1}, primary: "new"},
		{name: "to the secondary, before the removal", pending: true, at: http.MethodDelete, moves: Moves{Copied: 1}, primary: "mid"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			other := p.open(t)
			if row.before != "" {
				if _, err := other.Put(t.Context(), "a", strings.NewReader(row.before)); err != nil {
					t.Fatal(err)
				}
			}
			p.putPending(t, "a", "mid")
			if row.pending {
				other.primary.breaker.ForceOpen()
			}
			first := on(row.at, 1, func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
				p.primary.become(up)
				p.secondary.become(up)
				if _, err := other.Put(t.Context(), "a", strings.NewReader("new")); err != nil {
					t.Error(err)
				}
				s3.ServeHTTP(w, r)
			})
			p.primary.become(first)
			p.secondary.become(first)
			s := p.open(t)
			if moves, err := s.Reconcile(t.Context()); moves != row.moves || err != nil {
				t.Errorf("got %+v, %v, want %+v", moves, err, row.moves)
			}
			var pending map[string]string
			if row.pending {
				pending = map[string]string{"a": "new"}
			}
			p.check(t, map[string]string{"a": row.primary}, pending)
			object, err := s.Get(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, object); got != "new" {
				t.Errorf("got %q", got)
			}
			if _, err := s.Reconcile(t.Context()); err != nil {
				t.Error(err)
			}
			p.check(t, map[string]string{"a": "new"}, nil)
		})
	}
}

// When the primary says that its object has changed, Reconcile looks again, but not for ever.
func TestReconcileLooksAgain(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer answer
	}{
		{"another object", refuse(http.StatusPreconditionFailed, "PreconditionFailed")},
		{"an object being written", refuse(http.StatusConflict, "ConditionalRequestConflict")},
		{"no object any more", refuse(http.StatusNotFound, "NoSuchKey")},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			p.putPending(t, "a", "all of a")
			p.primary.become(func(w http.ResponseWriter, r *http.Request, s3 http.Handler) {
				if r.Method == http.MethodPut {
					row.answer(w, r, s3)
					return
				}
				s3.ServeHTTP(w, r)
			})
			if moves, err := p.open(t).Reconcile(t.Context()); moves != (Moves{}) || !errors.Is(err, errMoving) {
				t.Errorf("got %+v, %v", moves, err)
			}
			p.primary.become(on(http.MethodPut, 1, row.answer))
			if moves, err := p.open(t).Reconcile(t.Context()); moves != (Moves{Copied: 1}) || err != nil {
				t.Errorf("got %+v, %v", moves, err)
			}
			p.check(t, map[string]string{"a": "all of a"}, nil)
		})
	}
}

// Of two at once, the one that comes too late has nothing to do.
func TestTwoReconciles(t *testing.T) {
	for _, row := range []struct {
		name string
		get  int // the request before which the other one does everything; the first lists
		want Moves
	}{
		{"before the list", 1, Moves{}},
		{"before the first copy", 2, Moves{Dropped: 1}}, // the second, for the primary has it
		{"before the second copy", 3, Moves{Copied: 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			p.putPending(t, "a", "all of a", "b", "all of b")
			p.secondary.become(on(http.MethodGet, row.get, p.reconciled(t)))
			if moves, err := p.open(t).Reconcile(t.Context()); moves != row.want || err != nil {
				t.Errorf("got %+v, %v, want %+v", moves, err, row.want)
			}
			p.check(t, map[string]string{"a": "all of a", "b": "all of b"}, nil)
		})
	}
}

// A damaged copy does not reach the primary and does not hold up the others.
func TestReconcileVerifies(t *testing.T) {
	for _, row := range []struct{ name, content, sum string }{
		{"another content", "all of A", writeOf(t, "", "all of a").sum},
		{"no content", "", writeOf(t, "", "all of a").sum},
		{"no checksum", "all of a", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPair(t)
			s := p.open(t)
			w := writeOf(t, "1", row.content)
			w.sum = row.sum
			if err := s.secondary.put(t.Context(), pendingName("a", w.version), w); err != nil {
				t.Fatal(err)
			}
			p.putPending(t, "b", "all of b")
			moves, err := s.Reconcile(t.Context())
			if moves != (Moves{Copied: 1}) || !errors.Is(err, errDamaged) {
				t.Errorf("got %+v, %v", moves, err)
			}
			if _, err := s.primary.StatObject(t.Context(), "backups", "a", miniogo.StatObjectOptions{}); !answered(err, miniogo.NoSuchKey) {
				t.Errorf("the primary has it: %v", err)
			}
			if _, err := s.secondary.StatObject(t.Context(), "pending", pendingName("a", "1"), miniogo.StatObjectOptions{}); err != nil {
				t.Errorf("it is no longer pending: %v", err)
			}
		})
	}
}

// An upload of more than 16 MiB has several parts, which are read at the same time.
func TestObjectOfTwoParts(t *testing.T) {
	want := make([]byte, 17<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(want)
	p := newPair(t)
	s := p.open(t)
	s.primary.breaker.ForceOpen()
	if _, err := s.Put(t.Context(), "a", onlySeeker{bytes.NewReader(want)}); err != nil {
		t.Fatal(err)
	}
	s.primary.breaker.Release()
	if moves, err := s.Reconcile(t.Context()); moves != (Moves{Copied: 1}) || err != nil {
		t.Errorf("got %+v, %v", moves, err)
	}
	object, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, object); got != string(want) || object.Holder != "primary" {
		t.Errorf("got %d bytes from the %s", len(got), object.Holder)
	}
}
