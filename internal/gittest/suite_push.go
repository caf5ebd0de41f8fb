package gittest

import (
	"path/filepath"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

func pushed(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	id := Commit(t, dir, "second")
	s.Script(Answer(503))
	updates(t, s)
	var seen record
	if err := backend(t, retry(&seen), Login{}).Push(bounded(t), dir, "main"); err != nil {
		t.Fatal(err)
	}
	same(t, "the remote", s.Head(t), id)
	same(t, "updates", updates(t, s), 1)
	same(t, "the first attempt", seen.verdicts[0].Class, middleware.Failure)
	same(t, "the operation", seen.op, middleware.Operation{Name: "push", Key: s.Listener.Addr().String()})
}

func pushLost(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	id := Commit(t, dir, "second")
	s.Script(Lost)
	updates(t, s)
	var seen record
	if err := backend(t, retry(&seen), Login{}).Push(bounded(t), dir, "main"); err != nil {
		t.Fatal(err)
	}
	same(t, "the remote", s.Head(t), id)
	same(t, "updates", updates(t, s), 1)
	same(t, "attempts", len(seen.verdicts), 2)
}

func pushRejected(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	theirs := advance(t, s)
	Commit(t, dir, "ours")
	s.Script()
	var seen record
	b := backend(t, retry(&seen), Login{})
	err := b.Push(bounded(t), dir, "main")
	failed(t, b, err, "rejected")
	same(t, "the remote", s.Head(t), theirs)
	same(t, "attempts", s.Served(), 1)
	same(t, "the verdict", seen.verdicts[0], middleware.Verdict{Class: middleware.Success, Reason: "rejected"})
}

func pulled(t *testing.T, backend NewBackend) {
	s, dir := cloned(t)
	var seen record
	b := backend(t, retry(&seen), Login{})
	id := advance(t, s)
	s.Script(Answer(503))
	head, err := b.Pull(bounded(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "head", head, id)
	Whole(t, dir, id)
	if head, err := b.Pull(bounded(t), dir); err != nil || head != id {
		t.Errorf("up to date: got %q, %v", head, err)
	}

	ours := Commit(t, dir, "ours")
	work := filepath.Join(t.TempDir(), "work")
	Git(t, "", "clone", "-q", s.Bare, work)
	Commit(t, work, "theirs")
	Git(t, work, "push", "-q", "origin", "main")
	_, err = b.Pull(bounded(t), dir)
	failed(t, b, err, "rejected")
	Whole(t, dir, ours)
}
