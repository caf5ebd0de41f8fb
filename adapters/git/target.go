package git

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

// A target is what a Sync is to follow.
type target struct {
	said  string
	id    string   // of a commit, or
	names []string // full names, of which the first that exists counts
}

// parseTarget reads the ref that a user gives.
func parseTarget(ref string) (target, error) {
	t := target{said: ref}
	switch {
	case ref == "", ref == "HEAD":
		t.said, t.names = "HEAD", []string{"HEAD"}
		return t, nil
	case objectID.MatchString(ref):
		t.id = ref
		return t, nil
	}
	if err := checkText(ref); err != nil {
		return target{}, fmt.Errorf("the ref %q %w", ref, err)
	}
	if badRef.MatchString(ref) {
		return target{}, fmt.Errorf("the ref %q is not a name: see git check-ref-format", ref)
	}
	if strings.HasPrefix(ref, "refs/") {
		t.names = []string{ref}
	} else {
		t.names = []string{"refs/heads/" + ref, "refs/tags/" + ref}
	}
	return t, nil
}

// found is what a target stands for.
type found struct {
	name   string // of the remote's ref; empty for a commit id
	commit string
}

// source returns what to fetch.
func (f found) source() string {
	if f.name == "" {
		return f.commit
	}
	return f.name
}

// locate asks the remote what the target stands for. dir is the repository whose
// settings count, if there is one yet.
func (c *Client) locate(ctx context.Context, op string, r remote, dir string, t target) (found, error) {
	if t.id != "" {
		return found{commit: t.id}, nil
	}
	var patterns []string
	for _, name := range t.names {
		patterns = append(patterns, name, name+"^{}")
	}
	inside, chain := c.enter(ctx, "ls-remote", r)
	refs, err := middleware.Call(inside, chain, func(ctx context.Context) ([]Ref, error) {
		refs, err := c.lsRemote(ctx, op, r, dir, patterns)
		return refs, judge(ctx, err, true)
	})
	if err != nil {
		return found{}, err
	}
	ids := map[string]string{}
	for _, ref := range refs { // git also gives names that end like the patterns
		ids[ref.Name] = ref.ID
	}
	for _, name := range t.names {
		if ids[name] == "" {
			continue
		}
		f := found{name: name, commit: ids[name]}
		if commit := ids[name+"^{}"]; commit != "" { // an annotated tag
			f.commit = commit
		}
		return f, nil
	}
	err = fmt.Errorf("the remote has no branch or tag %q", t.said)
	if t.said == "HEAD" {
		err = errors.New("the remote is empty, or its HEAD points to a branch that does not exist")
	}
	return found{}, &Error{Op: op, Kind: KindRefMissing, Err: err}
}
