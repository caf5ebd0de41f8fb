package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// Wrap returns a copy of config whose requests pass chain. Everything that client-go makes
// from it has the policies: typed, dynamic and metadata clients, informers, and clients over
// an http.Client of [rest.HTTPClientFor], as controller-runtime makes them. Authentication,
// certificates that are read again and exec plugins stay client-go's; they stand further
// out, so a request that the chain repeats has the token of its first attempt. A config that
// is wrapped twice in one chain has it once.
//
// The context of a request names the operation for spans, "list pods" for instance, unless
// the caller's context has a name. policies.Keyed goes by the server, the API group and the
// class of the verb, read, write or watch ("https://10.0.0.1:443/apis/apps read"), so that
// one aggregated API that fails holds nothing else back.
//
// A long-running request is over for the policies when the headers of its answer have
// come: a watch, a log that is followed, exec, attach, port-forward, proxy, and any
// upgrade. The chain neither repeats nor hedges it, no time limit of the chain cuts it, and
// it takes no place in a bulkhead. A watch counts once, as it begins: what the server says
// in it later, 410 Gone for instance, counts nowhere.
//
// config.Timeout would have client-go cut watches too. The copy has none; the transport
// ends other requests by it, and long-running ones that have no headers until then.
// Policies take it for the caller's own deadline, which counts against nobody: a
// policies.Timeout in the chain is what has a server that hangs count.
//
// A rejection by the chain is an error that client-go neither repeats nor hides, and in
// which errors.Is and errors.As find the [*middleware.Rejection], but of exec, attach and
// port-forward over SPDY, whose errors client-go keeps the text of. An informer whose watch
// a policy refuses keeps its objects and its place: to client-go that is a 429, after which
// it opens the watch again, where any other error has it read all objects anew.
//
// Leave config.QPS to client-go's own limiter, set it to -1 when the chain has a rate
// limit, or use [RateLimiter]; two limiters make the slower one of both. Leader election
// and health checks need [Exempt]. Wrap panics if config is nil.
func Wrap(config *rest.Config, chain *middleware.Chain, opts ...Option) *rest.Config {
	if config == nil {
		panic("kubernetes: Wrap: the config is nil")
	}
	wrapped := rest.CopyConfig(config)
	t := transport{chain: chain, options: optionsOf(opts), timeout: wrapped.Timeout}
	wrapped.Timeout = 0
	if u, _, err := rest.DefaultServerUrlFor(config); err == nil { // client-go reports an error, for each client
		t.server, t.prefix = serverOf(u), u.Path
	}
	wrapped.Wrap(t.around)
	return wrapped
}

// A transport does for client-go what transports.Transport does for everybody, and what
// client-go needs besides.
type transport struct {
	inner   *transports.Transport
	chain   *middleware.Chain
	server  string        // "https://10.0.0.1:443"
	prefix  string        // of the paths
	timeout time.Duration // of a request, or of the opening of a long-running one; 0: none
	exempt  bool
	options
}

func (t transport) around(base http.RoundTripper) http.RoundTripper {
	t.exempt = isExempt(base)
	rules := transports.Rules{RepeatThrottled: true, IgnoreCertificates: t.ignoreCertificates}
	t.inner = transports.New(base, t.chain,
		transports.WithKey(func(req *http.Request) string { return t.exchangeOf(req).key(t.server) }),
		transports.WithRepeatable(func(req *http.Request) bool { return t.exchangeOf(req).mayRepeat(req) }),
		transports.WithLongRunning(func(req *http.Request) bool { return t.exchangeOf(req).long }),
		transports.WithClassifier(func(req *http.Request, resp *http.Response, err error) middleware.Verdict {
			return t.exchangeOf(req).judge(rules, req, resp, err)
		}))
	return &t
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x := &exchange{Context: req.Context(), apiRequest: parse(req, t.prefix), chain: t.chain, attempt: attemptOf(req.Context())}
	x.repeats = t.retries && !x.long && x.attempt == nil
	if t.timeout > 0 {
		x.limit(t.timeout)
	}
	var ctx context.Context = x
	if op := middleware.OperationOf(ctx); op.Name == "" || x.attempt != nil {
		ctx = middleware.WithOperation(ctx, middleware.Operation{Name: x.operation()})
	}
	outer, _ := req.Context().Value(exchangeKey{}).(*exchange)
	if t.exempt || x.attempt.passed(t.chain) || outer != nil && outer.chain == t.chain {
		ctx = transports.SkipPolicies(ctx)
	}
	ctx, failed := x.attempt.sends(ctx, x.apiRequest)
	answered := false
	defer func() {
		if !answered { // also after a panic
			x.end()
		}
	}()
	resp, err := t.inner.RoundTrip(req.WithContext(ctx))
	if err != nil {
		failed()
		return nil, x.settle(err)
	}
	answered = true
	if x.opening != nil {
		x.opening.Stop() // if that is too late, the first read says so
	}
	x.settleAnswer(resp)
	t.watchBody(x, resp)
	return resp, nil
}

