package grpc

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/middleware"
)

var (
	errOver   = errors.New("grpc: the call has returned")
	errBeside = errors.New("grpc: another attempt is running, or has sent what cannot be sent twice")
)

// superseded is the verdict on an attempt that did not begin because of another one.
var superseded = middleware.Verdict{Class: middleware.Ignored, Reason: "superseded"}

// A unary is one unary call.
type unary struct {
	call

	request any
	renewal renewal
	invoker grpc.UnaryInvoker

	mu      sync.Mutex
	busy    bool // an attempt has the only reply
	over    bool // the call is returning
	running sync.WaitGroup
}

// A unaryAttempt is what one attempt brought.
type unaryAttempt struct {
	evidence

	reply any
}

func (u *unary) do() (err error) {
	a, err := u.run()
	err = refusalOf(err)
	switch {
	case a == nil && err == nil:
		err = withoutAttempt(u.client.chain)
	case err == nil:
		u.renewal.deliver(a.reply)
	}
	if a == nil {
		u.report(nil, err)
	} else {
		u.report(&a.evidence, err)
	}
	return err
}

func withoutAttempt(chain *middleware.Chain) error {
	return status.Errorf(codes.Internal, "grpc: a policy of chain %q let the call succeed without an answer", chain.Name())
}

// run runs the call in the chain. When it returns no attempt is running.
func (u *unary) run() (*unaryAttempt, error) {
	defer u.leave()
	return middleware.Call(&u.operation, u.client.chain, u.attempt)
}

// leave waits for the attempts of a hedge that lost and were cancelled: they read the
// request.
func (u *unary) leave() {
	u.mu.Lock()
	u.over = true
	u.mu.Unlock()
	u.running.Wait()
}

func (u *unary) attempt(ctx context.Context) (*unaryAttempt, error) {
	a, err := u.enter()
	if err != nil {
		return nil, middleware.Judged(err, superseded)
	}
	defer u.exit()
	if err := u.invoker(u.outgoing(ctx), u.method, u.request, a.reply, u.conn, u.options(&a.evidence, func(error) { a.finished = true })...); err != nil {
		header, trailer := a.answer()
		return a, middleware.Judged(err, u.judge(ctx, Outcome{Err: err, Header: header, Trailer: trailer, Sent: !a.neverSent()}))
	}
	return a, nil
}

func (u *unary) enter() (*unaryAttempt, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.over:
		return nil, errOver
	case u.busy && !u.renewal.overlaps():
		return nil, errBeside
	}
	u.busy = true
	u.running.Add(1)
	return &unaryAttempt{reply: u.renewal.next()}, nil
}

func (u *unary) exit() {
	u.mu.Lock()
	u.busy = false
	u.mu.Unlock()
	u.running.Done()
}
