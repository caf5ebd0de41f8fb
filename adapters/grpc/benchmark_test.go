package grpc

import (
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// What a chain adds to calls over loopback.
func Benchmark(b *testing.B) {
	s := (&testServer{}).serve(b)
	chain := middleware.NewChain("bench", policies.NewRetry(policies.RetryConfig{}), policies.NewBreaker(policies.BreakerConfig{}), limit(0, 0))
	for _, row := range []struct {
		name    string
		options []grpc.DialOption
	}{
		{"alone", nil},
		{"nothing", DialOptions(nil)},
		{"chain", DialOptions(chain)},
	} {
		client := s.dial(b, row.options...)
		b.Run("unary/"+row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.UnaryCall(b.Context(), &pb.SimpleRequest{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("stream/"+row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stream, err := client.StreamingOutputCall(b.Context(), &pb.StreamingOutputCallRequest{})
				for err == nil {
					_, err = stream.Recv()
				}
			}
		})
	}
}
