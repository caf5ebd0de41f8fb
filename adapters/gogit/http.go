package gogit

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// NewHTTP returns go-git's HTTP transport with each request going through chain
// and then base, of which a nil one is a copy of http.DefaultTransport. It is for
// [Install], or for sessions made by hand.
//
// Git's reads may be repeated, the POST of a fetch or clone included; the POST of
// a push may not. A pack that is cut while it is read is not repeated here: a
// [Client] does that. A 403 that names a rate limit counts as a 429. opts come
// after these settings.
//
// TLS and proxy settings belong to base. go-git cannot apply those of its options
// (CABundle, ClientCert, ClientKey, InsecureSkipTLS, ProxyOptions) to a transport
// that is wrapped: a call that has them is refused with an error.
func NewHTTP(base *http.Transport, chain *middleware.Chain, opts ...transports.Option) transport.Transport {
	if base == nil {
		base = http.DefaultTransport.(*http.Transport).Clone()
	}
	opts = append([]transports.Option{
		transports.WithKey(func(r *http.Request) string { return keyOf(r.URL) }),
		transports.WithClassifier(transports.Rules{ForbiddenIsThrottled: true}.Classify),
	}, opts...)
	wrapped := &requests{base: base, policies: transports.New(base, chain, opts...)}
	return strict{githttp.NewClient(&http.Client{Transport: wrapped})}
}

var installed atomic.Bool

// Install makes t go-git's transport for http and https, in the whole process.
// go-git keeps it in a map without a lock: call Install before any use of go-git.
//
//	err := gogit.Install(gogit.NewHTTP(nil, chain))
//
// A second call is an error, so that no part of a program takes away the policies
// of another.
func Install(t transport.Transport) error {
	if t == nil {
		return usage("install", errors.New("the transport is nil"))
	}
	if !installed.CompareAndSwap(false, true) {
		return usage("install", errors.New("a transport has been installed: make one for all that the program does"))
	}
	client.InstallProtocol("http", t)
	client.InstallProtocol("https", t)
	return nil
}

// requests is the http.RoundTripper under go-git.
type requests struct {
	base     *http.Transport
	policies *transports.Transport
}

// maxPage is how many bytes of the page of an error go-git gets. It would read
// one without end.
const maxPage = 64 << 10

// RoundTrip implements [http.RoundTripper].
func (t *requests) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.roundTrip(r)
	if err == nil && (response.StatusCode < 200 || response.StatusCode > 299) {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxPage), response.Body}
	}
	return response, err
}

func (t *requests) roundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if isInside(ctx) {
		return t.base.RoundTrip(r)
	}
	op := middleware.OperationOf(ctx)
	if op.Name == "" {
		op.Name = "info/refs"
	}
	switch {
	case isPush(r):
		op.Name = transport.ReceivePackServiceName
		ctx = transports.Idempotent(ctx, false)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/"+transport.UploadPackServiceName):
		op.Name = transport.UploadPackServiceName
		ctx = transports.Idempotent(ctx, true)
	}
	return t.policies.RoundTrip(r.WithContext(middleware.WithOperation(ctx, op)))
}

// CloseIdleConnections closes the idle connections of the base.
func (t *requests) CloseIdleConnections() { t.base.CloseIdleConnections() }

func isPush(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL != nil && strings.HasSuffix(r.URL.Path, "/"+transport.ReceivePackServiceName)
}

// strict refuses what go-git would refuse with a word about types, or panic at.
type strict struct{ transport.Transport }

var errOptions = errors.New("CABundle, ClientCert, ClientKey, InsecureSkipTLS and ProxyOptions have no effect on the transport of NewHTTP: set them in the *http.Transport that it is given")

func (s strict) NewUploadPackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.UploadPackSession, error) {
	if configured(ep) {
		return nil, usage("http", errOptions)
	}
	return s.Transport.NewUploadPackSession(ep, auth)
}

func (s strict) NewReceivePackSession(ep *transport.Endpoint, auth transport.AuthMethod) (transport.ReceivePackSession, error) {
	if configured(ep) {
		return nil, usage("http", errOptions)
	}
	return s.Transport.NewReceivePackSession(ep, auth)
}

func configured(ep *transport.Endpoint) bool {
	return len(ep.ClientCert) > 0 || len(ep.ClientKey) > 0 || len(ep.CaBundle) > 0 || ep.InsecureSkipTLS || ep.Proxy.URL != ""
}
