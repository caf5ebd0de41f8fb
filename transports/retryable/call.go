package retryable

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A call is what the attempts of one Do have in common. go-retryablehttp passes nothing
// from one to the next but the request, whose context has it.
type call struct {
	attempt   int       // the one that runs, counted from 1
	notBefore time.Time // when the next one may begin

	mu   sync.Mutex
	last *attempt          // of this attempt: redirects are more than one
	keys map[string]string // the Idempotency-Key of each request that got one
}

type callKey struct{}

// A callContext is the context of a call, to be known again when its request is used for
// another one.
type callContext struct {
	context.Context

	call *call
}

// Value implements [context.Context].
func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return c.call
	}
	return c.Context.Value(key)
}

// callOf returns nil if nobody knows of the call, because the hook that begins it was
// replaced.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// begin makes req the request of the next attempt of its call.
func begin(req *http.Request, retry int) {
	if c := callOf(req.Context()); retry > 0 {
		if c != nil {
			c.attempt = retry + 1
			c.note(nil)
		}
		return
	}
	ctx := req.Context()
	if used, ok := ctx.(*callContext); ok {
		ctx = used.Context
	}
	*req = *req.WithContext(&callContext{ctx, &call{attempt: 1}})
}

// prepare returns the request of an attempt, which is the caller's of this RoundTrip, as one
// of the call.
func (c *call) prepare(req *http.Request) *http.Request {
	if c == nil {
		return req
	}
	c.mu.Lock()
	key := c.keys[requestName(req)]
	c.mu.Unlock()
	if key != "" && req.Header.Get("Idempotency-Key") == "" {
		req.Header = req.Header.Clone()
		req.Header.Set("Idempotency-Key", key)
	}
	return req
}

// numbered returns ctx with the number of the attempt, for the policies.
func (c *call) numbered(ctx context.Context) context.Context {
	if c == nil || c.attempt == 1 {
		return ctx
	}
	return middleware.WithAttempt(ctx, c.attempt)
}

func (c *call) note(a *attempt) {
	if c != nil {
		c.mu.Lock()
		c.last = a
		c.mu.Unlock()
	}
}

// unfinished returns the attempt whose error http.Client replaced by one of its own.
func (c *call) unfinished() *attempt {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// keep notes the Idempotency-Key of a request that comes out of the chain: the further
// attempts must have the same.
func (c *call) keep(req *http.Request) {
	key := req.Header.Get("Idempotency-Key")
	if c == nil || key == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = make(map[string]string)
	}
	c.keys[requestName(req)] = key
}

// requestName tells a request from those that redirects make of it.
func requestName(req *http.Request) string { return req.Method + " " + req.URL.String() }
