package gogit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"sync"

	"github.com/go-git/go-billy/v5"
	git "github.com/go-git/go-git/v5"

	"github.com/tidegate-go/tidegate/middleware"
)

// writers are the repositories that attempts of this process work on. They are
// shared by all clients: go-git's storages are not made for two at once, even of
// one call, as a hedge makes them.
var writers = struct {
	sync.Mutex

	held map[any]*turn
}{held: map[any]*turn{}}

// A turn exists as long as somebody holds or wants it.
type turn struct {
	taken chan struct{} // has room for one
	used  int           // how many hold or want it
}

// write waits until no other attempt works on the repository. It takes part in
// the attempt, since one that has lost against another may end after its call.
func write(ctx context.Context, op string, repo *git.Repository) (release func(), err error) {
	name := nameOf(repo)
	writers.Lock()
	t := writers.held[name]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		writers.held[name] = t
	}
	t.used++
	writers.Unlock()
	leave := func() {
		writers.Lock()
		defer writers.Unlock()
		if t.used--; t.used == 0 {
			delete(writers.held, name)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		kind := KindCanceled
		if errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
			kind = KindLock // which is not the remote's fault
		}
		return nil, &refusal{op, kind, settle(ctx, errors.New("another call works on the repository"))}
	}
}

// nameOf returns the same for what is stored in the same place: a path, or the
// storage if it is not in a directory of this machine.
func nameOf(repo *git.Repository) any {
	if stored, ok := repo.Storer.(interface{ Filesystem() billy.Filesystem }); ok {
		if root, err := filepath.EvalSymlinks(stored.Filesystem().Root()); err == nil {
			if _, err := os.Stat(filepath.Join(root, "objects")); err == nil {
				return root
			}
		}
	}
	if reflect.ValueOf(repo.Storer).Comparable() {
		return repo.Storer
	}
	return repo
}
