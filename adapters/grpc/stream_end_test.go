package grpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// What the policies hold they hold until the end of the stream, whatever that is, and the
// context of the attempt ends then and not before.
func TestStreamEnds(t *testing.T) {
	for name, row := range map[string]struct {
		end    func(t *testing.T, stream grpc.ServerStreamingClient[pb.StreamingOutputCallResponse], cancel context.CancelFunc)
		server error
		want   codes.Code
		told   bool
	}{
		"io.EOF": {end: func(t *testing.T, stream grpc.ServerStreamingClient[pb.StreamingOutputCallResponse], _ context.CancelFunc) {
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
		}, told: true},
		"error": {server: status.Error(codes.DataLoss, "lost"), want: codes.DataLoss, told: true, end: func(t *testing.T, stream grpc.ServerStreamingClient[pb.StreamingOutputCallResponse], _ context.CancelFunc) {
			if _, err := stream.Recv(); status.Code(err) != codes.DataLoss {
				t.Errorf("got %v", err)
			}
		}},
		"dropped, and cancelled": {want: codes.Canceled, told: true, end: func(_ *testing.T, _ grpc.ServerStreamingClient[pb.StreamingOutputCallResponse], cancel context.CancelFunc) {
			cancel()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			proceed := make(chan struct{})
			s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
				stream.SetTrailer(metadata.Pairs("at", "tail"))
				stream.Send(numbered(1))
				select {
				case <-proceed:
				case <-stream.Context().Done():
				}
				return row.server
			}}).serve(t)
			var seen recorder
			client := s.dial(t, DialOptions(middleware.NewChain("test", policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}), &seen))...)
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			var trailer metadata.MD
			var from peer.Peer
			finished := make(chan error, 2)
			stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{}, grpc.Trailer(&trailer), grpc.Peer(&from),
				grpc.OnFinish(func(err error) { finished <- err }))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := stream.Recv(); err != nil || numberOf(got) != 1 {
				t.Fatalf("got %v, %v", got, err)
			}
			inner := stream.Context()
			if seen.holds() != 1 || inner.Err() != nil {
				t.Fatalf("the policies hold %d streams, %v", seen.holds(), inner.Err())
			}
			if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); !errors.Is(err, middleware.ErrBulkheadFull) {
				t.Errorf("another call: %v", err)
			}
			close(proceed)
			row.end(t, stream, cancel)
			if err := await(t, "grpc.OnFinish", finished); status.Code(err) != row.want {
				t.Errorf("finished with %v", err)
			}
			wait(t, "the end of what is held", func() bool { return seen.holds() == 0 })
			await(t, "the end of the context", inner.Done())
			if name != "dropped, and cancelled" && (!slices.Equal(trailer.Get("at"), []string{"tail"}) || !slices.Equal(stream.Trailer().Get("at"), []string{"tail"})) || from.Addr == nil {
				t.Errorf("trailer %v, %v, peer %v", trailer, stream.Trailer(), from.Addr)
			}
			if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); err != nil {
				t.Errorf("another call: %v", err)
			}
			if len(finished) != 0 {
				t.Error("the caller was told twice")
			}
		})
	}
}

// A connection that is closed ends its streams, also for interceptors that hand on no
// options.
func TestStreamEndsWithTheConnection(t *testing.T) {
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		stream.SendHeader(nil)
		<-stream.Context().Done()
		return nil
	}}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", &seen))...)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil || seen.holds() != 1 {
		t.Fatalf("%v, the policies hold %d", err, seen.holds())
	}
	client.(*dialed).conn.Close()
	wait(t, "the end of what is held", func() bool { return seen.holds() == 0 })
}

func TestStreamWithoutOptions(t *testing.T) {
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		for n := range 3 {
			stream.Send(numbered(n))
		}
		return nil
	}}).serve(t)
	for _, abandon := range []bool{false, true} {
		var seen recorder
		client := s.dial(t, append(DialOptions(middleware.NewChain("test", &seen)), grpc.WithChainStreamInterceptor(withoutOptions))...)
		ctx, cancel := context.WithCancel(patient(t))
		finished := make(chan error, 2)
		stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{}, grpc.OnFinish(func(err error) { finished <- err }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if abandon {
			cancel()
		} else {
			for err == nil {
				_, err = stream.Recv()
			}
			if err := await(t, "grpc.OnFinish", finished); err != nil {
				t.Errorf("finished with %v", err)
			}
		}
		wait(t, "the end of what is held", func() bool { return seen.holds() == 0 })
		cancel()
	}
	s = (&testServer{output: func(*pb.StreamingOutputCallRequest, outputServer) error { return nil }}).serve(t)
	var seen recorder
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", &seen)), grpc.WithChainStreamInterceptor(withoutOptions))...)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF || seen.holds() != 0 {
		t.Errorf("without messages: %v, held %d", err, seen.holds())
	}
}

// withoutOptions hands on no options.
func withoutOptions(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return streamer(ctx, desc, cc, method)
}

