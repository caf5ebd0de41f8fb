package grpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
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

// A listener keeps what the attempts of a call told.
type listener struct {
	mu   sync.Mutex
	told [][]string
}

func (l *listener) hear(ctx context.Context) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := slices.Concat(metadata.ValueFromIncomingContext(ctx, "tidegate-priority"), metadata.ValueFromIncomingContext(ctx, "tidegate-attempt"))
	l.told = append(l.told, told)
	return len(l.told)
}

func (l *listener) heard() [][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

func same(a, b [][]string) bool { return slices.EqualFunc(a, b, slices.Equal) }

// Each attempt tells of its priority, unless it is critical, and of its number from the
// second on, in place of the caller's metadata; without the option nothing is told.
func TestWhatAttemptsTell(t *testing.T) {
	sheddable := func(ctx context.Context) context.Context {
		return middleware.WithPriority(ctx, middleware.Sheddable)
	}
	for name, row := range map[string]struct {
		ctx  func(context.Context) context.Context
		opts []Option
		want [][]string
	}{
		"critical":  {func(ctx context.Context) context.Context { return ctx }, []Option{WithPropagation()}, [][]string{{}, {"2"}, {"3"}}},
		"sheddable": {sheddable, []Option{WithPropagation()}, [][]string{{"sheddable"}, {"sheddable", "2"}, {"sheddable", "3"}}},
		"in another's attempt": {func(ctx context.Context) context.Context { return middleware.WithOuterAttempt(ctx, 2) },
			[]Option{WithPropagation()}, [][]string{{"2"}, {"2"}, {"3"}}},
		"the caller's metadata": {func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(sheddable(ctx), "Tidegate-Priority", "critical_plus", "tenant", "blue")
		}, []Option{WithPropagation()}, [][]string{{"sheddable"}, {"sheddable", "2"}, {"sheddable", "3"}}},
		"without the option": {sheddable, nil, [][]string{{}, {}, {}}},
	} {
		t.Run(name, func(t *testing.T) {
			var unary, streams listener
			s := (&testServer{
				unary: func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
					if unary.hear(ctx) < 3 {
						return nil, status.Error(codes.Unavailable, "not yet")
					}
					return &pb.SimpleResponse{}, nil
				},
				output: func(_ *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
					if streams.hear(stream.Context()) < 3 {
						return status.Error(codes.Unavailable, "not yet")
					}
					return stream.Send(&pb.StreamingOutputCallResponse{})
				},
			}).serve(t)
			layer := policies.NewRetry(policies.RetryConfig{Attempts: 3, NestedAttempts: 3, Delay: time.Millisecond, Budget: free()})
			client := s.dial(t, DialOptions(middleware.NewChain("test", layer), append(row.opts, everyMethod)...)...)
			ctx := row.ctx(patient(t))
			if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
				t.Error(err)
			}
			stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			if got := unary.heard(); !same(got, row.want) {
				t.Errorf("unary: the server was told %q, want %q", got, row.want)
			}
			if got := streams.heard(); !same(got, row.want) {
				t.Errorf("a stream: the server was told %q, want %q", got, row.want)
			}
		})
	}
}

// The policies and the handler know what the client told, if they are to believe it.
func TestWhatAServerBelieves(t *testing.T) {
	for name, row := range map[string]struct {
		metadata []string
		opts     []ServerOption
		want     []string // what calls made for the call tell
	}{
		"no metadata":        {nil, []ServerOption{WithServerPropagation()}, nil},
		"both":               {[]string{"tidegate-priority", "sheddable_plus", "tidegate-attempt", "3"}, []ServerOption{WithServerPropagation()}, []string{"sheddable_plus", "3"}},
		"the first of two":   {[]string{"tidegate-priority", "sheddable", "tidegate-priority", "critical_plus"}, []ServerOption{WithServerPropagation()}, []string{"sheddable"}},
		"too large a number": {[]string{"tidegate-attempt", strings.Repeat("9", 1000)}, []ServerOption{WithServerPropagation()}, []string{"100"}},
		"malformed":          {[]string{"tidegate-priority", "first", "tidegate-attempt", "second"}, []ServerOption{WithServerPropagation()}, nil},
		"no option":          {[]string{"tidegate-priority", "sheddable", "tidegate-attempt", "3"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got [][]string
			note := func(ctx context.Context) {
				var told []string
				middleware.Propagate(ctx, func(_, value string) { told = append(told, value) })
				got = append(got, told)
			}
			policy := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { note(ctx); return next.Do(ctx) })
			ctx := t.Context()
			if row.metadata != nil {
				ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(row.metadata...))
			}
			handler := func(ctx context.Context) (any, error) { note(ctx); return "response", nil }
			if _, err := handle(ctx, middleware.NewChain("server", policy), handler, row.opts...); err != nil {
				t.Error(err)
			}
			if _, err := handle(ctx, nil, handler, row.opts...); err != nil {
				t.Error(err)
			}
			if want := [][]string{row.want, row.want, row.want}; !same(got, want) {
				t.Errorf("%q, want %q each time", got, row.want)
			}
		})
	}
}
