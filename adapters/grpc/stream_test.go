package grpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

type (
	outputServer = grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]
	duplexServer = grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]
)

func numbered(n int) *pb.StreamingOutputCallResponse {
	return &pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: []byte{byte(n), byte(n >> 8)}}}
}

func numberOf(r *pb.StreamingOutputCallResponse) int {
	b := r.GetPayload().GetBody()
	return int(b[0]) + int(b[1])<<8
}

const many = 10_000

// headersOnly is a limit that ends with the headers, and a chain that could do harm to a
// stream otherwise.
const headersOnly = time.Second

func headersOnlyChain(seen *recorder) *middleware.Chain {
	return middleware.NewChain("test", retry(3), policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}), seen, limit(headersOnly, policies.UntilResult))
}

// A stream lasts longer than a limit that ends with the headers, and loses nothing: neither
// to the limit, nor to a server that was told of it as a deadline.
func TestServerStreamOutlivesTheHeadersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
			if _, ok := stream.Context().Deadline(); ok {
				return status.Error(codes.Internal, "the server has a deadline")
			}
			for n := range many {
				if n%(many/8) == many/16 {
					<-time.After(headersOnly / 4) // in all twice the limit
				}
				if err := stream.Send(numbered(n)); err != nil {
					return err
				}
			}
			return nil
		}}).serveInMemory(t)
		var seen recorder
		client := s.dial(t, DialOptions(headersOnlyChain(&seen), everyMethod)...)
		began := time.Now()
		stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for n := range many {
			got, err := stream.Recv()
			if err != nil || numberOf(got) != n {
				t.Fatalf("message %d: %v, %v", n, got, err)
			}
			if seen.holds() != 1 {
				t.Fatalf("message %d: the policies hold %d streams", n, seen.holds())
			}
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last message: %v", err)
		}
		if took := time.Since(began); took != 2*headersOnly {
			t.Fatalf("the stream took %v, and proves nothing", took)
		}
		if seen.holds() != 0 {
			t.Errorf("the policies hold %d streams", seen.holds())
		}
	})
}

func TestBidiStreamOutlivesTheHeadersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := (&testServer{duplex: func(stream duplexServer) error {
			for n := 0; ; n++ {
				req, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if n%(many/8) == many/16 {
					<-time.After(headersOnly / 4)
				}
				if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: req.GetPayload()}); err != nil {
					return err
				}
			}
		}}).serveInMemory(t)
		var seen recorder
		client := s.dial(t, DialOptions(headersOnlyChain(&seen))...)
		began := time.Now()
		stream, err := client.FullDuplexCall(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			for n := range many {
				if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: numbered(n).GetPayload()}); err != nil {
					sent <- err
					return
				}
			}
			sent <- stream.CloseSend()
		}()
		for n := range many {
			got, err := stream.Recv()
			if err != nil || numberOf(got) != n {
				t.Fatalf("message %d: %v, %v", n, got, err)
			}
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last message: %v", err)
		}
		if err := await(t, "the sender", sent); err != nil {
			t.Errorf("sending: %v", err)
		}
		if took := time.Since(began); took != 2*headersOnly {
			t.Fatalf("the stream took %v, and proves nothing", took)
		}
		if seen.holds() != 0 {
			t.Errorf("the policies hold %d streams", seen.holds())
		}
	})
}

// A stream without a single message, and so without headers, is a success.
func TestServerStreamWithoutMessages(t *testing.T) {
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		stream.SetTrailer(metadata.Pairs("at", "tail"))
		return nil
	}}).serve(t)
	var seen recorder
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", &seen)), grpc.WithChainStreamInterceptor(readOnce))...)
	finished := make(chan error, 2)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{}, grpc.OnFinish(func(err error) { finished <- err }))
	if err != nil {
		t.Fatal(err)
	}
	if header, err := stream.Header(); header != nil || err != nil {
		t.Errorf("header %v, %v", header, err)
	}
	for range 2 {
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("got %v", err)
		}
	}
	if at := stream.Trailer().Get("at"); !slices.Equal(at, []string{"tail"}) || seen.holds() != 0 || await(t, "grpc.OnFinish", finished) != nil || len(finished) != 0 {
		t.Errorf("trailer %v, held %d", at, seen.holds())
	}
	if v := seen.seen(); len(v) != 1 || v[0] != (middleware.Verdict{}) {
		t.Errorf("the verdict: %+v", v)
	}
}

