// Package repository holds the git repository that the demonstration backs up,
// and serves it over HTTP.
package repository

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Repository is a bare git repository.
type Repository struct {
	dir    string
	origin string
}

// Open makes the repository dir/name: a copy of the one that source is in, with its
// history, if that is the project with the given module path, and otherwise one
// that it generates. With an empty module path it copies any repository, and it is
// an error when there is none.
func Open(ctx context.Context, dir, name, source, module string) (*Repository, error) {
	r := &Repository{dir: filepath.Join(dir, name)}
	top, err := find(ctx, source, module)
	if err == nil {
		err = r.copyOf(ctx, top)
	}
	switch {
	case err == nil:
		r.origin = "the history of " + filepath.Base(top)
		return r, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case module == "":
		return nil, fmt.Errorf("%s is not in a git repository with a commit: %w", source, err)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, err
	}
	if err := r.generate(ctx); err != nil {
		return nil, fmt.Errorf("generate a repository: %w", err)
	}
	r.origin = "a generated history"
	return r, nil
}

// find returns the top folder of the repository around source, if it has a commit
// and is the project.
func find(ctx context.Context, source, module string) (top string, err error) {
	if top, err = git(ctx, source, nil, "rev-parse", "--show-toplevel"); err != nil {
		return "", err
	}
	if _, err := git(ctx, top, nil, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err != nil {
		return "", err
	}
	if module == "" {
		return top, nil
	}
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err == nil && !strings.HasPrefix(string(mod), "module "+module+"\n") {
		err = fmt.Errorf("%s is not the module %s", top, module)
	}
	return top, err
}

// copyOf makes r a copy of the repository at top. A shallow one gives a shallow copy.
func (r *Repository) copyOf(ctx context.Context, top string) error {
	head, err := git(ctx, top, nil, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if _, err := git(ctx, top, nil, "clone", "--quiet", "--bare", "--", top, r.dir); err != nil {
		return err
	}
	if _, err := git(ctx, r.dir, nil, "symbolic-ref", "--quiet", "HEAD"); err != nil {
		// The original has a commit checked out instead of a branch.
		if _, err := git(ctx, r.dir, nil, "update-ref", "refs/heads/backup", head); err != nil {
			return err
		}
		if _, err := git(ctx, r.dir, nil, "symbolic-ref", "HEAD", "refs/heads/backup"); err != nil {
			return err
		}
	}
	_, err = git(ctx, r.dir, nil, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	return err
}

// Origin says where the history comes from.
func (r *Repository) Origin() string { return r.origin }

// Head returns the id of the newest commit.
func (r *Repository) Head(ctx context.Context) (string, error) {
	return git(ctx, r.dir, nil, "rev-parse", "HEAD")
}

// Commits returns how many commits the history has.
func (r *Repository) Commits(ctx context.Context) (int, error) {
	n, err := git(ctx, r.dir, nil, "rev-list", "--count", "HEAD")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(n)
}

// Commit adds a commit without changes to the branch and returns its id.
func (r *Repository) Commit(ctx context.Context, message string) (string, error) {
	id, err := git(ctx, r.dir, nil, "commit-tree", "-p", "HEAD", "-m", message, "HEAD^{tree}")
	if err != nil {
		return "", err
	}
	_, err = git(ctx, r.dir, nil, "update-ref", "HEAD", id)
	return id, err
}

// Size returns how many bytes the objects of the repository take.
func (r *Repository) Size() (int64, error) {
	var size int64
	err := filepath.WalkDir(filepath.Join(r.dir, "objects"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
