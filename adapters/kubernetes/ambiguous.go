package kubernetes

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// An AmbiguousError is the error of a call that was repeated after an attempt which may
// have been carried out, and was then told AlreadyExists, NotFound or Conflict: by what it
// did itself, or by what somebody else did. Read the object and compare, by its UID, an
// owner or an annotation. errors.As and the functions of apierrors find the server's answer.
type AmbiguousError struct {
	Verb Verb
	Err  error // the server's answer to the last attempt
}

// Error says what the call was told and why that may be its own doing.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("kubernetes: %s: %v, which an earlier attempt of the same call may have done: read the object and compare", e.Verb, e.Err)
}

// Unwrap returns the server's answer.
func (e *AmbiguousError) Unwrap() error { return e.Err }

// ErrorType returns "ambiguous", for the attribute error.type.
func (e *AmbiguousError) ErrorType() string { return "ambiguous" }

// explain returns err, or what it means after an attempt in doubt. An update may have taken
// the last finalizer away, and with it the object. A conflict of an apply is with another
// owner of the fields, and never with itself.
func (a *attempt) explain(err error) error {
	var own bool
	switch a.verb {
	case Create, CreateNamed:
		own = apierrors.IsAlreadyExists(err)
	case Apply:
	default:
		own = apierrors.IsNotFound(err) || apierrors.IsConflict(err)
	}
	if !own || !a.doubt.Load() {
		return err
	}
	return &AmbiguousError{a.verb, err}
}
