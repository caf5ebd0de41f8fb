package gogit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/net/proxy"
)

// scheme names the dialer of this package to golang.org/x/net/proxy. go-git
// passes nothing of a call to its SSH dial but the URL of a proxy.
const scheme = "tidegate-dial"

// dials are the running calls, by the host of their URL. They have to be found
// from the name alone, which is why they are in a variable of the package.
var (
	dials  sync.Map // of string to *dial
	dialID atomic.Uint64
)

// The registry of x/net/proxy has no lock: it is written before main begins.
func init() { //nolint:gochecknoinits // see above
	proxy.RegisterDialerType(scheme, func(u *url.URL, _ proxy.Dialer) (proxy.Dialer, error) {
		d, ok := dials.Load(u.Host)
		if !ok {
			return nil, errors.New("gogit: the call that these proxy options were made for has ended")
		}
		return d.(*dial), nil
	})
}

// DialWith returns proxy options with which go-git's SSH connections end as soon
// as ctx does, and when they have been silent for [DefaultStall]. own are the
// options that would be used otherwise: a proxy that they name is used. Call end
// when the call of go-git has returned.
//
// They are for functions given to [Client.Do]. Other methods of Client do this by
// themselves. They must not be given to calls over other protocols.
func DialWith(ctx context.Context, own transport.ProxyOptions) (options transport.ProxyOptions, end func()) {
	return dialWith(ctx, own, DefaultStall)
}

func dialWith(ctx context.Context, own transport.ProxyOptions, stall time.Duration) (options transport.ProxyOptions, end func()) {
	id := strconv.FormatUint(dialID.Add(1), 10)
	ctx, cancel := context.WithCancel(ctx)
	dials.Store(id, &dial{ctx: ctx, own: own, stall: stall})
	return transport.ProxyOptions{URL: scheme + "://" + id}, func() {
		dials.Delete(id)
		cancel() // and with it what go-git has left open
	}
}

// A dial makes the SSH connections of one call.
type dial struct {
	ctx   context.Context
	own   transport.ProxyOptions
	stall time.Duration // 0 or less: for ever
}

// Dial implements [proxy.Dialer].
func (d *dial) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(d.ctx, network, address)
}

// DialContext implements [proxy.ContextDialer]. given is go-git's own context,
// which has the limit of ssh.ClientConfig.Timeout.
func (d *dial) DialContext(given context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	defer context.AfterFunc(given, cancel)()
	if d.stall > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, d.stall)
		defer stop()
	}
	c, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, settle(d.ctx, err)
	}
	conn := &sshConn{Conn: c, stall: d.stall}
	conn.unwatch = context.AfterFunc(d.ctx, func() { _ = c.Close() })
	return conn, nil
}

func (d *dial) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if d.own.URL == "" {
		return proxy.Dial(ctx, network, address) // as go-git does
	}
	u, err := d.own.FullURL()
	if err != nil {
		return nil, errors.New("gogit: the URL of the proxy is malformed")
	}
	dialer, err := proxy.FromURL(u, proxy.Direct)
	if err != nil {
		return nil, err
	}
	through, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("gogit: the dialer for the proxy scheme %q takes no context", u.Scheme)
	}
	return through.DialContext(ctx, network, address)
}

// An sshConn is closed with its call, and when it is silent for too long.
type sshConn struct {
	net.Conn

	stall   time.Duration
	unwatch func() bool
}

// Read gives up when nothing comes for the time of stall, or is sent.
func (c *sshConn) Read(b []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write counts as a sign of life: a long push has little to read.
func (c *sshConn) Write(b []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *sshConn) extend() error {
	if c.stall <= 0 {
		return nil
	}
	return c.SetDeadline(time.Now().Add(c.stall))
}

// Close implements [net.Conn].
func (c *sshConn) Close() error {
	c.unwatch()
	return c.Conn.Close()
}
