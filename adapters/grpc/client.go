package grpc

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tidegate-go/tidegate/middleware"
)

// DialOptions returns what makes the calls of a connection pass chain: both interceptors,
// which come after those of options that stand before, and grpc.WithDisableRetry, so that the
// chain is the only one that repeats. A nil chain has no policies.
func DialOptions(chain *middleware.Chain, opts ...Option) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(UnaryClientInterceptor(chain, opts...)),
		grpc.WithChainStreamInterceptor(StreamClientInterceptor(chain, opts...)),
		grpc.WithDisableRetry(),
	}
}

// UnaryClientInterceptor returns an interceptor that sends unary calls through chain. Use
// [DialOptions] unless grpc-go's own retries are switched off, or wanted, otherwise.
//
// The context of a call names the operation (see [middleware.OperationOf]):
// "pkg.Service/Method", unless the caller's context has a name; as key the target of the
// connection, unless [WithKey] says otherwise; and whether it is idempotent.
func UnaryClientInterceptor(chain *middleware.Chain, opts ...Option) grpc.UnaryClientInterceptor {
	c := &client{chain: chain, options: newOptions(opts)}
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if skips(ctx) {
			return invoker(ctx, method, req, reply, cc, opts...)
		}
		u := &unary{call: c.newCall(ctx, method, cc, opts), request: req, invoker: invoker}
		u.renewal = newRenewal(reply)
		u.operation.Operation.Idempotent = u.idempotent && u.renewal.overlaps()
		return u.do()
	}
}

// StreamClientInterceptor returns an interceptor that opens streams through chain, as the
// package comment says. See [UnaryClientInterceptor] for the operation.
func StreamClientInterceptor(chain *middleware.Chain, opts ...Option) grpc.StreamClientInterceptor {
	c := &client{chain: chain, options: newOptions(opts)}
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if skips(ctx) {
			return streamer(ctx, desc, cc, method, opts...)
		}
		s := &stream{call: c.newCall(ctx, method, cc, opts), desc: desc, streamer: streamer}
		s.changed.L = &s.mu
		s.operation.Operation.Idempotent = s.idempotent && !desc.ClientStreams
		if desc.ClientStreams {
			s.start()
			if err := s.opened(); err != nil {
				return nil, err
			}
		}
		return s, nil
	}
}

// A client is one interceptor.
type client struct {
	options

	chain *middleware.Chain
}

// A call is what unary calls and streams have in common.
type call struct {
	client     *client
	operation  middleware.OperationContext // the context of the call
	method     string                      // with its slash
	conn       *grpc.ClientConn
	idempotent bool
	callOptions
}

func (c *client) newCall(ctx context.Context, method string, cc *grpc.ClientConn, opts []grpc.CallOption) call {
	name := strings.TrimPrefix(method, "/")
	op := middleware.OperationOf(ctx)
	if op.Name == "" {
		op.Name = name
	}
	target := ""
	if cc != nil {
		target = cc.Target()
	}
	op.Key = target
	if c.key != nil {
		op.Key = c.key(target, name)
	}
	return call{
		client:      c,
		operation:   middleware.OperationContext{Context: ctx, Operation: op},
		method:      method,
		conn:        cc,
		idempotent:  c.isIdempotent(ctx, name),
		callOptions: splitCallOptions(opts),
	}
}

const previousAttempts = "grpc-previous-rpc-attempts"

// outgoing returns the context of an attempt with its number for the server, from the second
// one on, and with what else it is told.
func (c *call) outgoing(ctx context.Context) context.Context {
	var md metadata.MD
	set := func(name, value string) {
		if md == nil {
			md, _ = metadata.FromOutgoingContext(ctx) // a copy
		}
		if md == nil {
			md = metadata.MD{}
		}
		md.Set(name, value)
	}
	if n := middleware.Attempt(ctx); n > 1 {
		set(previousAttempts, strconv.Itoa(n-1))
	}
	if c.client.propagate {
		middleware.Propagate(ctx, set)
	}
	if md == nil {
		return ctx
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// judge returns the verdict on an attempt that failed. ctx is the context that the chain gave
// it.
func (c *call) judge(ctx context.Context, o Outcome) middleware.Verdict {
	o.Method, o.Idempotent = strings.TrimPrefix(c.method, "/"), c.idempotent
	o.ended = c.endOf(ctx, o.Err)
	if c.client.classify == nil || o.ended != goesOn || isRejection(o.Err) {
		return Classify(o)
	}
	return c.client.classify(o)
}
