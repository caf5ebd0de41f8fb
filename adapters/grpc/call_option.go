package grpc

import (
	"maps"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// callOptions are the options of the caller. Those that write to something of the caller's,
// or call it, are not for the attempts: of these there may be several, and at the same time.
type callOptions struct {
	shared   []grpc.CallOption
	headers  []*metadata.MD
	trailers []*metadata.MD
	peers    []*peer.Peer
	onFinish []func(error)
}

func splitCallOptions(opts []grpc.CallOption) callOptions {
	var o callOptions
	for _, opt := range opts {
		switch opt := opt.(type) {
		case grpc.HeaderCallOption:
			o.headers = append(o.headers, opt.HeaderAddr)
		case grpc.TrailerCallOption:
			o.trailers = append(o.trailers, opt.TrailerAddr)
		case grpc.PeerCallOption:
			o.peers = append(o.peers, opt.PeerAddr)
		case grpc.OnFinishCallOption:
			o.onFinish = append(o.onFinish, opt.OnFinish)
		default:
			o.shared = append(o.shared, opt)
		}
	}
	return o
}

// report gives the caller what it asked for, of the attempt that it gets, and tells it that
// the call has ended. a is nil if nothing is known of one.
func (o *callOptions) report(a *evidence, err error) {
	if a != nil && a.streamed() {
		for _, header := range o.headers {
			*header = maps.Clone(a.header)
		}
		for _, trailer := range o.trailers {
			*trailer = maps.Clone(a.trailer)
		}
		for _, p := range o.peers {
			*p = a.peer
		}
	}
	for _, f := range o.onFinish {
		f(err)
	}
}

// evidence is what grpc-go says of an attempt in the options that it is given for it.
type evidence struct {
	header   metadata.MD
	trailer  metadata.MD
	peer     peer.Peer
	finished bool // grpc-go knows the options, and has no more to say
}

// untouched returns what stands in evidence.trailer until grpc-go writes there, which it does
// when an attempt ends that had a stream on a connection, and only then. It is new each time:
// interceptors further in may write into it.
func untouched() metadata.MD { return metadata.MD{untouchedKey: nil} }

const untouchedKey = ":untouched"

// options returns the options of an attempt, which has this evidence. finish is called when
// grpc-go has written it.
func (o *callOptions) options(e *evidence, finish func(error)) []grpc.CallOption {
	e.trailer = untouched()
	opts := make([]grpc.CallOption, len(o.shared), len(o.shared)+4)
	copy(opts, o.shared)
	opts = append(opts, grpc.Header(&e.header), grpc.Trailer(&e.trailer), grpc.OnFinish(finish))
	if len(o.peers) > 0 {
		opts = append(opts, grpc.Peer(&e.peer))
	}
	return opts
}

// streamed reports whether the attempt is known to have had a stream.
func (e *evidence) streamed() bool {
	_, is := e.trailer[untouchedKey]
	return !is
}

// neverSent reports whether the attempt is known to have had none.
func (e *evidence) neverSent() bool { return e.finished && !e.streamed() }

// answer returns the metadata of the answer.
func (e *evidence) answer() (header, trailer metadata.MD) {
	if !e.streamed() {
		return nil, nil
	}
	return e.header, e.trailer
}
