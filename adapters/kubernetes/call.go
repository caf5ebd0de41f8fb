package kubernetes

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Verb is what a call of [Do] does. It decides whether the call may be repeated when
// nobody knows whether it was carried out; [Idempotent] says that it may.
type Verb string

// What a call does. "Not carried out" is what is sure: there was no connection, or the
// server said so.
const (
	Get  Verb = "get"  // changes nothing: repeated
	List Verb = "list" // changes nothing: repeated

	Create      Verb = "create"       // the name may be a generated one: repeated when it was not carried out
	CreateNamed Verb = "create named" // with a fixed name, so not twice: repeated, see AmbiguousError

	Update           Verb = "update"           // repeated when it was not carried out, and when the server asks for it
	Patch            Verb = "patch"            // a JSON patch or a merge patch: as Update
	Apply            Verb = "apply"            // a server-side apply: repeated
	Delete           Verb = "delete"           // as Update
	DeleteCollection Verb = "deletecollection" // as Update
)

// Do runs fn, a call of a client of client-go, through chain, which judges its error as the
// package comment says. The error is the one of fn, or a [*middleware.Rejection], or an
// [*AmbiguousError].
//
// The requests that fn makes with the context it gets, by a client of a config that was
// wrapped (see [Wrap]) belong to this call: neither the transport nor client-go repeats
// them, at the price that [WithRetries] has. Of a config that was not wrapped client-go
// repeats them by itself, up to ten times for each attempt of chain.
//
// Give Do a chain of its own, with the retry and a time limit for all attempts, and leave
// breakers and limits to the chain of Wrap, which knows what each request goes to: a
// policies.Keyed of Do's chain knows no more than the key of the context (see
// [middleware.WithOperation]), or "". If both have the same chain, the requests do not pass it
// once more.
//
// fn may make several requests, but should write with one only, the last: after a failure
// it runs again from its beginning. When the connection breaks, or time runs out, before a
// request that writes was sent, the call is repeated whatever its verb.
//
// Do is for calls that are complete when they return. A policy may end the context that fn
// gets with it, and what is sent with that context passes no further policy, so watches and
// logs that are followed are to be opened outside, by a client of a wrapped config.
//
// The operation is named by the verb, unless the context names one. A policies.Hedge runs [Get]
// and [List] beside themselves, and what the operation of the context says may be.
func Do(ctx context.Context, chain *middleware.Chain, verb Verb, fn func(context.Context) error, opts ...Option) error {
	if fn == nil {
		return errNoFunction
	}
	_, err := Call(ctx, chain, verb, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) }, opts...)
	return err
}

// Call is [Do] with a result, which is the zero T when a policy refused.
func Call[T any](ctx context.Context, chain *middleware.Chain, verb Verb, fn func(context.Context) (T, error), opts ...Option) (T, error) {
	if fn == nil {
		var zero T
		return zero, errNoFunction
	}
	c := newCall(chain, verb, optionsOf(opts))
	return middleware.Call(c.in(ctx), chain, func(ctx context.Context) (T, error) {
		a := &attempt{call: c, outer: attemptOf(ctx)}
		value, err := fn(context.WithValue(ctx, attemptKey{}, a))
		if err == nil {
			return value, nil
		}
		return value, a.judge(err, a.meaningOf(ctx, err))
	})
}

var errNoFunction = errors.New("kubernetes: the function to run is nil")

// A call is one call of Do.
type call struct {
	chain *middleware.Chain
	verb  Verb
	options

	doubt   atomic.Bool // an attempt failed that may have been carried out
	refused atomic.Bool // an attempt had no valid token
}

func newCall(chain *middleware.Chain, verb Verb, o options) *call {
	o.idempotent = o.idempotent || verb == Apply || verb == CreateNamed
	return &call{chain: chain, verb: verb, options: o}
}

// in returns a context that names the operation.
func (c *call) in(ctx context.Context) context.Context {
	op := middleware.OperationOf(ctx)
	if op.Name == "" {
		op.Name = string(c.verb)
	}
	op.Idempotent = op.Idempotent || c.reads()
	return middleware.WithOperation(ctx, op)
}

func (c *call) reads() bool { return c.verb == Get || c.verb == List }

type attemptKey struct{}

// An attempt is one run of the function of a call.
type attempt struct {
	*call

	outer *attempt // of the call around this one, or nil
	asked atomic.Bool
	wrote atomic.Int32 // requests that change something, but those that were never sent
	after atomic.Int64 // what the server asked to wait, in nanoseconds, where client-go is not to see it
}

// attemptOf returns the attempt of a call of Do that a request belongs to, or nil.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// passed reports whether a request of the attempt has passed chain, as one of a call.
func (a *attempt) passed(chain *middleware.Chain) bool {
	for ; a != nil; a = a.outer {
		if a.chain == chain {
			return true
		}
	}
	return false
}

// sends notes a request of the attempt. It returns the context to send it with, and a
// function to call when it has failed. A nil attempt has no requests.
func (a *attempt) sends(ctx context.Context, r apiRequest) (sent context.Context, failed func()) {
	if a == nil {
		return ctx, func() {}
	}
	a.asked.Store(true)
	if r.class() == "read" {
		return ctx, func() {}
	}
	a.wrote.Add(1) // who knows what a proxy or an exec does
	var looked, connected atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { looked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}
	return httptrace.WithClientTrace(ctx, trace), func() {
		if looked.Load() && !connected.Load() { // see package transports
			a.wrote.Add(-1)
		}
	}
}

// readOnly reports whether the attempt is known to have sent nothing that changes anything.
func (a *attempt) readOnly() bool { return a.asked.Load() && a.wrote.Load() == 0 }

// changedNothing reports whether err is of a request of the attempt, which has sent none
// that changes anything: the connection broke while an update read what it was to change,
// or never came about.
func (a *attempt) changedNothing(err error) bool {
	return is[*settled](err) && a.readOnly()
}

// meaningOf is that of an error of the attempt, which had that context.
func (a *attempt) meaningOf(ctx context.Context, err error) meaning {
	if ctx.Err() != nil && !isStatus(err) {
		return meaningOfEnd(ctx, err)
	}
	return meaningOf(err, a.options)
}

// judge returns the error of the attempt with the verdict that follows from its meaning.
func (a *attempt) judge(err error, m meaning) error {
	after := max(delayOf(err), time.Duration(a.after.Load()))
	v := middleware.Verdict{Class: m.class, Reason: m.reason, Retry: a.mayRepeat(m, after > 0, a.changedNothing(err))}
	if v.Retry || m.class == middleware.Throttled {
		v.After = after
	}
	err = a.explain(err)
	if !a.reads() && !a.readOnly() && m.repeat.inDoubt() {
		a.doubt.Store(true)
	}
	return middleware.Judged(err, v)
}

// mayRepeat reports whether the call may run again after an attempt with that meaning, in
// which the server may have said when, and which may have changed nothing for sure.
func (c *call) mayRepeat(m meaning, told, changedNothing bool) bool {
	safe := c.reads() || c.idempotent || changedNothing
	switch m.repeat {
	case reading:
		return c.reads()
	case safely:
		return safe
	case asked:
		return safe || c.verb != Create
	case hinted:
		return safe || told
	case notRun:
		return true
	case once:
		return c.refused.CompareAndSwap(false, true)
	default:
		return false
	}
}