// readOnce makes streams that cannot be read any more after their end.
func readOnce(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, cc, method, opts...)
	return &onceReader{ClientStream: stream}, err
}

type onceReader struct {
	grpc.ClientStream

	ended bool
}

func (r *onceReader) RecvMsg(m any) error {
	if r.ended {
		return errors.New("read after its end")
	}
	err := r.ClientStream.RecvMsg(m)
	r.ended = err != nil
	return err
}

func TestClientStream(t *testing.T) {
	s := (&testServer{}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(2), &seen), everyMethod)...)
	stream, err := client.StreamingInputCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload(10)}); err != nil {
			t.Fatal(err)
		}
	}
	reply, err := stream.CloseAndRecv()
	if err != nil || reply.GetAggregatedPayloadSize() != 1000 || seen.holds() != 0 {
		t.Errorf("got %v, %v, held %d", reply, err, seen.holds())
	}
	if seen.ops[0].Idempotent {
		t.Error("a hedge may run it beside itself")
	}
}

// Contexts reach streams as they reach unary calls.
func TestStreamContexts(t *testing.T) {
	var n atomic.Int32
	headers := make(chan metadata.MD, 2)
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		headers <- md
		if n.Add(1) == 1 {
			return status.Error(codes.Unavailable, "down")
		}
		return stream.Send(numbered(1))
	}}).serve(t)
	span := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.Do(context.WithValue(ctx, traceKey{}, middleware.Attempt(ctx)))
	})
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(2), span), everyMethod)...)
	ctx := metadata.AppendToOutgoingContext(context.WithValue(patient(t), idempotentKey{}, true), "tenant", "blue")
	stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if got := stream.Context(); got.Value(traceKey{}) != 2 || got.Value(idempotentKey{}) != true {
		t.Errorf("values %v, %v", got.Value(traceKey{}), got.Value(idempotentKey{}))
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	first, second := await(t, "the first run", headers), await(t, "the second run", headers)
	if !slices.Equal(first.Get("tenant"), []string{"blue"}) || !slices.Equal(second.Get("tenant"), []string{"blue"}) ||
		len(first.Get(previousAttempts)) != 0 || !slices.Equal(second.Get(previousAttempts), []string{"1"}) {
		t.Errorf("the server got %v and %v", first, second)
	}
}

func TestStreamRejections(t *testing.T) {
	s := (&testServer{}).serve(t)
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	client := s.dial(t, DialOptions(middleware.NewChain("test", breaker))...)
	var finished []error
	onFinish := grpc.OnFinish(func(err error) { finished = append(finished, err) })
	for name, call := range map[string]func(...grpc.CallOption) (any, error){
		"server": func(opts ...grpc.CallOption) (any, error) {
			return client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{}, opts...)
		},
		"client": func(opts ...grpc.CallOption) (any, error) { return client.StreamingInputCall(patient(t), opts...) },
		"bidi":   func(opts ...grpc.CallOption) (any, error) { return client.FullDuplexCall(patient(t), opts...) },
	} {
		finished = nil
		_, err := call(onFinish)
		if !errors.Is(err, middleware.ErrOpen) || status.Code(err) != codes.Unavailable || len(finished) != 1 || finished[0] != err {
			t.Errorf("%s: %v, finished %v", name, err, finished)
		}
	}
	if _, err := client.FullDuplexCall(SkipPolicies(patient(t))); err != nil {
		t.Errorf("past the policies: %v", err)
	}
}

// Streams that are used the other way round: asked for headers or messages first, or closed
// with nothing sent.
func TestStreamUnusual(t *testing.T) {
	s := (&testServer{}).serve(t)
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(2)))...)
	open := func() grpc.ClientStream {
		stream, err := client.(*dialed).conn.NewStream(patient(t), &grpc.StreamDesc{ServerStreams: true}, "/"+serverMethod)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	never := open() // nothing was sent, and nothing is held
	if never.Trailer() != nil || never.Context().Err() != nil {
		t.Errorf("trailer %v, context %v", never.Trailer(), never.Context())
	}
	closed := open()
	if err := closed.CloseSend(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if err := closed.RecvMsg(&pb.StreamingOutputCallResponse{}); status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
	empty, err := client.StreamingInputCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := empty.CloseAndRecv(); err != nil || reply.GetAggregatedPayloadSize() != 0 {
		t.Errorf("got %v, %v", reply, err)
	}
	if err := empty.CloseSend(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
