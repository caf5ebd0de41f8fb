package observability

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
)

// An attempt is one request on the wire.
type attempt struct {
	line

	ctx   context.Context
	ended atomic.Bool
}

// answered notes the response, and ends the attempt unless there is a body to
// read.
func (a *attempt) answered(resp *http.Response) {
	if !a.records() {
		return
	}
	a.set(responseAttributes(resp))
	o := succeeded
	switch {
	case a.givenUp():
		o = outcome{word: cancelled}
	case resp.StatusCode >= http.StatusBadRequest:
		o = outcome{word: failure, errorType: strconv.Itoa(resp.StatusCode)}
	}
	// The body of a switch of protocols is a connection, which is also written to
	// and may stay for days.
	hasBody := resp.Body != nil && resp.Body != http.NoBody && resp.StatusCode != http.StatusSwitchingProtocols
	if !hasBody {
		a.finish(o)
		return
	}
	resp.Body = &body{ReadCloser: resp.Body, attempt: a, outcome: o}
}

// givenUp reports whether nobody waits for the answer any more, but not because it is late.
func (a *attempt) givenUp() bool {
	err := a.ctx.Err()
	return err != nil && attemptOutcome(a.ctx, err).word == cancelled
}

// fail ends the attempt with err.
func (a *attempt) fail(err error) { a.finish(attemptOutcome(a.ctx, err)) }

// drop ends the attempt, of whose response nothing follows. A success that was given up, as that
// of a hedge which came second, is none.
func (a *attempt) drop(o outcome) {
	if o.word == success && a.givenUp() {
		o = outcome{word: cancelled}
	}
	a.finish(o)
}

// finish ends the attempt, unless it has ended.
func (a *attempt) finish(o outcome) {
	if a.ended.CompareAndSwap(false, true) {
		a.conclude(o, make([]attribute.KeyValue, 0, 2))
		a.end()
	}
}

// A body ends its attempt when it has been read or is closed.
type body struct {
	io.ReadCloser

	attempt *attempt
	outcome outcome // unless reading fails
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch err {
	case nil:
	case io.EOF:
		b.attempt.drop(b.outcome)
	default:
		b.attempt.fail(err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.attempt.drop(b.outcome)
	return err
}
