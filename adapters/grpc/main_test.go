package grpc

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	emptyMethod  = "grpc.testing.TestService/EmptyCall"
	unaryMethod  = "grpc.testing.TestService/UnaryCall"
	serverMethod = "grpc.testing.TestService/StreamingOutputCall"
	clientMethod = "grpc.testing.TestService/StreamingInputCall"
	bidiMethod   = "grpc.testing.TestService/FullDuplexCall"
)

var everyMethod = WithIdempotent(func(string) bool { return true })

// A server is a real one, whose handlers a test writes. The default ones answer at once.
type testServer struct {
	pb.UnimplementedTestServiceServer

	addr   string
	memory *bufconn.Listener // nil with a network
	unary  func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error)
	output func(*pb.StreamingOutputCallRequest, grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error
	input  func(grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error
	duplex func(grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error

	mu      sync.Mutex
	begun   int // calls that came to a handler
	carried int // calls whose first message came to a handler
}

func (s *testServer) count(begun, carried int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun += begun
	s.carried += carried
}

func (s *testServer) counts() (begun, carried int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun, s.carried
}

func (s *testServer) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	s.count(1, 1)
	if s.unary != nil {
		return s.unary(ctx, req)
	}
	return &pb.SimpleResponse{Payload: req.GetPayload(), Username: "ann"}, nil
}

func (s *testServer) StreamingOutputCall(req *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	s.count(1, 1)
	if s.output != nil {
		return s.output(req, stream)
	}
	return stream.Send(&pb.StreamingOutputCallResponse{Payload: req.GetPayload()})
}

func (s *testServer) StreamingInputCall(stream grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	s.count(1, 0)
	if s.input != nil {
		return s.input(stream)
	}
	for n := int32(0); ; n++ {
		_, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: n})
		case err != nil:
			return err
		case n == 0:
			s.count(0, 1)
		}
	}
}

func (s *testServer) FullDuplexCall(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	s.count(1, 0)
	if s.duplex != nil {
		return s.duplex(stream)
	}
	for first := true; ; first = false {
		req, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case first:
			s.count(0, 1)
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: req.GetPayload()}); err != nil {
			return err
		}
	}
}

// serve runs the server until the test ends.
func (s *testServer) serve(t testing.TB, opts ...grpc.ServerOption) *testServer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	s.run(t, listener, opts...)
	return s
}

// serveInMemory is serve without a network, for the virtual time of a synctest bubble.
func (s *testServer) serveInMemory(t testing.TB) *testServer {
	t.Helper()
	s.memory = bufconn.Listen(1 << 16)
	s.addr = "memory"
	s.run(t, s.memory, grpc.WaitForHandlers(true)) // time stands still once the test has ended
	return s
}

func (s *testServer) run(t testing.TB, listener net.Listener, opts ...grpc.ServerOption) {
	t.Helper()
	server := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(server, s)
	served := make(chan struct{})
	go func() {
		defer close(served)
		// A test may end before the server has begun.
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
}

// behind puts an injector with a fault before the server.
func (s *testServer) behind(t testing.TB, fault injector.Fault) *injector.Injector {
	t.Helper()
	inject := injector.New()
	if err := inject.Start(s.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inject.Close)
	if err := inject.Set(fault); err != nil {
		t.Fatal(err)
	}
	s.addr = inject.Addr()
	return inject
}

// dial connects to the server, with the options before those that every test needs.
func (s *testServer) dial(t testing.TB, opts ...grpc.DialOption) pb.TestServiceClient {
	t.Helper()
	opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if s.memory != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.memory.DialContext(ctx) }))
	}
	conn, err := grpc.NewClient("passthrough:///"+s.addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &dialed{TestServiceClient: pb.NewTestServiceClient(conn), conn: conn}
}

// A dialed client has its connection too.
type dialed struct {
	pb.TestServiceClient

	conn *grpc.ClientConn
}

// A recorder is a policy that notes what it sees, and the events of the chain.
type recorder struct {
	mu       sync.Mutex
	verdicts []middleware.Verdict
	attempts []int
	running  int
	held     int
	ops      []middleware.Operation
	events   []middleware.Event
	contexts []context.Context
}

func (r *recorder) Execute(ctx context.Context, next middleware.Next) error {
	r.mu.Lock()
	r.attempts = append(r.attempts, middleware.Attempt(ctx))
	r.ops = append(r.ops, middleware.OperationOf(ctx))
	r.contexts = append(r.contexts, ctx)
	r.held++
	r.running++
	r.mu.Unlock()
	err := next.DoThen(ctx, func() {
		r.mu.Lock()
		r.held--
		r.mu.Unlock()
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	r.verdicts = append(r.verdicts, middleware.VerdictOf(err))
	return err
}

func (r *recorder) Observe(_ context.Context, e middleware.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) seen() []middleware.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.verdicts)
}

func (r *recorder) tries() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.attempts)
}

func (r *recorder) holds() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// free is a budget that bounds nothing.
func free() *policies.Budget { return policies.NewBudget(policies.BudgetConfig{Ratio: -1}) }

func retry(attempts int) *policies.Retry {
	return policies.NewRetry(policies.RetryConfig{Attempts: attempts, Delay: time.Millisecond, Budget: free()})
}

func limit(d time.Duration, scope policies.TimeoutScope) *policies.Timeout {
	return policies.NewTimeout(policies.TimeoutConfig{Limit: d, Scope: scope})
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// patient returns the context of the test, which is cancelled when it takes too long. There is
// no deadline in it, for no server to be told of one.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(patience, cancel)
	t.Cleanup(func() {
		timer.Stop()
		cancel()
	})
	return ctx
}

// await receives what comes, or that the channel is closed.
func await[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatalf("still waiting for %s", what)
		panic("unreachable")
	}
}

// wait polls until ok says so.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("still waiting for %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func payload(size int) *pb.Payload { return &pb.Payload{Body: make([]byte, size)} }