// An interceptor further in may open a stream that comes to nothing before the one that counts.
func TestStreamOpenedTwice(t *testing.T) {
	s := (&testServer{}).serve(t)
	var seen recorder
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", &seen)), grpc.WithChainStreamInterceptor(
		func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if _, err := streamer(ctx, desc, cc, method, append(slices.Clip(opts), grpc.PerRPCCredentials(noToken{}))...); err == nil {
				t.Error("the first one is a stream")
			}
			return streamer(ctx, desc, cc, method, opts...)
		}))...)
	var finished []error
	stream, err := client.FullDuplexCall(patient(t), grpc.OnFinish(func(err error) { finished = append(finished, err) }))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(1)})
		if _, err := stream.Recv(); err != nil || seen.holds() != 1 || len(finished) != 0 {
			t.Fatalf("got %v, held %d, finished %v", err, seen.holds(), finished)
		}
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF || seen.holds() != 0 || len(finished) != 1 {
		t.Errorf("got %v, held %d, finished %v", err, seen.holds(), finished)
	}
}

// The limits of a stream: each gives the reader its rejection, with a status.
func TestStreamLimits(t *testing.T) {
	for name, row := range map[string]struct {
		limit    *policies.Timeout
		messages int
	}{
		"until the headers, which do not come": {limit(time.Second, policies.UntilResult), 0},
		"to the end":                           {limit(time.Second, policies.UntilEnd), 1},
		"each read":                            {limit(time.Second, policies.EachRead), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
					for n := range row.messages {
						stream.Send(numbered(n))
					}
					<-stream.Context().Done()
					return nil
				}}).serveInMemory(t)
				var seen recorder
				client := s.dial(t, DialOptions(middleware.NewChain("test", &seen, row.limit))...)
				finished := make(chan error, 2)
				stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{}, grpc.OnFinish(func(err error) { finished <- err }))
				if err != nil {
					t.Fatal(err)
				}
				for range row.messages {
					if _, err := stream.Recv(); err != nil {
						t.Fatal(err)
					}
				}
				_, err = stream.Recv()
				_, rejected := errors.AsType[*middleware.Rejection](err)
				if !rejected || !errors.Is(err, middleware.ErrTimeout) || status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("got %v (%T)", err, err)
				}
				if end := await(t, "grpc.OnFinish", finished); status.Code(end) != codes.DeadlineExceeded || !errors.Is(end, middleware.ErrTimeout) || len(finished) != 0 {
					t.Errorf("finished with %v", end)
				}
				if seen.holds() != 0 {
					t.Errorf("the policies hold %d", seen.holds())
				}
			})
		})
	}
}

// The caller's deadline is the server's, whatever the limits of the chain.
func TestStreamDeadlineOfTheCaller(t *testing.T) {
	deadlines := make(chan bool, 1)
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		deadline, ok := stream.Context().Deadline()
		deadlines <- ok && time.Until(deadline) > time.Minute
		return nil
	}}).serve(t)
	client := s.dial(t, DialOptions(middleware.NewChain("test", limit(patience, policies.UntilEnd)))...)
	ctx, cancel := context.WithTimeout(patient(t), time.Hour)
	defer cancel()
	stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF || !await(t, "the handler", deadlines) {
		t.Errorf("got %v, or another deadline", err)
	}
}

// A panic of an interceptor further in, or its Goexit, comes to who calls the stream, and
// leaves nothing held.
func TestStreamPanic(t *testing.T) {
	for name, does := range map[string]func(){"panic": func() { panic("bug") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			s := (&testServer{}).serve(t)
			var seen recorder
			contexts := make(chan context.Context, 1)
			client := s.dial(t, append(DialOptions(middleware.NewChain("test", &seen)), grpc.WithChainStreamInterceptor(
				func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
					contexts <- ctx
					does()
					return nil, nil
				}))...)
			for _, call := range []func(){
				func() { client.FullDuplexCall(patient(t)) },
				func() { client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{}) },
			} {
				ended, returned := make(chan any, 1), false
				go func() {
					defer func() { ended <- recover() }()
					call()
					returned = true
				}()
				if value := await(t, "the call", ended); returned || name == "panic" && value != "bug" {
					t.Errorf("returned %t, panicked with %v", returned, value)
				}
				await(t, "the end of the context", await(t, "the interceptor", contexts).Done())
			}
			if seen.holds() != 0 {
				t.Errorf("the policies hold %d", seen.holds())
			}
		})
	}
}

// A caller that gives up before the headers have come gets that, and so does who waits to
// send.
func TestStreamGivenUp(t *testing.T) {
	s := (&testServer{duplex: func(stream duplexServer) error {
		<-stream.Context().Done()
		return nil
	}}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), everyMethod)...)
	ctx, cancel := context.WithCancel(patient(t))
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != io.EOF {
		t.Errorf("sending: %v", err)
	}
	if v := seen.seen(); len(v) != 1 || v[0] != (middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}) || seen.holds() != 0 {
		t.Errorf("the verdicts: %+v, held %d", v, seen.holds())
	}
}
