package grpc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// failing answers the first calls with an error, which may depend on which call it is.
func failing(times int, err error) func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	var n atomic.Int32
	return func(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		if int(n.Add(1)) <= times {
			return nil, err
		}
		return &pb.SimpleResponse{Payload: req.GetPayload()}, nil
	}
}

func TestUnaryRepeats(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "down")
	for name, row := range map[string]struct {
		err  error
		ctx  func(context.Context) context.Context
		opts []Option
		want codes.Code
		runs int
	}{
		"not idempotent":      {err: unavailable, want: codes.Unavailable, runs: 1},
		"idempotent":          {err: unavailable, opts: []Option{everyMethod}, want: codes.OK, runs: 3},
		"idempotent by name":  {err: unavailable, opts: []Option{nil, WithIdempotent(func(m string) bool { return m == unaryMethod })}, want: codes.OK, runs: 3},
		"another method is":   {err: unavailable, opts: []Option{WithIdempotent(func(m string) bool { return m == emptyMethod })}, want: codes.Unavailable, runs: 1},
		"idempotent for once": {err: unavailable, ctx: func(ctx context.Context) context.Context { return Idempotent(ctx, true) }, want: codes.OK, runs: 3},
		"for once not":        {err: unavailable, ctx: func(ctx context.Context) context.Context { return Idempotent(ctx, false) }, opts: []Option{everyMethod}, want: codes.Unavailable, runs: 1},
		"internal":            {err: status.Error(codes.Internal, "bug"), opts: []Option{everyMethod}, want: codes.Internal, runs: 1},
		"classifier": {err: status.Error(codes.Internal, "bug"), opts: []Option{WithClassifier(func(o Outcome) middleware.Verdict {
			return middleware.Verdict{Class: middleware.Failure, Retry: o.Sent && o.Method == unaryMethod}
		})}, want: codes.OK, runs: 3},
		"beyond the chain, no policies": {err: unavailable, opts: []Option{everyMethod}, ctx: SkipPolicies, want: codes.Unavailable, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&testServer{unary: failing(2, row.err)}).serve(t)
			client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3)), row.opts...)...)
			ctx := patient(t)
			if row.ctx != nil {
				ctx = row.ctx(ctx)
			}
			reply, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(10)})
			if status.Code(err) != row.want || err == nil && len(reply.GetPayload().GetBody()) != 10 {
				t.Errorf("got %v, %v, want %v", reply, err, row.want)
			}
			if runs, _ := s.counts(); runs != row.runs {
				t.Errorf("the handler ran %d times, want %d", runs, row.runs)
			}
		})
	}
}

// Other policies see the verdict, the caller the status of the server with all its details,
// and what it asked for.
func TestUnaryHandsOverTheStatus(t *testing.T) {
	want := info(t, codes.ResourceExhausted, time.Hour)
	s := (&testServer{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		grpc.SetHeader(ctx, metadata.Pairs("at", "head"))
		grpc.SetTrailer(ctx, metadata.Pairs("at", "tail"))
		return nil, want
	}}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), everyMethod)...)
	var header, again, trailer metadata.MD
	var from peer.Peer
	var finished []error
	_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}, grpc.Header(&header), grpc.Header(&again), grpc.Trailer(&trailer), grpc.Peer(&from),
		grpc.OnFinish(func(err error) { finished = append(finished, err) }))
	if !proto.Equal(status.Convert(err).Proto(), status.Convert(want).Proto()) {
		t.Errorf("got %v, want %v", err, want)
	}
	if v := seen.seen(); len(v) != 1 || v[0] != (middleware.Verdict{Class: middleware.Throttled, Retry: true, After: time.Hour, Reason: "resource_exhausted"}) {
		t.Errorf("the verdicts: %+v", v)
	}
	if !slices.Equal(header.Get("at"), []string{"head"}) || !slices.Equal(again.Get("at"), []string{"head"}) || !slices.Equal(trailer.Get("at"), []string{"tail"}) {
		t.Errorf("header %v, %v, trailer %v", header, again, trailer)
	}
	if from.Addr == nil || from.Addr.String() != s.addr || len(finished) != 1 || finished[0] != err {
		t.Errorf("peer %v, finished %v", from.Addr, finished)
	}
	if op := seen.ops[0]; op != (middleware.Operation{Name: unaryMethod, Key: "passthrough:///" + s.addr, Idempotent: true}) {
		t.Errorf("the operation: %+v", op)
	}
}

