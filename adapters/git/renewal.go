package git

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// A renewal keeps the credentials that Config.Renew gave last.
type renewal struct {
	turn    locks // one call renews them, others wait for the same
	mu      sync.Mutex
	current *Credentials // nil until it has given some; a pointer, since fmt would show what a field holds
	runs    int          // of Config.Renew, that are over
	failed  error        // of the last one, unless its own caller had gone
}

// login returns the credentials of the client.
func (c *Client) login() Credentials {
	c.renewal.mu.Lock()
	defer c.renewal.mu.Unlock()
	if c.renewal.current != nil {
		return *c.renewal.current
	}
	return c.config.Credentials
}

// renew returns the credentials to go on with when err says that the server has
// refused those of r, and none when they cannot be renewed.
func (c *Client) renew(ctx context.Context, r *remote, err error) (Credentials, error) {
	var e *Error
	if c.config.Renew == nil || r == nil || r.base == "" || !r.lent || !errors.As(err, &e) || e.Kind != KindAuth {
		return Credentials{}, nil
	}
	if e.HTTPStatus != 0 && e.HTTPStatus != http.StatusUnauthorized {
		return Credentials{}, nil // the server knows who it is, and says no
	}
	if current := c.login(); current != r.login {
		return current, nil // somebody else has renewed them in the meantime
	}
	return c.renewOnce(ctx, r.login)
}

func (c *Client) renewOnce(ctx context.Context, refused Credentials) (Credentials, error) {
	// The function is the user's: it must not run under the lock that every call takes.
	before, _ := c.renewal.last()
	release, err := c.renewal.turn.take(ctx, "")
	if err != nil {
		return Credentials{}, nil // the call's own error says that its context has ended
	}
	defer release()
	if current := c.login(); current != refused {
		return current, nil
	}
	if runs, failed := c.renewal.last(); runs != before && failed != nil {
		return Credentials{}, failed // of the run that this call has waited for
	}
	fresh, err := c.config.Renew(ctx)
	switch {
	case err != nil:
	case fresh == Credentials{}:
		err = errors.New("the new ones are empty")
	case !fresh.printable():
		err = errors.New("the new ones have a control character")
	}
	if err != nil {
		err = &unrenewed{err: err, text: redact(printable(err.Error()), refused.secrets()...)}
	}
	c.renewal.mu.Lock()
	defer c.renewal.mu.Unlock()
	c.renewal.runs++
	c.renewal.failed = err
	if err != nil {
		if ctx.Err() != nil {
			c.renewal.failed = nil // the others ask for themselves
		}
		return Credentials{}, err
	}
	c.renewal.current = &fresh
	return fresh, nil
}

// last returns how many runs are over and why the last one failed, if others may
// know.
func (r *renewal) last() (runs int, failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs, r.failed
}

// unrenewed is the error of Config.Renew, whose text may hold anything.
type unrenewed struct {
	err  error
	text string
}

func (u *unrenewed) Error() string {
	return "the credentials were refused and could not be renewed: " + u.text
}

func (u *unrenewed) Unwrap() error { return u.err }
