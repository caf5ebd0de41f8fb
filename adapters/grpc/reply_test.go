package grpc

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A hedge has two attempts at once. The caller gets the reply and the metadata of one, whole,
// and no attempt writes to what is the caller's, nor reads it, once the call has returned.
func TestUnaryHedge(t *testing.T) {
	var n atomic.Int32
	release := make(chan struct{})
	s := (&testServer{unary: func(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		which := n.Add(1)
		grpc.SetTrailer(ctx, metadata.Pairs("which", string('0'+which)))
		if which%2 == 1 {
			select {
			case <-ctx.Done():
			case <-release:
			}
		}
		return &pb.SimpleResponse{Username: string('0' + which), Payload: req.GetPayload()}, nil
	}}).serve(t)
	t.Cleanup(func() { close(release) })
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, Budget: free()})
	client := s.dial(t, DialOptions(middleware.NewChain("test", hedge), everyMethod)...)
	for range 4 {
		var trailer metadata.MD
		reply, req := &pb.SimpleResponse{Hostname: "stale"}, &pb.SimpleRequest{Payload: payload(1000)}
		finished := 0
		err := invoke(t, client, req, reply, grpc.Trailer(&trailer), grpc.OnFinish(func(error) { finished++ }))
		if err != nil || reply.GetHostname() != "" || len(reply.GetPayload().GetBody()) != 1000 || finished != 1 {
			t.Errorf("got %v, %v, finished %d times", reply, err, finished)
		}
		if got := trailer.Get("which"); !slices.Equal(got, []string{reply.GetUsername()}) {
			t.Errorf("the trailer is of %v, the reply of %q", got, reply.GetUsername())
		}
		req.Payload.Body[0], reply.Username = 1, "mine"
	}
}

func invoke(t testing.TB, client pb.TestServiceClient, req *pb.SimpleRequest, reply any, opts ...grpc.CallOption) error {
	t.Helper()
	return client.(*dialed).conn.Invoke(patient(t), "/"+unaryMethod, req, reply, opts...)
}

// Two attempts have their replies at the same time. The one that lost goes on with its own
// and with the request until it ends, and the call with it.
func TestUnaryHedgeOverlaps(t *testing.T) {
	s := (&testServer{}).serve(t)
	both := make(chan struct{})
	var answered, ended atomic.Int32
	meet := grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		defer ended.Add(1)
		err := invoker(ctx, method, req, reply, cc, opts...)
		if answered.Add(1) == 2 {
			close(both)
		}
		select {
		case <-both:
		case <-ctx.Done():
		}
		if middleware.Attempt(ctx) == 2 {
			<-ctx.Done() // it has lost
			reply.(*pb.SimpleResponse).Username = "lost, with " + string(req.(*pb.SimpleRequest).GetPayload().GetBody())
		}
		return err
	})
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, Budget: free()})
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", hedge), everyMethod), meet)...)
	req, reply := &pb.SimpleRequest{Payload: payload(100)}, &pb.SimpleResponse{}
	if err := invoke(t, client, req, reply); err != nil || reply.GetUsername() != "ann" || ended.Load() != 2 {
		t.Errorf("got %v, %v, when %d attempts had ended", reply, err, ended.Load())
	}
	req.Payload.Body[0], reply.Username = 1, "mine"
}

// An interceptor may write into what it finds in the trailer of an attempt. No other attempt
// finds it there, and it is no answer.
func TestUnaryTrailersAreApart(t *testing.T) {
	write := grpc.WithChainUnaryInterceptor(func(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		for _, opt := range opts {
			if trailer, ok := opt.(grpc.TrailerCallOption); ok {
				if trailer.TrailerAddr.Get("note") != nil {
					t.Error("it is another attempt's")
				}
				trailer.TrailerAddr.Set("note", "mine")
			}
		}
		return status.Error(codes.Unavailable, "down")
	})
	s := (&testServer{}).serve(t)
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", retry(2)), everyMethod), write)...)
	var trailer metadata.MD
	if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}, grpc.Trailer(&trailer)); status.Code(err) != codes.Unavailable || trailer != nil {
		t.Errorf("got %v, trailer %v", err, trailer)
	}
}

// jsonReply is a codec whose replies are no messages, and add to what is there.
type jsonReply struct{}

func (jsonReply) Name() string { return "proto" }

func (jsonReply) Marshal(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }

func (jsonReply) Unmarshal(data []byte, v any) error {
	var m pb.SimpleResponse
	if err := proto.Unmarshal(data, &m); err != nil {
		return err
	}
	return json.Unmarshal([]byte(m.GetUsername()), v)
}

func TestUnaryReplyThatIsNoMessage(t *testing.T) {
	var n atomic.Int32
	s := (&testServer{unary: func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		if n.Add(1) == 1 {
			return &pb.SimpleResponse{Username: `{"first": 1}`}, nil
		}
		return &pb.SimpleResponse{Username: `{"second": 2}`}, nil
	}}).serve(t)
	// The first attempt fails after its reply was read.
	fail := grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoker(ctx, method, req, reply, cc, opts...)
		if middleware.Attempt(ctx) == 1 {
			return status.Error(codes.Unavailable, "the reply makes no sense")
		}
		return err
	})
	var seen recorder
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", retry(2), &seen), everyMethod), fail)...)
	var reply struct{ Given, First, Second int }
	reply.Given = 7
	err := invoke(t, client, &pb.SimpleRequest{}, &reply, grpc.ForceCodec(jsonReply{}))
	if err != nil || reply.Given != 7 || reply.First != 0 || reply.Second != 2 {
		t.Errorf("got %+v, %v", reply, err)
	}
	if seen.ops[0].Idempotent {
		t.Error("a hedge may run beside itself what has one reply")
	}
}

// Even a hedge that does not ask has one attempt at a time of a reply that there is one of.
func TestUnaryOneReplyOneAttempt(t *testing.T) {
	var running, most atomic.Int32
	refused := make(chan struct{})
	s := (&testServer{unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		select {
		case <-refused:
		case <-ctx.Done():
		}
		return &pb.SimpleResponse{Username: `{}`}, nil
	}}).serve(t)
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, When: func(context.Context) bool { return true }, Budget: free()})
	watch := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if middleware.Attempt(ctx) == 2 {
			close(refused)
		}
		return err
	})
	client := s.dial(t, DialOptions(middleware.NewChain("test", hedge, watch), everyMethod)...)
	if err := invoke(t, client, &pb.SimpleRequest{}, &map[string]any{}, grpc.ForceCodec(jsonReply{})); err != nil || most.Load() != 1 {
		t.Errorf("got %v, %d attempts at a time", err, most.Load())
	}
}