func TestUnaryIsTheLastAttempt(t *testing.T) {
	var n atomic.Int32
	s := (&testServer{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		if n.Add(1) == 1 {
			grpc.SetTrailer(ctx, metadata.Pairs("first", "yes"))
			return nil, status.Error(codes.Unavailable, "down")
		}
		return &pb.SimpleResponse{Username: "bob"}, nil
	}}).serve(t)
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3)), everyMethod)...)
	var trailer metadata.MD
	var finished []error
	reply, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}, grpc.Trailer(&trailer), grpc.OnFinish(func(err error) { finished = append(finished, err) }))
	if err != nil || reply.GetUsername() != "bob" || len(trailer) != 0 || !slices.Equal(finished, []error{nil}) {
		t.Errorf("got %v, %v, trailer %v, finished %v", reply, err, trailer, finished)
	}
}

type traceKey struct{}

// Values and metadata of the caller's context reach the attempts, and values of the attempts'
// contexts reach interceptors further in.
func TestUnaryContexts(t *testing.T) {
	var mu sync.Mutex
	var previous, tenants [][]string
	s := (&testServer{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		previous = append(previous, metadata.ValueFromIncomingContext(ctx, previousAttempts))
		tenants = append(tenants, metadata.ValueFromIncomingContext(ctx, "tenant"))
		if len(previous) < 3 {
			return nil, status.Error(codes.Unavailable, "down")
		}
		return &pb.SimpleResponse{}, nil
	}}).serve(t)
	span := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.Do(context.WithValue(ctx, traceKey{}, "span "+string(rune('0'+middleware.Attempt(ctx)))))
	})
	var spans []any
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", retry(3), span), everyMethod),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			spans = append(spans, ctx.Value(traceKey{}), ctx.Value(idempotentKey{}))
			return invoker(ctx, method, req, reply, cc, opts...)
		}))...)
	ctx := metadata.AppendToOutgoingContext(Idempotent(patient(t), true), "tenant", "blue", previousAttempts, "7")
	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := slices.Concat(previous...); !slices.Equal(got, []string{"7", "1", "2"}) {
		t.Errorf("%s: %v", previousAttempts, previous)
	}
	if got := slices.Concat(tenants...); !slices.Equal(got, []string{"blue", "blue", "blue"}) {
		t.Errorf("tenant: %v", tenants)
	}
	if !slices.Equal(spans, []any{"span 1", true, "span 2", true, "span 3", true}) {
		t.Errorf("values: %v", spans)
	}
}

func TestUnaryRejections(t *testing.T) {
	hang := func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, row := range map[string]struct {
		policy func() middleware.Policy
		before func(*middleware.Chain)
		want   codes.Code
		reason error
		runs   int
	}{
		"open": {policy: func() middleware.Policy {
			opened := policies.NewBreaker(policies.BreakerConfig{})
			opened.ForceOpen()
			return opened
		}, want: codes.Unavailable, reason: middleware.ErrOpen},
		"rate limit": {policy: func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 1})
		}, before: func(c *middleware.Chain) {
			c.Do(context.Background(), func(context.Context) error { return nil })
		}, want: codes.ResourceExhausted, reason: middleware.ErrRateLimited},
		"timeout": {policy: func() middleware.Policy { return limit(time.Second, 0) }, want: codes.DeadlineExceeded, reason: middleware.ErrTimeout, runs: 1},
		"bulkhead": {policy: func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
		}, want: codes.ResourceExhausted, reason: middleware.ErrBulkheadFull},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := (&testServer{unary: hang}).serveInMemory(t)
				chain := middleware.NewChain("test", row.policy())
				if row.before != nil {
					row.before(chain)
				}
				client := s.dial(t, DialOptions(chain)...)
				call := func() error {
					_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{})
					return err
				}
				var err error
				if name == "bulkhead" {
					chain.Do(patient(t), func(context.Context) error { err = call(); return nil })
				} else {
					err = call()
				}
				r, ok := errors.AsType[*middleware.Rejection](err)
				if !ok || r.Chain != "test" || !errors.Is(err, row.reason) || status.Code(err) != row.want || status.Convert(err).Message() != err.Error() {
					t.Errorf("got %v with the code %v, want %v", err, status.Code(err), row.want)
				}
				if runs, _ := s.counts(); runs != row.runs {
					t.Errorf("the handler ran %d times", runs)
				}
			})
		})
	}
}

