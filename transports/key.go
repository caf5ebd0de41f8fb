package transports

import (
	"net"
	"net/url"
	"strings"
	"sync/atomic"
)

// A keyCache remembers the key of the server that was asked last, which most
// transports ask again.
type keyCache struct{ last atomic.Pointer[cachedKey] }

type cachedKey struct{ scheme, host, key string }

func (c *keyCache) keyOf(u *url.URL) string {
	if k := c.last.Load(); k != nil && k.scheme == u.Scheme && k.host == u.Host {
		return k.key
	}
	k := &cachedKey{u.Scheme, u.Host, keyOf(u)}
	c.last.Store(k)
	return k.key
}

// keyOf names the server behind u: scheme, host and port, without credentials,
// path and query.
func keyOf(u *url.URL) string {
	name, zone, zoned := strings.Cut(u.Hostname(), "%") // the zone of an IPv6 address is an interface's name
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(name), u.Port()
	if zoned {
		host += "%" + zone
	}
	switch {
	case port != "":
	case scheme == "http":
		port = "80"
	case scheme == "https":
		port = "443"
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}
