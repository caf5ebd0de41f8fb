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
	if i.take(hang).kind == hang {
		_, _ = io.Copy(io.Discard, client)
		return
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", i.upstream)
	if err != nil || !i.track(server) {
		return
	}
	defer i.untrack(server)

	var both sync.WaitGroup
	both.Go(func() { forward(server, i.fused(client, cutRequest), client) })
	both.Go(func() { forward(client, i.fused(server, cutAnswer), server) })
	both.Wait()
}

// fused returns what comes from a connection, up to the byte at which the fault of
// that direction strikes.
func (i *Injector) fused(from net.Conn, direction kind) io.Reader {
	fault := i.current()
	if fault.kind != direction {
		return from
	}
	return &fuse{source: from, left: fault.bytes, strikes: func() bool { return i.take(direction).kind == direction }}
}

var errCut = errors.New("cut")

// forward copies one direction. At its end it tells the reader, and it ends both
// directions when the fault of that direction has struck.
func forward(to net.Conn, source io.Reader, from net.Conn) {
	_, err := io.Copy(to, source)
	if err == nil {
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
			return
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// A fuse gives errCut instead of what follows the first bytes, if the fault
// strikes. Only then is it one of the times that it strikes: of connections that
// carry a request together, it may not be the first that gets so far.
type fuse struct {
	source  io.Reader
	left    int64
	strikes func() bool
	passed  bool
}

func (f *fuse) Read(p []byte) (int, error) {
	n, err := f.source.Read(p)
	if f.passed {
		return n, err
	}
	if int64(n) > f.left {
		if f.strikes() {
			return int(f.left), errCut
		}
		f.passed = true
	}
	f.left -= int64(n)
	return n, err
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
