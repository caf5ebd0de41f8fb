package grpc

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/tidegate-go/tidegate/middleware"
)

var errHandlerBegun = errors.New("grpc: the handler of a call runs once, and has begun")

// A ServerOption changes what [UnaryServerInterceptor] makes. A nil ServerOption changes
// nothing.
type ServerOption func(*server)

// WithServerKey sets the function that names whom a call comes from or what it is for: a
// client, a tenant. It is the Key of the [middleware.Operation], by which a policies.Keyed
// tells them apart, a rate limit for each client for instance. Nil, the default, leaves the
// key that the context of the call has, or "".
//
// key gets a name such as "pkg.Service/Method". It runs before the policies do, so it must be
// quick, and it must be safe for concurrent use. Whoever can choose a key at will gets a new
// limit with each: take a name that has been verified, or an address.
func WithServerKey(key func(ctx context.Context, method string) string) ServerOption {
	return func(s *server) { s.key = key }
}

// UnaryServerInterceptor returns an interceptor that runs the handlers of unary calls inside
// chain, to protect this server. A nil chain has no policies.
//
// # Policies
//
//   - RateLimit bounds how many calls begin in a second; a Keyed one, with [WithServerKey], how
//     many of each client.
//   - Bulkhead bounds how many run at the same time.
//   - Timeout ends the context of the handler, and waits for it to return.
//   - Breaker sheds calls while most of them fail anyway.
//   - Retry and Hedge have no place here: the handler runs once for each call. A second run
//     gives the outcome of the first, and while that goes on an error.
//
// From the outermost: rate limit, bulkhead, breaker, timeout.
//
// # Rejections
//
// A call that the policies refuse or end gets a status with the code that the package comment
// lists, with RetryInfo if the rejection knows when to come back, and a text that names
// neither chain nor policy. Interceptors further out find the [*middleware.Rejection] with
// errors.As. A handler that returns a rejection of a chain of its own should make a status of
// it: like any error that is none it reaches the client as Unknown, with all of its text.
//
// # Verdicts
//
// The error of the handler is judged as by [Classify]: what the client got wrong is a
// success, and so is all that the table of the package comment counts as one. A failure once
// the client has left or its deadline has passed is Ignored, and after a time limit of the
// chain it is a Failure. No verdict changes the error. A panic passes through.
//
// # Calls
//
// For the policies the Name of the [middleware.Operation] is that of the context of the call,
// or else "pkg.Service/Method". It is never Idempotent. The handler gets the context without
// that operation, so that the calls which it makes do not go by its name and key.
func UnaryServerInterceptor(chain *middleware.Chain, opts ...ServerOption) grpc.UnaryServerInterceptor {
	s := &server{chain: chain}
	for _, opt := range opts {
		if opt != nil {
			opt(s)
		}
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if s.propagate {
			ctx = propagated(ctx)
		}
		in := &serving{handler: handler, request: req, given: middleware.OperationOf(ctx)}
		op := in.given
		if op.Name == "" {
			op.Name = strings.TrimPrefix(info.FullMethod, "/")
		}
		if s.key != nil {
			op.Key = s.key(ctx, strings.TrimPrefix(info.FullMethod, "/"))
		}
		op.Idempotent = false
		return in.answer(s.chain, s.chain.Do(middleware.WithOperation(ctx, op), in.run))
	}
}

type server struct {
	chain     *middleware.Chain
	key       func(context.Context, string) string
	propagate bool
}

// A serving is one call to a handler.
type serving struct {
	handler grpc.UnaryHandler
	request any
	given   middleware.Operation // of the context of the call

	begun    atomic.Bool
	ended    atomic.Bool
	response any
	err      error // the handler's
	outcome  error // with its verdict
}

func (s *serving) run(ctx context.Context) error {
	if !s.begun.CompareAndSwap(false, true) {
		if s.ended.Load() {
			return s.outcome
		}
		return middleware.Judged(errHandlerBegun, middleware.Verdict{Class: middleware.Ignored, Reason: "repeated"})
	}
	s.response, s.err = s.handler(middleware.WithOperation(ctx, s.given), s.request)
	s.outcome = middleware.Judged(s.err, verdictOnHandler(ctx, s.err))
	s.ended.Store(true)
	return s.outcome
}

// answer returns what the client gets. err is that of the chain.
func (s *serving) answer(chain *middleware.Chain, err error) (any, error) {
	ran := s.ended.Load()
	rejection, rejected := err.(*middleware.Rejection) //nolint:errorlint // the chain's own, and not what wraps one
	switch {
	case rejected && (!ran || err != s.err): //nolint:errorlint // the handler's has to be the very same
		return nil, short(rejection)
	case !ran && err == nil:
		return nil, withoutAttempt(chain)
	case !ran:
		return nil, err
	default:
		return s.response, err
	}
}

// verdictOnHandler judges the error of a handler.
func verdictOnHandler(ctx context.Context, err error) middleware.Verdict {
	o := Outcome{Err: err, Sent: true}
	v := Classify(o)
	code := statusOf(err).Code()
	if ctx.Err() != nil && (v.Class == middleware.Failure || code == codes.Canceled) {
		o.ended = byCaller
		if errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
			o.ended = byLimit
		}
		v = Classify(o)
	}
	return v
}

// short returns a rejection with a status that says no more than a client needs to know.
func short(r *middleware.Rejection) error {
	refused := &refusal{error: r, rejection: r, message: "rejected"}
	if r.Reason != nil {
		refused.message = r.Reason.Error()
	}
	return refused
}
