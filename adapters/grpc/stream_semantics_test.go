package grpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A silent stream takes anything and has headers and no message.
type silent struct {
	grpc.ClientStream

	sent []any
}

func (s *silent) SendMsg(m any) error          { s.sent = append(s.sent, m); return nil }
func (s *silent) CloseSend() error             { return nil }
func (s *silent) Header() (metadata.MD, error) { return metadata.MD{}, nil }
func (s *silent) RecvMsg(any) error            { return io.EOF }

// Who reads a server stream before its request has been sent waits for that, or for the end of
// the context.
func TestServerStreamReadFirst(t *testing.T) {
	for name, gone := range map[string]bool{"sent": false, "given up": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var inner silent
				ctx, cancel := context.WithCancel(patient(t))
				defer cancel()
				stream, err := StreamClientInterceptor(middleware.NewChain("test"))(ctx, &grpc.StreamDesc{ServerStreams: true}, nil, "/"+serverMethod,
					func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
						return &inner, ctx.Err()
					})
				if err != nil {
					t.Fatal(err)
				}
				read := make(chan error, 1)
				go func() { read <- stream.RecvMsg(&pb.StreamingOutputCallResponse{}) }()
				synctest.Wait()
				if gone {
					cancel()
					if err := await(t, "the read", read); !errors.Is(err, context.Canceled) || len(inner.sent) != 0 {
						t.Errorf("got %v, sent %v", err, inner.sent)
					}
					return
				}
				if err := stream.SendMsg(&pb.StreamingOutputCallRequest{}); err != nil {
					t.Errorf("sending: %v", err)
				}
				if err := await(t, "the read", read); err != io.EOF || len(inner.sent) != 1 {
					t.Errorf("got %v, sent %v", err, inner.sent)
				}
			})
		})
	}
}

// What goes wrong on the goroutine of the policies comes to who reads.
func TestStreamHeadersGoWrong(t *testing.T) {
	for name, header := range map[string]func() (metadata.MD, error){
		"panic":                     func() (metadata.MD, error) { panic("bug") },
		"a message without headers": func() (metadata.MD, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			var seen recorder
			ended := make(chan struct{})
			stream, err := StreamClientInterceptor(middleware.NewChain("test", &seen))(patient(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, nil, "/"+bidiMethod,
				func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
					context.AfterFunc(ctx, func() { close(ended) })
					return &wrong{header: header}, nil
				})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if value := recover(); (value == "bug") != (name == "panic") {
					t.Errorf("panicked with %v", value)
				}
				if await(t, "the end of the context", ended); seen.holds() != 0 {
					t.Errorf("the policies hold %d", seen.holds())
				}
			}()
			if err := stream.RecvMsg(&pb.StreamingOutputCallResponse{}); err != errNoHeaders {
				t.Errorf("got %v", err)
			}
		})
	}
}

type wrong struct {
	grpc.ClientStream

	header func() (metadata.MD, error)
}

func (w *wrong) Header() (metadata.MD, error) { return w.header() }
func (w *wrong) RecvMsg(any) error            { return nil }

// A request that cannot be sent fails where the caller sends it.
func TestServerStreamRequestTooLarge(t *testing.T) {
	s := (&testServer{}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", retry(3), &seen), everyMethod)...)
	finished := make(chan error, 2)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{Payload: payload(100)},
		grpc.MaxCallSendMsgSize(10), grpc.OnFinish(func(err error) { finished <- err }))
	if stream != nil || status.Code(err) != codes.ResourceExhausted || await(t, "grpc.OnFinish", finished) != err || len(finished) != 0 {
		t.Errorf("got %v, %v", stream, err)
	}
	want := []middleware.Verdict{{Class: middleware.Ignored, Reason: "too_large"}}
	if v := seen.seen(); !slices.Equal(v, want) || seen.holds() != 0 {
		t.Errorf("the verdicts: %+v, held %d", v, seen.holds())
	}
}

