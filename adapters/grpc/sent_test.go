package grpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
)

// What a server says of repeating comes through, of unary calls and of streams.
func TestPushback(t *testing.T) {
	for pushed, row := range map[string]struct {
		opts []Option
		want codes.Code
		runs int
	}{
		"5":    {want: codes.OK, runs: 2},
		"-1":   {opts: []Option{everyMethod}, want: codes.Unavailable, runs: 1},
		"soon": {opts: []Option{everyMethod}, want: codes.Unavailable, runs: 1},
	} {
		t.Run(pushed, func(t *testing.T) {
			down, pushback := status.Error(codes.Unavailable, "down"), metadata.Pairs(pushbackKey, pushed)
			var unary, output atomic.Int32
			s := (&testServer{
				unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					if unary.Add(1) == 1 {
						grpc.SetTrailer(ctx, pushback)
						return nil, down
					}
					return &pb.SimpleResponse{}, nil
				},
				output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
					if output.Add(1) == 1 {
						stream.SetTrailer(pushback)
						return down
					}
					return stream.Send(numbered(1))
				},
			}).serve(t)
			var seen recorder
			client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), row.opts...)...)
			if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); status.Code(err) != row.want || int(unary.Load()) != row.runs {
				t.Errorf("unary: %v after %d runs", err, unary.Load())
			}
			stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); status.Code(err) != row.want || int(output.Load()) != row.runs {
				t.Errorf("stream: %v after %d runs", err, output.Load())
			}
			if after := seen.seen()[0].After; (after == 5*time.Millisecond) != (pushed == "5") {
				t.Errorf("the wait is %v", after)
			}
			for err == nil {
				_, err = stream.Recv()
			}
		})
	}
}

// Without a connection nothing was sent, and any call may be repeated; what an interceptor
// does that hands on no options proves nothing.
func TestUnaryNeverSent(t *testing.T) {
	for name, row := range map[string]struct {
		inner grpc.UnaryClientInterceptor
		runs  int
	}{
		"as it is": {func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoker(ctx, method, req, reply, cc, opts...)
		}, 3},
		"without options": {func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, _ ...grpc.CallOption) error {
			return invoker(ctx, method, req, reply, cc)
		}, 1},
		"by itself": {func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
			return status.Error(codes.Unavailable, "made up")
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&testServer{}).serve(t)
			s.behind(t, injector.Refuse())
			var seen recorder
			client := s.dial(t, append(DialOptions(middleware.NewChain("test", retry(3), &seen)), grpc.WithChainUnaryInterceptor(row.inner))...)
			header, trailer, from := metadata.Pairs("my", "own"), metadata.Pairs("my", "own"), peer.Peer{Addr: &net.TCPAddr{Port: 7}}
			_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from))
			if status.Code(err) != codes.Unavailable || len(seen.tries()) != row.runs {
				t.Errorf("got %v after %d attempts, want %d", err, len(seen.tries()), row.runs)
			}
			if header.Get("my") == nil || trailer.Get("my") == nil || from.Addr.String() != ":7" {
				t.Errorf("there was no answer, but header %v, trailer %v, peer %v", header, trailer, from)
			}
		})
	}
}

// A call that waits for a connection fails by the chain's limit, and was not sent.
func TestUnaryWaitForReady(t *testing.T) {
	s := (&testServer{}).serve(t)
	s.behind(t, injector.Refuse())
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(2), &seen, limit(50*time.Millisecond, 0)))...)
	_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}, grpc.WaitForReady(true))
	if !errors.Is(err, middleware.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	want := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"}
	if v := seen.seen(); !slices.Equal(v, []middleware.Verdict{want, want}) {
		t.Errorf("the verdicts: %+v", v)
	}
}

// What never reached a server counts for nobody.
func TestUnaryLocalErrors(t *testing.T) {
	for name, row := range map[string]struct {
		ctx    func(context.Context) context.Context
		opts   []grpc.CallOption
		want   codes.Code
		reason string
	}{
		"metadata": {ctx: func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(ctx, "a b", "x")
		}, want: codes.Internal, reason: "unsent"},
		"credentials":          {opts: []grpc.CallOption{grpc.PerRPCCredentials(noToken{})}, want: codes.Internal, reason: "unsent"},
		"too large to send":    {opts: []grpc.CallOption{grpc.MaxCallSendMsgSize(10)}, want: codes.ResourceExhausted, reason: "too_large"},
		"too large to receive": {opts: []grpc.CallOption{grpc.MaxCallRecvMsgSize(10)}, want: codes.ResourceExhausted, reason: "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&testServer{}).serve(t)
			var seen recorder
			client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), everyMethod)...)
			ctx := patient(t)
			if row.ctx != nil {
				ctx = row.ctx(ctx)
			}
			_, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(100)}, row.opts...)
			if v := seen.seen(); status.Code(err) != row.want || len(v) != 1 || v[0] != (middleware.Verdict{Class: middleware.Ignored, Reason: row.reason}) {
				t.Errorf("got %v, %+v", err, v)
			}
		})
	}
}

// A server that takes no message of that size says so as for a quota.
func TestUnaryTooLargeForTheServer(t *testing.T) {
	s := (&testServer{}).serve(t, grpc.MaxRecvMsgSize(10))
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), everyMethod)...)
	_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{Payload: payload(100)})
	if v := seen.seen(); status.Code(err) != codes.ResourceExhausted || len(v) != 1 || v[0].Reason != "too_large" {
		t.Errorf("got %v, %+v", err, v)
	}
}

type noToken struct{}

func (noToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("no token")
}

func (noToken) RequireTransportSecurity() bool { return false }

// With DialOptions there is one layer that repeats, whatever the service config says. Without
// them there are two.
func TestOneRetryLayer(t *testing.T) {
	config := grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4,
		"initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`)
	for name, row := range map[string]struct {
		options func(*middleware.Chain, ...Option) []grpc.DialOption
		want    int
	}{
		"DialOptions": {DialOptions, 3},
		"the interceptor alone": {func(c *middleware.Chain, opts ...Option) []grpc.DialOption {
			return []grpc.DialOption{grpc.WithUnaryInterceptor(UnaryClientInterceptor(c, opts...)), grpc.WithStreamInterceptor(StreamClientInterceptor(c, opts...))}
		}, 12},
	} {
		t.Run(name, func(t *testing.T) {
			down := status.Error(codes.Unavailable, "down")
			s := (&testServer{
				unary: failing(1000, down),
				output: func(*pb.StreamingOutputCallRequest, grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
					return down
				},
			}).serve(t)
			client := s.dial(t, append(row.options(middleware.NewChain("test", retry(3)), everyMethod), config)...)
			if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); status.Code(err) != codes.Unavailable {
				t.Errorf("got %v", err)
			}
			if runs, _ := s.counts(); runs != row.want {
				t.Errorf("the handler of the unary call ran %d times, want %d", runs, row.want)
			}
			stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if runs, _ := s.counts(); status.Code(err) != codes.Unavailable || runs != 2*row.want {
				t.Errorf("the handler of the stream ran %d times, want %d: %v", runs-row.want, row.want, err)
			}
		})
	}
}
