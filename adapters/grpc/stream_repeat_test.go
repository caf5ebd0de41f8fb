package grpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A stream is repeated until its headers have come, with the same request.
func TestServerStreamRepeats(t *testing.T) {
	down := status.Error(codes.Unavailable, "down")
	for name, row := range map[string]struct {
		fail func(stream outputServer) error // the first run
		opts []Option
		want codes.Code
		got  []int
		runs int
	}{
		"before the headers":                 {fail: func(outputServer) error { return down }, opts: []Option{everyMethod}, got: []int{7, 2}, runs: 2},
		"before the headers, not idempotent": {fail: func(outputServer) error { return down }, want: codes.Unavailable, runs: 1},
		"after the headers": {fail: func(s outputServer) error {
			s.SendHeader(metadata.Pairs("a", "b"))
			return down
		}, opts: []Option{everyMethod}, want: codes.Unavailable, runs: 1},
		"after a message": {fail: func(s outputServer) error {
			s.Send(numbered(1))
			return down
		}, opts: []Option{everyMethod}, want: codes.Unavailable, got: []int{1}, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			s := (&testServer{output: func(req *pb.StreamingOutputCallRequest, stream outputServer) error {
				if n.Add(1) == 1 {
					return row.fail(stream)
				}
				if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: req.GetPayload()}); err != nil {
					return err
				}
				return stream.Send(numbered(int(n.Load())))
			}}).serve(t)
			var seen recorder
			client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), row.opts...)...)
			req := &pb.StreamingOutputCallRequest{Payload: numbered(7).GetPayload()}
			stream, err := client.StreamingOutputCall(patient(t), req)
			if err != nil {
				t.Fatal(err)
			}
			req.Payload.Body[0] = 99 // it is the caller's again
			var got []int
			for {
				m, err := stream.Recv()
				if err != nil {
					if errors.Is(err, io.EOF) {
						err = nil
					}
					if status.Code(err) != row.want {
						t.Errorf("got %v, want %v", err, row.want)
					}
					break
				}
				got = append(got, numberOf(m))
			}
			if runs, _ := s.counts(); !slices.Equal(got, row.got) || runs != row.runs || seen.holds() != 0 {
				t.Errorf("got %v after %d runs, held %d, want %v after %d", got, runs, seen.holds(), row.got, row.runs)
			}
		})
	}
}

// A stream that a policy gives up for another one ends.
func TestServerStreamReplaced(t *testing.T) {
	var n atomic.Int32
	gone := make(chan struct{})
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		run := int(n.Add(1))
		stream.Send(numbered(run))
		if run == 1 {
			<-stream.Context().Done()
			close(gone)
		}
		return nil
	}}).serve(t)
	twice := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		next.Do(ctx)
		return next.Do(ctx)
	})
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", twice, &seen))...)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || numberOf(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	await(t, "the end of the other stream", gone)
	if _, err := stream.Recv(); err != io.EOF || seen.holds() != 0 {
		t.Errorf("got %v, held %d", err, seen.holds())
	}
}