// After its end a stream has no context that lives on, and closing it is no error.
func TestStreamAfterItsEnd(t *testing.T) {
	down := status.Error(codes.DataLoss, "lost")
	s := (&testServer{
		duplex: func(duplexServer) error { return down },
		output: func(*pb.StreamingOutputCallRequest, outputServer) error { return down },
	}).serve(t)
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	client := s.dial(t, DialOptions(middleware.NewChain("test", breaker))...)
	bidi, err := client.FullDuplexCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bidi.Recv(); status.Code(err) != codes.DataLoss || bidi.Context().Err() == nil {
		t.Errorf("got %v, the context ended with %v", err, bidi.Context().Err())
	}
	breaker.ForceOpen()
	refused, err := client.(*dialed).conn.NewStream(patient(t), &grpc.StreamDesc{ServerStreams: true}, "/"+serverMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := refused.SendMsg(&pb.StreamingOutputCallRequest{}); !errors.Is(err, middleware.ErrOpen) || refused.CloseSend() != nil {
		t.Errorf("sending: %v, closing: %v", err, refused.CloseSend())
	}
}

// The request is kept no longer than it may be sent again.
func TestServerStreamLetsGoOfTheRequest(t *testing.T) {
	s := (&testServer{}).serve(t)
	client := s.dial(t, DialOptions(middleware.NewChain("test"))...)
	opened, err := client.(*dialed).conn.NewStream(patient(t), &grpc.StreamDesc{ServerStreams: true}, "/"+serverMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.SendMsg(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = opened.RecvMsg(&pb.StreamingOutputCallResponse{})
	}
	if err != io.EOF || opened.(*stream).request != nil {
		t.Errorf("got %v, kept %v", err, opened.(*stream).request)
	}
}

// An interceptor further in may end a stream that grpc-go goes on with, and writes to the
// options of when the context ends.
func TestStreamEndedByAnInterceptor(t *testing.T) {
	s := (&testServer{output: func(_ *pb.StreamingOutputCallRequest, stream outputServer) error {
		stream.Send(numbered(1))
		<-stream.Context().Done()
		return nil
	}}).serve(t)
	var seen recorder
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", &seen)), grpc.WithChainStreamInterceptor(
		func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if _, err := streamer(ctx, desc, cc, method, append(slices.Clip(opts), grpc.PerRPCCredentials(noToken{}))...); err == nil {
				t.Error("the first one is a stream")
			}
			stream, err := streamer(ctx, desc, cc, method, opts...)
			return invalid{stream}, err
		}))...)
	for range 100 { // under the race detector
		var header, trailer metadata.MD
		finished := make(chan error, 2)
		stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{}, grpc.Header(&header), grpc.Trailer(&trailer),
			grpc.OnFinish(func(err error) { finished <- err }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != errInvalid || await(t, "grpc.OnFinish", finished) != err || seen.holds() != 0 {
			t.Errorf("got %v, held %d", err, seen.holds())
		}
		await(t, "the end of the context", stream.Context().Done())
		if len(finished) != 0 {
			t.Error("the caller was told twice")
		}
	}
}

var errInvalid = errors.New("the message is not valid")

// An invalid stream has no message that is valid.
type invalid struct{ grpc.ClientStream }

func (i invalid) RecvMsg(m any) error {
	if err := i.ClientStream.RecvMsg(m); err != nil {
		return err
	}
	return errInvalid
}

// What an interceptor further in sent, whatever else it opened in vain with the options, is not
// sent again.
func TestStreamSentByAnInterceptor(t *testing.T) {
	s := (&testServer{output: func(*pb.StreamingOutputCallRequest, outputServer) error {
		return status.Error(codes.Unavailable, "down")
	}}).serve(t)
	client := s.dial(t, append(DialOptions(middleware.NewChain("test", retry(3))), grpc.WithChainStreamInterceptor(
		func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			stream, err := streamer(ctx, desc, cc, method)
			return &late{stream, func() error {
				_, err := streamer(ctx, desc, cc, method, append(slices.Clip(opts), grpc.PerRPCCredentials(noToken{}))...)
				return err
			}}, err
		}))...)
	stream, err := client.StreamingOutputCall(patient(t), &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if runs, _ := s.counts(); runs != 1 {
		t.Errorf("the handler ran %d times", runs)
	}
}

// A late stream opens another one when it is sent on.
type late struct {
	grpc.ClientStream

	open func() error
}

func (l *late) SendMsg(m any) error {
	if err := l.open(); err == nil {
		return errors.New("the other one is a stream")
	}
	return l.ClientStream.SendMsg(m)
}

// What embeds a message, for a codec that knows it, comes to the codec as it is.
type (
	embeddedRequest struct{ *pb.StreamingOutputCallRequest }
	embeddedReply   struct{ *pb.SimpleResponse }
)

type embeddedCodec struct{ codecs map[string]int }

func (embeddedCodec) Name() string { return "proto" }

func (c embeddedCodec) Marshal(v any) ([]byte, error) {
	if _, ok := v.(*embeddedRequest); ok {
		c.codecs["marshal"]++
	}
	return proto.Marshal(v.(proto.Message))
}

func (c embeddedCodec) Unmarshal(data []byte, v any) error {
	if _, ok := v.(*embeddedReply); ok {
		c.codecs["unmarshal"]++
	}
	return proto.Unmarshal(data, v.(proto.Message))
}

func TestEmbeddedMessages(t *testing.T) {
	s := (&testServer{}).serve(t)
	var seen recorder
	client := s.dial(t, DialOptions(middleware.NewChain("test", &seen), everyMethod)...)
	codec := embeddedCodec{map[string]int{}}
	reply := &embeddedReply{&pb.SimpleResponse{}}
	if err := invoke(t, client, &pb.SimpleRequest{}, reply, grpc.ForceCodec(codec)); err != nil || reply.GetUsername() != "ann" || codec.codecs["unmarshal"] != 1 {
		t.Errorf("got %v, %v, decoded %d times", reply, err, codec.codecs["unmarshal"])
	}
	if seen.ops[0].Idempotent {
		t.Error("a hedge may run beside itself what has one reply")
	}
	stream, err := client.(*dialed).conn.NewStream(patient(t), &grpc.StreamDesc{ServerStreams: true}, "/"+serverMethod, grpc.ForceCodec(codec))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&embeddedRequest{&pb.StreamingOutputCallRequest{}}); err != nil || codec.codecs["marshal"] != 1 {
		t.Errorf("sending: %v, encoded %d times", err, codec.codecs["marshal"])
	}
	for err == nil {
		err = stream.RecvMsg(&pb.StreamingOutputCallResponse{})
	}
	if err != io.EOF {
		t.Errorf("got %v", err)
	}
}
