package grpc

import (
	"context"
	"errors"
	"strings"
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

// handle sends a call through an interceptor of chain, without a network.
func handle(ctx context.Context, chain *middleware.Chain, handler func(context.Context) (any, error), opts ...ServerOption) (any, error) {
	return UnaryServerInterceptor(chain, opts...)(ctx, "request", &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod},
		func(ctx context.Context, req any) (any, error) {
			if req != "request" {
				return nil, errors.New("another request")
			}
			return handler(ctx)
		})
}

func TestServerVerdicts(t *testing.T) {
	type verdict = middleware.Verdict
	canceled := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	}
	for name, row := range map[string]struct {
		err   error
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		inner middleware.Policy
		want  verdict
	}{
		"the client's mistake":      {err: status.Error(codes.InvalidArgument, "x"), want: verdict{Class: middleware.Success, Reason: "invalid_argument"}},
		"no status":                 {err: errors.New("bug"), want: verdict{Class: middleware.Failure, Reason: "unknown"}},
		"uncomparable":              {err: uncomparable{"a"}, want: verdict{Class: middleware.Failure, Reason: "unknown"}},
		"unavailable":               {err: status.Error(codes.Unavailable, "x"), want: verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"quota":                     {err: info(t, codes.ResourceExhausted, time.Second), want: verdict{Class: middleware.Throttled, After: time.Second, Reason: "resource_exhausted"}},
		"a rejection of its own":    {err: &middleware.Rejection{Reason: middleware.ErrOpen}, want: verdict{Class: middleware.Ignored, Reason: "rejected"}},
		"canceled by itself":        {err: context.Canceled, want: verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"the client has left":       {err: status.Error(codes.Internal, "x"), ctx: canceled, want: verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"the client's deadline":     {err: context.DeadlineExceeded, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 0) }, want: verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"not found, and has left":   {err: status.Error(codes.NotFound, "x"), ctx: canceled, want: verdict{Class: middleware.Success, Reason: "not_found"}},
		"success, although it left": {ctx: canceled, want: verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if row.ctx != nil {
				var cancel context.CancelFunc
				ctx, cancel = row.ctx(ctx)
				defer cancel()
			}
			var seen recorder
			response, err := handle(ctx, middleware.NewChain("test", &seen), func(context.Context) (any, error) { return "response", row.err })
			if response != "response" || row.err == nil && err != nil || row.err != nil && err.Error() != row.err.Error() || name != "uncomparable" && err != row.err {
				t.Errorf("got %v, %v, want the handler's", response, err)
			}
			if v := seen.seen(); len(v) != 1 || v[0] != row.want {
				t.Errorf("the verdict: %+v, want %+v", v, row.want)
			}
		})
	}
}

type uncomparable []string

func (uncomparable) Error() string { return "uncomparable" }

func TestServerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("test", &seen, limit(time.Second, 0))
		began := time.Now()
		response, err := handle(t.Context(), chain, func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return "late", ctx.Err()
		})
		if response != nil || time.Since(began) != time.Second || status.Code(err) != codes.DeadlineExceeded || !errors.Is(err, middleware.ErrTimeout) {
			t.Errorf("got %v, %v", response, err)
		}
		if v := seen.seen(); v[0] != (middleware.Verdict{Class: middleware.Failure, Reason: "timeout"}) {
			t.Errorf("the verdict: %+v", v)
		}
		response, err = handle(t.Context(), chain, func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return "late", nil
		})
		if response != "late" || err != nil {
			t.Errorf("late, but a success: %v, %v", response, err)
		}
	})
}

// A real client of a limited server learns the code and when to come back, and nothing of the
// policies.
func TestServerRejections(t *testing.T) {
	rate := policies.NewRateLimit(policies.RateLimitConfig{Name: "secret", Rate: 0.1, Burst: 1})
	var inner error
	outer := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		response, err := handler(ctx, req)
		inner = err
		return response, err
	}
	s := (&testServer{}).serve(t, grpc.ChainUnaryInterceptor(outer, UnaryServerInterceptor(middleware.NewChain("hidden", rate))))
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", &seen))...)
	if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{})
	st := status.Convert(err)
	if st.Code() != codes.ResourceExhausted || st.Message() != middleware.ErrRateLimited.Error() {
		t.Errorf("got %v", err)
	}
	if v := seen.seen()[1]; v.Class != middleware.Throttled || v.After <= 5*time.Second || v.After > 10*time.Second {
		t.Errorf("the client's verdict: %+v", v)
	}
	if r, ok := errors.AsType[*middleware.Rejection](inner); !ok || r.Chain != "hidden" || !strings.Contains(inner.Error(), "secret") {
		t.Errorf("an outer interceptor sees %v", inner)
	}
	if runs, _ := s.counts(); runs != 1 {
		t.Errorf("the handler ran %d times", runs)
	}
}

