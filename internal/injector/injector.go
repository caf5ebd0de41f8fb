// Package injector breaks the way between a client and a server on purpose. It
// stands in front of the server twice: as a TCP proxy, for faults of connections,
// and as a handler, for answers that a proxy cannot give inside TLS.
package injector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// An Injector is the proxy of one server. It is safe for concurrent use.
type Injector struct {
	upstream string
	addr     string
	group    sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	fault    Fault
	left     int
	until    time.Time     // the end of the fault; zero: none
	replaced chan struct{} // closed when another fault is set
	open     map[net.Conn]struct{}
	closed   bool
}

// New returns an injector without a server and without a fault. It forwards
// nothing before Start.
func New() *Injector {
	return &Injector{open: map[net.Conn]struct{}{}, replaced: make(chan struct{})}
}

// Start forwards connections to the server at the address upstream.
func (i *Injector) Start(upstream string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.upstream, i.addr = upstream, "127.0.0.1:0"
	if err := i.listen(); err != nil {
		return err
	}
	i.addr = i.listener.Addr().String()
	return nil
}

// Addr returns the host and the port that clients use.
func (i *Injector) Addr() string { return i.addr }

// Set replaces the fault. It cuts the open connections, so that none escapes the
// new one.
func (i *Injector) Set(f Fault) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return errors.New("injector: closed")
	}
	i.fault, i.left, i.until = f, f.times, time.Time{}
	if f.span > 0 {
		i.until = time.Now().Add(f.span)
	}
	i.cut()
	if f.kind == refuse {
		i.mute()
		return nil
	}
	return i.listen()
}

// Open returns how many connections there are, to clients and to the server.
func (i *Injector) Open() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.open)
}

// Close refuses connections for good, cuts the open ones and waits for the end of
// every goroutine.
func (i *Injector) Close() {
	i.mu.Lock()
	i.closed = true
	i.mute()
	i.cut()
	i.mu.Unlock()
	i.group.Wait()
}

// take returns the fault for one more connection or request, if it is of one of
// the kinds.
func (i *Injector) take(kinds ...kind) Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range kinds {
		if i.fault.kind != k || i.over() {
			continue
		}
		if i.fault.times > 0 {
			if i.left == 0 {
				return Fault{}
			}
			i.left--
		}
		return i.fault
	}
	return Fault{}
}

// current returns the fault that is set, and what is closed when it no longer is.
func (i *Injector) current() (Fault, <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over() {
		return Fault{}, i.replaced
	}
	return i.fault, i.replaced
}

// over reports whether the fault has ended by itself. The lock is held.
func (i *Injector) over() bool { return !i.until.IsZero() && !time.Now().Before(i.until) }

// listen opens the port unless it is open. The lock is held.
func (i *Injector) listen() error {
	if i.listener != nil {
		return nil
	}
	var listen net.ListenConfig
	var err error
	// While the port was closed another program may have got it for a moment.
	for deadline := time.Now().Add(5 * time.Second); ; {
		var listener net.Listener
		if listener, err = listen.Listen(context.Background(), "tcp", i.addr); err == nil {
			i.listener = listener
			i.group.Go(func() { i.accept(listener) })
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("injector: %w", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// mute closes the port. The lock is held.
func (i *Injector) mute() {
	if i.listener != nil {
		_ = i.listener.Close()
		i.listener = nil
	}
}

// cut closes every connection, and ends every wait. The lock is held.
func (i *Injector) cut() {
	close(i.replaced)
	i.replaced = make(chan struct{})
	for c := range i.open {
		_ = c.Close()
	}
	clear(i.open)
}
