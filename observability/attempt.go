package observability

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// An attempt is one request on the wire.
type attempt struct {
	ctx  context.Context
	span trace.Span
}

// answered notes the response, and ends the attempt unless there is a body to
// read.
func (a *attempt) answered(resp *http.Response) {
	if a.span.IsRecording() {
		a.span.SetAttributes(responseAttributes(resp)...)
	}
	o := succeeded
	if resp.StatusCode >= http.StatusBadRequest {
		o = outcome{word: failure, errorType: strconv.Itoa(resp.StatusCode)}
	}
	// The body of a switch of protocols is a connection, which is also written to
	// and may stay for days.
	hasBody := resp.Body != nil && resp.Body != http.NoBody && resp.StatusCode != http.StatusSwitchingProtocols
	if !hasBody || !a.span.IsRecording() {
		a.end(o)
		return
	}
	resp.Body = &body{ReadCloser: resp.Body, attempt: a, outcome: o}
}

// fail ends the attempt with err.
func (a *attempt) fail(err error) { a.end(attemptOutcome(a.ctx, err)) }

// end ends the attempt, unless it has ended: a span that has does not record.
func (a *attempt) end(o outcome) {
	if a.span.IsRecording() {
		a.span.SetAttributes(keyOutcome.String(o.word))
		if o.isError() {
			a.span.SetAttributes(semconv.ErrorTypeKey.String(o.errorType))
			a.span.SetStatus(codes.Error, "")
		}
	}
	a.span.End()
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
		b.attempt.end(b.outcome)
	default:
		b.attempt.fail(err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.attempt.end(b.outcome)
	return err
}