// The caller's own end is grpc-go's error, and nobody's failure; the limit of the chain is
// one.
func TestUnaryEnds(t *testing.T) {
	for name, row := range map[string]struct {
		inner   []middleware.Policy
		end     func(context.Context) (context.Context, context.CancelFunc)
		want    codes.Code
		verdict middleware.Verdict
	}{
		"cancelled": {end: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, want: codes.Canceled, verdict: middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"deadline of the caller": {end: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, want: codes.DeadlineExceeded, verdict: middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"limit": {end: context.WithCancel, inner: []middleware.Policy{limit(time.Second, 0)},
			want: codes.DeadlineExceeded, verdict: middleware.Verdict{Class: middleware.Failure, Reason: "timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := (&testServer{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					<-ctx.Done()
					return nil, status.FromContextError(ctx.Err()).Err()
				}}).serveInMemory(t)
				var seen recorder
				asked := WithClassifier(func(o Outcome) middleware.Verdict {
					t.Errorf("a classifier is asked about %v", o.Err)
					return Classify(o)
				})
				client := s.dial(t, DialOptions(middleware.NewChain("test", append([]middleware.Policy{&seen}, row.inner...)...), asked)...)
				began := time.Now()
				ctx, cancel := row.end(patient(t))
				defer cancel()
				_, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
				if status.Code(err) != row.want || errors.Is(err, middleware.ErrTimeout) != (name == "limit") {
					t.Errorf("got %v, want %v", err, row.want)
				}
				if v := seen.seen(); len(v) != 1 || v[0] != row.verdict {
					t.Errorf("the verdict: %+v, want %+v", v, row.verdict)
				}
				if runs, _ := s.counts(); runs != 1 || time.Since(began) != time.Second {
					t.Errorf("%d runs, ended after %v", runs, time.Since(began))
				}
			})
		})
	}
}

// A policy that answers without a call has no reply to give.
func TestUnaryWithoutAnswer(t *testing.T) {
	quiet := middleware.PolicyFunc(func(context.Context, middleware.Next) error { return nil })
	s := (&testServer{}).serve(t)
	client := s.dial(t, DialOptions(middleware.NewChain("quiet", quiet))...)
	if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "quiet") {
		t.Errorf("got %v", err)
	}
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
	if status.Code(err) != codes.Internal || stream != nil {
		t.Errorf("got %v", err)
	}
}

// A rejection by a chain further in counts for nobody, and is the caller's as it is.
func TestUnaryNestedChains(t *testing.T) {
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	var seen recorder
	asked := WithClassifier(func(o Outcome) middleware.Verdict {
		t.Errorf("a classifier is asked about %v", o.Err)
		return Classify(o)
	})
	s := (&testServer{}).serve(t)
	client := s.dial(t, append(DialOptions(middleware.NewChain("outer", retry(3), &seen), everyMethod, asked),
		DialOptions(middleware.NewChain("inner", breaker))...)...)
	_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{})
	if r, ok := errors.AsType[*middleware.Rejection](err); !ok || r.Chain != "inner" || status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if v := seen.seen(); !slices.Equal(v, []middleware.Verdict{{Class: middleware.Ignored, Reason: "rejected"}}) {
		t.Errorf("the verdicts: %+v", v)
	}
}

func TestUnaryKey(t *testing.T) {
	s := (&testServer{}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", &seen), WithKey(func(target, method string) string {
		service, _, _ := strings.Cut(method, "/")
		return strings.TrimPrefix(target, "passthrough:///"+s.addr) + service
	}))...)
	ctx := middleware.WithOperation(patient(t), middleware.Operation{Name: "find", Key: "another"})
	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.FullDuplexCall(ctx); err != nil {
		t.Fatal(err)
	}
	want := middleware.Operation{Name: "find", Key: "grpc.testing.TestService"}
	if !slices.Equal(seen.ops, []middleware.Operation{want, want}) {
		t.Errorf("the operations: %+v", seen.ops)
	}
}

// A panic of an interceptor further in reaches the caller.
func TestUnaryPanic(t *testing.T) {
	s := (&testServer{}).serve(t)
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", bulkhead)), grpc.WithChainUnaryInterceptor(
		func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
			panic("bug")
		}))...)
	for range 2 {
		func() {
			defer func() {
				if recover() != "bug" {
					t.Error("no panic")
				}
			}()
			client.UnaryCall(patient(t), &pb.SimpleRequest{})
		}()
	}
}
