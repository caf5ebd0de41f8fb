package gogit

import (
	"errors"

	"github.com/go-git/go-git/v5/plumbing"
)

// Is is [errors.Is] that also sees through *plumbing.UnexpectedError and
// *plumbing.PermanentError, which have no Unwrap.
func Is(err, target error) bool {
	return errors.Is(err, target) || hidden(err, func(inner error) bool { return Is(inner, target) })
}

// As is [errors.As] that also sees through *plumbing.UnexpectedError and
// *plumbing.PermanentError, which have no Unwrap:
//
//	var failed *http.Err // of go-git's package plumbing/transport/http
//	if gogit.As(err, &failed) { failed.StatusCode() ... }
func As(err error, target any) bool {
	return errors.As(err, target) || hidden(err, func(inner error) bool { return As(inner, target) })
}

// hidden calls visit with what an error without Unwrap holds, in the tree of
// err, until visit returns true.
func hidden(err error, visit func(error) bool) bool {
	switch e := err.(type) { //nolint:errorlint // this is the walk through the wrappers
	case nil:
		return false
	case *plumbing.UnexpectedError:
		return e != nil && e.Err != nil && visit(e.Err)
	case *plumbing.PermanentError:
		return e != nil && e.Err != nil && visit(e.Err)
	case interface{ Unwrap() error }:
		return hidden(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if hidden(inner, visit) {
				return true
			}
		}
	}
	return false
}
