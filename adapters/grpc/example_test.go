package grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	tidegrpc "github.com/tidegate-go/tidegate/adapters/grpc"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A connection whose calls pass a chain, as the README shows it.
func ExampleDialOptions() {
	target, stop := startServer(nil)
	defer stop()
	ctx, creds := context.Background(), insecure.NewCredentials()

	chain := middleware.NewChain("catalog",
		policies.NewRetry(policies.RetryConfig{}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 20}),    // a stream holds its place until it ends
		policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Second}), // a stream counts until its headers
	)
	reads := map[string]bool{"grpc.testing.TestService/UnaryCall": true} // what is not listed is not repeated once it was sent
	idempotent := tidegrpc.WithIdempotent(func(method string) bool { return reads[method] })
	options := append(tidegrpc.DialOptions(chain, idempotent), grpc.WithTransportCredentials(creds))
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	client := pb.NewTestServiceClient(conn)
	reply, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
	switch {
	case errors.Is(err, middleware.ErrOpen): // also status.Code(err) == codes.Unavailable
		fmt.Println("the catalog is down:", err)
	case err != nil:
		fmt.Println("failed:", status.Code(err), err)
	default:
		fmt.Println(reply.GetUsername())
	}
	// Output: answered the second time
}

// A stream goes on after the limit that covered its beginning.
func ExampleStreamClientInterceptor() {
	target, stop := startServer(nil)
	defer stop()
	chain := middleware.NewChain("catalog", policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Second}))
	conn, err := grpc.NewClient(target, append(tidegrpc.DialOptions(chain), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		panic(err)
	}
	defer conn.Close()

	// A caller that stops reading before the end has to cancel.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := pb.NewTestServiceClient(conn).StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
	if err != nil {
		panic(err)
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", message.GetPayload().GetBody())
	}
	// Output:
	// one
	// two
}

// A server that takes two calls, and has the third come back later.
func ExampleUnaryServerInterceptor() {
	chain := middleware.NewChain("server", policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 2}))
	target, stop := startServer(chain)
	defer stop()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	for range 3 {
		_, err := pb.NewTestServiceClient(conn).UnaryCall(context.Background(), &pb.SimpleRequest{})
		fmt.Printf("%v %q\n", status.Code(err), status.Convert(err).Message())
	}
	// Output:
	// Unavailable "warming up"
	// OK ""
	// ResourceExhausted "rate limit reached"
}

// service is not ready for the first call.
type service struct {
	pb.UnimplementedTestServiceServer

	calls atomic.Int32
}

func (s *service) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.calls.Add(1) < 2 {
		return nil, status.Error(codes.Unavailable, "warming up")
	}
	return &pb.SimpleResponse{Username: "answered the second time"}, nil
}

func (s *service) StreamingOutputCall(_ *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for _, word := range []string{"one", "two"} {
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: []byte(word)}}); err != nil {
			return err
		}
	}
	return nil
}

// startServer starts a server on loopback, behind a chain of its own.
func startServer(chain *middleware.Chain) (target string, stop func()) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(tidegrpc.UnaryServerInterceptor(chain)))
	pb.RegisterTestServiceServer(server, new(service))
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			panic(err)
		}
	}()
	return "passthrough:///" + listener.Addr().String(), func() {
		server.Stop()
		<-served
	}
}
