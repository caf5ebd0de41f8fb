package grpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// calls are the four kinds, each with some kilobytes in both directions.
var calls = map[string]func(context.Context, pb.TestServiceClient) error{
	"unary": func(ctx context.Context, client pb.TestServiceClient) error {
		reply, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(bulk)})
		return checked(err, reply.GetPayload())
	},
	"server stream": func(ctx context.Context, client pb.TestServiceClient) error {
		stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{Payload: payload(bulk)})
		if err != nil {
			return err
		}
		reply, err := stream.Recv()
		if err := checked(err, reply.GetPayload()); err != nil {
			return err
		}
		return drained(stream)
	},
	"client stream": func(ctx context.Context, client pb.TestServiceClient) error {
		stream, err := client.StreamingInputCall(ctx)
		if err != nil {
			return err
		}
		for range 3 {
			if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload(bulk)}); err != nil {
				break // the reply says more
			}
		}
		reply, err := stream.CloseAndRecv()
		if err == nil && reply.GetAggregatedPayloadSize() != 3 {
			return errTruncated
		}
		return err
	},
	"bidi": func(ctx context.Context, client pb.TestServiceClient) error {
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for range 3 {
			if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(bulk)}); err != nil && err != io.EOF {
				return err
			}
			reply, err := stream.Recv()
			if err := checked(err, reply.GetPayload()); err != nil {
				return err
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		return drained(stream)
	},
}

const bulk = 10_000

var errTruncated = errors.New("the answer is truncated")

func checked(err error, p *pb.Payload) error {
	if err == nil && len(p.GetBody()) != bulk {
		return errTruncated
	}
	return err
}

func drained(stream interface {
	Recv() (*pb.StreamingOutputCallResponse, error)
}) error {
	if _, err := stream.Recv(); err != io.EOF {
		return err
	}
	return nil
}

// What a fault does to a call: which code the caller gets, how often the call is tried,
// whether the server may carry it out, and what the policies make of the first attempt.
type effect struct {
	code     codes.Code
	attempts int
	carried  int // at the most
	class    middleware.Class
	retry    bool
}

// preface is more than servers say before their first answer, and less than that with it.
const preface = 200

func TestFaults(t *testing.T) {
	everything := []string{"unary", "server stream", "client stream", "bidi"}
	const attempts = 3
	for _, row := range []struct {
		name  string
		fault injector.Fault
		calls []string
		once  effect // not idempotent
		often effect // idempotent
	}{
		{
			name: "refused", fault: injector.Refuse(), calls: everything,
			once:  effect{codes.Unavailable, attempts, 0, middleware.Failure, true},
			often: effect{codes.Unavailable, attempts, 0, middleware.Failure, true},
		},
		{
			name: "never answered", fault: injector.Hang(), calls: everything,
			once:  effect{codes.DeadlineExceeded, attempts, 0, middleware.Failure, true},
			often: effect{codes.DeadlineExceeded, attempts, 0, middleware.Failure, true},
		},
		{
			name: "cut before a connection is ready", fault: injector.CutAnswer(0), calls: everything,
			once:  effect{codes.Unavailable, attempts, 0, middleware.Failure, true},
			often: effect{codes.Unavailable, attempts, 0, middleware.Failure, true},
		},
		{
			name: "cut in the request", fault: injector.CutRequest(2000).Times(1), calls: []string{"unary", "server stream"},
			once:  effect{codes.Unavailable, 1, 0, middleware.Failure, false},
			often: effect{codes.OK, 2, 1, middleware.Failure, true},
		},
		{
			name: "cut in the request", fault: injector.CutRequest(2000).Times(1), calls: []string{"client stream", "bidi"},
			once:  effect{codes.Unavailable, 1, 0, middleware.Failure, false},
			often: effect{codes.Unavailable, 1, 0, middleware.Failure, false},
		},
		{
			name: "cut in the answer", fault: injector.CutAnswer(preface).Times(1), calls: []string{"unary"},
			once:  effect{codes.Unavailable, 1, 1, middleware.Failure, false},
			often: effect{codes.OK, 2, 2, middleware.Failure, true},
		},
		{
			name: "reset in the answer", fault: injector.Reset(preface).Times(1), calls: []string{"unary"},
			once:  effect{codes.Unavailable, 1, 1, middleware.Failure, false},
			often: effect{codes.OK, 2, 2, middleware.Failure, true},
		},
		{
			name: "cut after the headers", fault: injector.CutAnswer(2000).Times(1), calls: []string{"server stream", "bidi"},
			once:  effect{codes.Unavailable, 1, 1, middleware.Success, false},
			often: effect{codes.Unavailable, 1, 1, middleware.Success, false},
		},
		{
			name: "late", fault: injector.Late(5 * time.Millisecond), calls: everything,
			once:  effect{codes.OK, 1, 1, middleware.Success, false},
			often: effect{codes.OK, 1, 1, middleware.Success, false},
		},
		{
			name: "slow", fault: injector.Slow(1 << 20), calls: everything,
			once:  effect{codes.OK, 1, 1, middleware.Success, false},
			often: effect{codes.OK, 1, 1, middleware.Success, false},
		},
	} {
		for _, kind := range row.calls {
			for idempotent, want := range map[bool]effect{false: row.once, true: row.often} {
				name := row.name + ", " + kind
				if idempotent {
					name += ", idempotent"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					limited := 20 * time.Second
					if want.code == codes.DeadlineExceeded {
						limited = 100 * time.Millisecond
					}
					testFault(t, row.fault, calls[kind], idempotent, limited, want)
				})
			}
		}
	}
}

func testFault(t *testing.T, fault injector.Fault, call func(context.Context, pb.TestServiceClient) error, idempotent bool, limited time.Duration, want effect) {
	t.Helper()
	s := (&testServer{}).serve(t)
	s.behind(t, fault)
	var seen recorder
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	// One that fails in the dial would be tried again in a second: the attempts that follow
	// find it failed.
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", retry(3), bulkhead, &seen, limit(limited, policies.UntilResult))),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Minute}))...)
	ctx, cancel := context.WithTimeout(Idempotent(patient(t), idempotent), time.Minute)
	defer cancel()
	err := call(ctx, client)
	if status.Code(err) != want.code {
		t.Errorf("got %v, want %v", err, want.code)
	}
	verdicts := seen.seen()
	if len(verdicts) != want.attempts || verdicts[0].Class != want.class || verdicts[0].Retry != want.retry {
		t.Errorf("the verdicts: %+v, want %d, the first a %v to be repeated: %t", verdicts, want.attempts, want.class, want.retry)
	}
	if tries := seen.tries(); !slices.IsSorted(tries) || tries[0] != 1 {
		t.Errorf("the attempts: %v", tries)
	}
	if _, carried := s.counts(); carried > want.carried || want.code == codes.OK && carried == 0 {
		t.Errorf("carried out %d times, at the most %d", carried, want.carried)
	}
	wait(t, "the end of what is held", func() bool { return seen.holds() == 0 })
}