// Once the caller has sent something on a client stream or a bidirectional one it is not
// repeated; before it may be.
func TestSendingStreamsRepeat(t *testing.T) {
	down := status.Error(codes.Unavailable, "down")
	for name, row := range map[string]struct {
		opts []Option
		send bool // before the first attempt has failed
		want codes.Code
		runs int
	}{
		"nothing sent, idempotent": {opts: []Option{everyMethod}, runs: 2},
		"nothing sent":             {want: codes.Unavailable, runs: 1},
		"sent, idempotent":         {opts: []Option{everyMethod}, send: true, want: codes.Unavailable, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			s := (&testServer{duplex: func(stream duplexServer) error {
				first := n.Add(1) == 1
				if !first || row.send {
					if req, err := stream.Recv(); err != nil || req.GetPayload().GetBody()[0] != 5 {
						return status.Errorf(codes.Internal, "received %v, %v", req, err)
					}
				}
				if first {
					return down
				}
				return stream.Send(numbered(6))
			}}).serve(t)
			var seen recorder
			client := s.dial(t, DialOptions(middleware.NewChain("test", retry(2), &seen), row.opts...)...)
			stream, err := client.FullDuplexCall(patient(t))
			if err != nil {
				t.Fatal(err)
			}
			if !row.send {
				wait(t, "the first attempt to fail", func() bool { return len(seen.seen()) > 0 })
			}
			sendErr := stream.Send(&pb.StreamingOutputCallRequest{Payload: numbered(5).GetPayload()})
			got, err := stream.Recv()
			if status.Code(err) != row.want || err == nil && numberOf(got) != 6 || sendErr != nil && sendErr != io.EOF {
				t.Errorf("got %v, %v, sending %v, want %v", got, err, sendErr, row.want)
			}
			if err == nil {
				if _, err := stream.Recv(); err != io.EOF {
					t.Errorf("got %v", err)
				}
			} else if sendErr := stream.Send(&pb.StreamingOutputCallRequest{}); sendErr != io.EOF {
				t.Errorf("sending on a stream that has ended: %v", sendErr)
			}
			if runs, _ := s.counts(); runs != row.runs || seen.holds() != 0 {
				t.Errorf("%d runs, held %d, want %d", runs, seen.holds(), row.runs)
			}
		})
	}
}

// The first of two streams hangs: the caller gets the other, whole, and the first is
// cancelled.
func TestServerStreamHedge(t *testing.T) {
	var n atomic.Int32
	gone := make(chan struct{})
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		if n.Add(1) == 1 {
			<-stream.Context().Done()
			close(gone)
			return nil
		}
		for n := range 100 {
			if err := stream.Send(numbered(n)); err != nil {
				return err
			}
		}
		return nil
	}}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, Budget: free()}), &seen), everyMethod)...)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if got, err := stream.Recv(); err != nil || numberOf(got) != n {
			t.Fatalf("message %d: %v, %v", n, got, err)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	await(t, "the end of the other stream", gone)
	wait(t, "the end of what is held", func() bool { return seen.holds() == 0 })
}

// Not even a hedge that does not ask opens a second stream beside one that the caller sends
// on.
func TestBidiStreamNoHedge(t *testing.T) {
	s := (&testServer{}).serve(t)
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, When: func(context.Context) bool { return true }, Budget: free()})
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", hedge, &seen), everyMethod)...)
	stream, err := client.FullDuplexCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the hedge", func() bool { return len(seen.seen()) == 1 })
	if v := seen.seen(); v[0] != superseded {
		t.Errorf("the verdict: %+v", v)
	}
	stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(1)})
	if _, err := stream.Recv(); err != nil {
		t.Errorf("got %v", err)
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if runs, _ := s.counts(); runs != 1 {
		t.Errorf("%d streams", runs)
	}
}

// A request that is no message can be sent once: it is the caller's again when SendMsg has
// returned.
func TestServerStreamRequestThatIsNoMessage(t *testing.T) {
	s := (&testServer{output: func(*pb.StreamingOutputCallRequest, outputServer) error {
		return status.Error(codes.Unavailable, "down")
	}}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), everyMethod)...)
	stream, err := client.(*dialed).conn.NewStream(patient(t), &grpc.StreamDesc{ServerStreams: true}, "/"+serverMethod, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	request := []byte{}
	if err := stream.SendMsg(&request); err != nil {
		t.Errorf("sending: %v", err)
	}
	request = append(request, 1)
	if err := stream.SendMsg(&request); status.Code(err) != codes.Internal {
		t.Errorf("sending twice: %v", err)
	}
	if err := stream.RecvMsg(&request); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if runs, _ := s.counts(); runs != 1 || len(seen.tries()) != 1 {
		t.Errorf("%d runs of %d attempts", runs, len(seen.tries()))
	}
}

type rawCodec struct{}

func (rawCodec) Name() string                  { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error {
	if p, ok := v.(*[]byte); ok {
		*p = slices.Clone(b)
	}
	return nil
}
