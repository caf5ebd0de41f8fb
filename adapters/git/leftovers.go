package git

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Leftovers are the files that a git which was killed, or whose connection broke,
// does not remove: locks, which would stop every later git, and parts of packs,
// which would fill the disk.
type leftovers struct {
	own, common string
	places      []string        // where a git that works on it runs
	known       bool            // it is a repository: a file of another place may be called x.lock too
	before      map[string]bool // what was there before the call is not ours
}

// watchLeftovers notes what is in the repository at dir before a call.
func watchLeftovers(dir string) *leftovers {
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		dir = path
	}
	l := &leftovers{before: map[string]bool{}}
	l.own, l.common = gitDirectories(dir)
	l.own, l.common = from("", l.own), from("", l.common)
	l.known = isDir(filepath.Join(l.common, "objects")) && isFile(filepath.Join(l.own, "HEAD"))
	l.places = []string{dir, l.own, strings.TrimSuffix(l.common, string(filepath.Separator)+".git")}
	for path := range l.find() {
		l.before[path] = true
	}
	return l
}

// after runs an attempt and cleans up when it fails, also when it panics.
func (l *leftovers) after(attempt func() error) (err error) {
	err = &Error{Kind: KindCanceled}
	defer func() { l.clean(err) }()
	return attempt()
}

// clean removes what a failed attempt of the call has left. Its processes are
// dead. A lock is removed only when one of them was killed, since git removes its
// locks otherwise. Neither is removed when somebody else can be its owner.
func (l *leftovers) clean(err error) {
	var e *Error
	if err == nil || errors.As(err, &e) && e.Kind == KindUsage {
		return
	}
	killed := e != nil && (e.ExitCode < 0 || e.Kind == KindCanceled || e.Kind == KindTimeout)
	for path, kind := range l.find() {
		switch {
		case l.before[path]:
		case kind == leftLock && (!killed || !isOurs(path)):
		case inUse(path, l.everywhere()):
		default:
			_ = os.Remove(path)
		}
	}
}

// everywhere returns l.places with the work trees that git worktree has added
// since.
func (l *leftovers) everywhere() []string {
	places := l.places
	links, _ := filepath.Glob(filepath.Join(literal(l.common), "worktrees", "*", "gitdir"))
	for _, link := range links {
		if to, ok := firstLine(link); ok {
			places = append(slices.Clip(places), from(filepath.Dir(link), filepath.Dir(to)))
		}
	}
	return places
}

// lockNames are the locks that git itself makes beside the refs. Other programs
// may keep theirs there too.
var lockNames = []string{
	"index.lock", "next-index-*.lock", "shallow.lock", "packed-refs.lock", "config.lock", "config.worktree.lock",
	"[A-Z]*.lock", // HEAD, FETCH_HEAD, ORIG_HEAD and so on
}

type leftover int

const (
	leftLock leftover = iota
	leftPart
)

// find returns the files that may be left over, by path.
func (l *leftovers) find() map[string]leftover {
	found := map[string]leftover{}
	if !l.known {
		return found
	}
	add := func(pattern string, kind leftover) {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			found[p] = kind
		}
	}
	dirs := slices.Compact([]string{l.own, l.common})
	for _, dir := range dirs {
		for _, name := range lockNames {
			add(filepath.Join(literal(dir), name), leftLock)
		}
	}
	objects := literal(filepath.Join(l.common, "objects"))
	add(filepath.Join(objects, "info", "commit-graph*.lock"), leftLock)
	add(filepath.Join(objects, "pack", "tmp_*"), leftPart)
	add(filepath.Join(objects, "pack", ".tmp-*"), leftPart)
	add(filepath.Join(objects, "??", "tmp_obj_*"), leftPart)
	for _, dir := range dirs {
		_ = filepath.WalkDir(filepath.Join(dir, "refs"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".lock") {
				found[path] = leftLock
			}
			return nil // what cannot be read is not ours
		})
	}
	return found
}

// literal returns path as a pattern that matches it alone.
func literal(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