// A rejection that the handler returns is an error like others, and no answer of this chain.
func TestServerRejectionOfTheHandler(t *testing.T) {
	own := &middleware.Rejection{Chain: "database", Policy: "breaker", Reason: middleware.ErrOpen}
	s := (&testServer{unary: func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) { return nil, own }}).
		serve(t, grpc.ChainUnaryInterceptor(UnaryServerInterceptor(middleware.NewChain("test"))))
	_, err := s.dial(t).UnaryCall(patient(t), &pb.SimpleRequest{})
	if st := status.Convert(err); st.Code() != codes.Unknown || st.Message() != own.Error() {
		t.Errorf("got %v", err)
	}
}

func TestServerOperation(t *testing.T) {
	byTenant := WithServerKey(func(ctx context.Context, method string) string {
		return metadata.ValueFromIncomingContext(ctx, "tenant")[0] + " " + method
	})
	var seen recorder
	given := middleware.Operation{Key: "outer", Idempotent: true}
	ctx := metadata.NewIncomingContext(middleware.WithOperation(t.Context(), given), metadata.Pairs("tenant", "blue"))
	_, err := handle(ctx, middleware.NewChain("test", &seen), func(ctx context.Context) (any, error) {
		if op := middleware.OperationOf(ctx); op != given {
			t.Errorf("the handler sees %+v", op)
		}
		return nil, nil
	}, nil, byTenant)
	if want := (middleware.Operation{Name: unaryMethod, Key: "blue " + unaryMethod}); err != nil || seen.ops[0] != want {
		t.Errorf("the policies see %+v, %v", seen.ops[0], err)
	}
}

// However often the policies run it, a handler runs once.
func TestServerRunsOnce(t *testing.T) {
	n := 0
	again := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		next.Do(ctx)
		return next.Do(ctx)
	})
	_, err := handle(t.Context(), middleware.NewChain("test", again), func(context.Context) (any, error) {
		n++
		return nil, status.Error(codes.NotFound, "gone")
	})
	if n != 1 || status.Code(err) != codes.NotFound {
		t.Errorf("the handler ran %d times: %v", n, err)
	}
	recursive := middleware.NewChain("test", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		go next.Do(ctx)
		<-ctx.Done()
		return next.Do(ctx)
	}))
	ctx, cancel := context.WithCancel(patient(t))
	hold := make(chan struct{})
	defer close(hold)
	_, err = handle(ctx, recursive, func(context.Context) (any, error) {
		cancel()
		<-hold
		return nil, nil
	})
	if err == nil || err.Error() != errHandlerBegun.Error() {
		t.Errorf("beside itself: %v", err)
	}
}

func TestServerWithoutHandler(t *testing.T) {
	for _, answer := range []error{nil, errors.New("invented")} {
		quiet := middleware.PolicyFunc(func(context.Context, middleware.Next) error { return answer })
		response, err := handle(t.Context(), middleware.NewChain("quiet", quiet), func(context.Context) (any, error) { return "response", nil })
		if response != nil || err == nil || answer == nil && status.Code(err) != codes.Internal || answer != nil && err != answer {
			t.Errorf("got %v, %v", response, err)
		}
	}
}

// A panic passes through, and leaves nothing held.
func TestServerPanic(t *testing.T) {
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	for range 2 {
		func() {
			defer func() {
				if recover() != "bug" {
					t.Error("no panic")
				}
			}()
			handle(t.Context(), middleware.NewChain("test", bulkhead), func(context.Context) (any, error) { panic("bug") })
		}()
	}
	if response, err := handle(t.Context(), nil, func(context.Context) (any, error) { return "response", nil }); response != "response" || err != nil {
		t.Errorf("without a chain: %v, %v", response, err)
	}
}
