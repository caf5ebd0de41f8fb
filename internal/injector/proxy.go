package injector

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// accept serves the connections of one listener.
func (i *Injector) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		i.group.Go(func() { i.serve(client) })
	}
}

// serve carries one connection to its end.
func (i *Injector) serve(client net.Conn) {
	if !i.track(client) {
		return
	}
	defer i.untrack(client)
	fault, replaced := i.current()
	switch fault.kind {
	case hang:
		if i.take(hang).kind == hang {
			_, _ = io.Copy(io.Discard, client)
			return
		}
	case slowDown:
		if i.take(slowDown).kind == slowDown {
			answerSlowDown(client)
			return
		}
	default:
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", i.upstream)
	if err != nil || !i.track(server) {
		return
	}
	defer i.untrack(server)

	var request, answer io.Reader = client, server
	switch fault.kind {
	case cutRequest:
		request = &fuse{source: client, left: fault.bytes, strikes: i.strikes(cutRequest), err: errCut}
	case cutAnswer:
		answer = &fuse{source: server, left: fault.bytes, strikes: i.strikes(cutAnswer), err: errCut}
	case reset:
		answer = &fuse{source: server, left: fault.bytes, strikes: i.strikes(reset), err: errReset}
	case late:
		turn := &turn{by: fault.after, replaced: replaced}
		request, answer = turn.asks(client), turn.answers(server)
	case slow:
		request = &throttle{source: client, rate: fault.bytes, replaced: replaced}
		answer = &throttle{source: server, rate: fault.bytes, replaced: replaced}
	default:
	}
	var both sync.WaitGroup
	both.Go(func() { forward(server, request, client) })
	both.Go(func() { forward(client, answer, server) })
	both.Wait()
}

// strikes returns what tells a fuse whether the fault, of this kind, strikes.
func (i *Injector) strikes(k kind) func() bool {
	return func() bool { return i.take(k).kind == k }
}

var (
	errCut   = errors.New("cut")
	errReset = errors.New("reset")
)

// forward copies one direction. At its end it tells the reader, and it ends both
// directions when the fault of that direction has struck.
func forward(to net.Conn, source io.Reader, from net.Conn) {
	_, err := io.Copy(to, source)
	tcp, ok := to.(*net.TCPConn)
	switch {
	case ok && err == nil:
		_ = tcp.CloseWrite()
		return
	case ok && errors.Is(err, errReset):
		_ = tcp.SetLinger(0)
	}
	_ = to.Close()
	_ = from.Close()
}

// track notes an open connection, or closes it when the injector is closed.
func (i *Injector) track(c net.Conn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || i.listener == nil {
		_ = c.Close()
		return false
	}
	i.open[c] = struct{}{}
	return true
}

func (i *Injector) untrack(c net.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_ = c.Close()
	delete(i.open, c)
}