// CloseIdleConnections closes the idle connections of the base transport, if it can.
func (t *transport) CloseIdleConnections() { utilnet.CloseIdleConnectionsFor(t.inner.Unwrap()) }

// WrappedRoundTripper returns the next transport, in which Kubernetes looks for the dialer
// and the TLS settings.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.inner }

// exchangeOf returns the exchange that a request belongs to.
func (t *transport) exchangeOf(req *http.Request) *exchange {
	if x, ok := req.Context().Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{Context: req.Context(), apiRequest: parse(req, t.prefix)} // of a policy that gave a context of its own
}

// watchBody sees to it that the end of the answer is noticed, if anything waits for it.
func (t *transport) watchBody(x *exchange, resp *http.Response) {
	counts := t.open != nil && x.long && resp.StatusCode == http.StatusOK
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		x.end()
		return
	case counts:
		t.open.Add(1)
	case x.cancel == nil:
		return
	}
	resp.Body = &answer{ReadCloser: resp.Body, end: sync.OnceFunc(func() {
		x.end()
		if counts {
			t.open.Add(-1)
		}
	})}
}

type exchangeKey struct{}

// An exchange is one request of client-go. It is also its context.
type exchange struct {
	context.Context
	apiRequest

	chain   *middleware.Chain
	attempt *attempt    // of [Do], or nil
	repeats bool        // the chain may repeat it
	judged  atomic.Bool // an attempt passed the chain
	cancel  context.CancelFunc
	opening *time.Timer // of a long-running request
}

// errSlow is the end of a long-running request that has not begun in time.
var errSlow = fmt.Errorf("the answer did not begin within the Timeout of the config: %w", context.DeadlineExceeded)

// Value implements [context.Context].
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// limit has the request end after d, or, if it is long-running, unless its headers have come.
func (x *exchange) limit(d time.Duration) {
	if !x.long {
		x.Context, x.cancel = context.WithTimeout(x.Context, d)
		return
	}
	ctx, cancel := context.WithCancelCause(x.Context)
	x.Context, x.cancel = ctx, func() { cancel(nil) }
	x.opening = time.AfterFunc(d, func() { cancel(errSlow) })
}

func (x *exchange) end() {
	if x.opening != nil {
		x.opening.Stop()
	}
	if x.cancel != nil {
		x.cancel()
	}
}

// judge is what an attempt means.
func (x *exchange) judge(rules transports.Rules, req *http.Request, resp *http.Response, err error) middleware.Verdict {
	x.judged.Store(true)
	if failure, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok {
		return ofUpgrade(failure)
	}
	v := rules.Classify(withHTTP(req), resp, err)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests && x.subresource == "eviction" {
		// A disruption budget does not allow it yet. The server is well.
		return middleware.Verdict{Class: middleware.Success, Reason: "disruption_budget"}
	}
	v.Retry = v.Retry && x.repeats
	if err == nil && resp.StatusCode >= http.StatusInternalServerError {
		v.After = max(v.After, retryAfter(resp.Header))
	}
	return v
}

// withHTTP returns req with the scheme that it had, which client-go's transport for
// WebSocket changes: to package transports "wss" is a mistake of the caller's.
func withHTTP(req *http.Request) *http.Request {
	scheme, found := strings.CutPrefix(req.URL.Scheme, "ws")
	if !found {
		return req
	}
	u, old := *req.URL, *req
	u.Scheme, old.URL = "http"+scheme, &u
	return &old
}

// ofUpgrade is what an answer means that is not the upgrade to WebSocket: client-go's
// transport for it makes an error of the answer.
func ofUpgrade(failure *httpstream.UpgradeFailureError) middleware.Verdict {
	if !isStatus(failure.Cause) {
		return middleware.Verdict{Class: middleware.Ignored, Reason: "upgrade"}
	}
	m := meaningOf(failure.Cause, options{})
	return middleware.Verdict{Class: m.class, Reason: m.reason}
}

// settle returns the error for client-go.
func (x *exchange) settle(err error) error {
	if context.Cause(x) == errSlow { //nolint:errorlint // nobody else has it
		return &settled{errSlow, x.apiRequest}
	}
	if isRejection(err) || x.repeats && x.judged.Load() || x.attempt != nil && !x.long {
		return &settled{err, x.apiRequest}
	}
	return err
}

// settleAnswer takes off what would have client-go repeat the request, if others do.
func (x *exchange) settleAnswer(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return
	}
	switch {
	case x.attempt != nil && !x.long:
		x.attempt.after.Store(int64(retryAfter(resp.Header)))
	case x.repeats && x.judged.Load():
	default:
		return
	}
	resp.Header.Del("Retry-After")
}

// An answer is the body of a response whose end is waited for.
type answer struct {
	io.ReadCloser

	end func()
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil {
		a.end()
	}
	return n, err
}

func (a *answer) Close() error {
	defer a.end()
	return a.ReadCloser.Close()
}
