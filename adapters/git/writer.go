package git

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// writers are the repositories that calls of this process write to. They are
// shared by all clients: what git itself does about two writers is to fail, and
// a lock that is left behind is ours only when no other call can have made it.
var writers locks

// locks are mutual exclusions by name, which exist as long as somebody holds or
// wants them. The zero value has none.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	turn chan struct{} // has room for the one that holds the lock
	used int           // how many hold or want it
}

// take waits until nobody else holds the name. The error is that of the context.
func (l *locks) take(ctx context.Context, name string) (release func(), err error) {
	l.mu.Lock()
	k := l.held[name]
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	if k == nil {
		k = &lock{turn: make(chan struct{}, 1)}
		l.held[name] = k
	}
	k.used++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.used--; k.used == 0 {
			delete(l.held, name)
		}
	}
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn; leave() }, nil
	default:
	}
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// write waits until no other call of this process writes to the repository at
// dir, which need not exist.
func (c *Client) write(ctx context.Context, op, dir string) (release func(), err error) {
	release, err = writers.take(ctx, canonical(dir))
	if err != nil {
		e := ended(ctx)
		e.Op = op
		return nil, &e
	}
	return release, nil
}

// canonical returns one name for all paths of a repository. The work trees that
// git worktree adds share the refs of their main one, and so its name.
func canonical(dir string) string {
	path, err := filepath.EvalSymlinks(dir)
	if err != nil { // it does not exist, its parent may
		if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
			return filepath.Join(parent, filepath.Base(dir))
		}
		return dir
	}
	_, common := gitDirectories(path)
	if resolved, err := filepath.EvalSymlinks(common); err == nil {
		common = resolved
	}
	return strings.TrimSuffix(common, string(filepath.Separator)+".git")
}

// gitDirectories returns where git keeps what belongs to the work tree, or bare
// repository, at dir and what it shares with others.
func gitDirectories(dir string) (own, common string) {
	own = filepath.Join(dir, ".git")
	info, err := os.Stat(own)
	switch {
	case err != nil:
		own = dir
	case !info.IsDir():
		own = dir
		if to, ok := firstLine(filepath.Join(dir, ".git")); ok {
			if to, ok = strings.CutPrefix(to, "gitdir: "); ok {
				own = from(dir, to)
			}
		}
	}
	common = own
	if to, ok := firstLine(filepath.Join(own, "commondir")); ok {
		common = from(own, to)
	}
	return own, common
}

func firstLine(path string) (string, bool) {
	b, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimRight(line, "\r"), err == nil
}

func from(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}
