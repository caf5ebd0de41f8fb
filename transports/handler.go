package transports

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// statusClientGone is nginx's word for a client that left. Nobody is there to read it.
const statusClientGone = 499

var errNilHandler = errors.New("transports: NewHandler: the handler is nil")

// A HandlerOption changes what [NewHandler] makes. A nil HandlerOption changes nothing.
type HandlerOption func(*handler)

// WithHandlerKey sets the function that names whom a request comes from or what it is
// for: a client, a tenant. Policies with a state per key use it, a rate limit for each
// client for instance. Its result is the Key of the [middleware.Operation]. Nil, the
// default, leaves the key that the context of the request has, or "".
//
// key runs before the policies do, so it must be quick; it must not read the body, and
// must be safe for concurrent use. Whoever can choose a key at will gets a new limit with
// each: take a name that has been verified, or an address.
func WithHandlerKey(key func(*http.Request) string) HandlerOption {
	return func(h *handler) { h.key = key }
}

// NewHandler returns a handler that sends each request to next through chain, to protect
// this server as [Transport] protects others. It panics if next is nil. A nil chain has no
// policies. The handler is safe for concurrent use.
//
// # Policies
//
//   - RateLimit bounds how many requests begin in a second; a Keyed one, with
//     [WithHandlerKey], how many of each client.
//   - Bulkhead bounds how many run at the same time: it is what keeps a server up under
//     load. A limit that follows what it measures has the same place in the chain.
//   - Timeout ends the context of next. It waits for next to return, unlike
//     [http.TimeoutHandler], and nothing is buffered.
//   - Breaker sheds requests while most of them fail anyway. If next depends on several
//     things, a breaker around the calls to each is better.
//   - Retry and Hedge have no place here: next runs once for each request. A second run
//     gives the outcome of the first, and while that goes on an error.
//
// From the outermost: rate limit, bulkhead, breaker, timeout. What the policies hold they
// hold until next returns, however long it streams.
//
// # Rejections
//
// A request that the policies refuse is answered with 429 if a rate limit did, and with
// 503 otherwise; with Retry-After, in whole seconds, if the rejection knows it; with a
// body that says no more than the status; and with Cache-Control: no-store, since many
// caches keep errors too and would hand one client's to others. Its body is left to
// net/http.
//
// The same answer, 503, goes out when a Timeout has ended the context and next returned
// without writing anything. So a handler whose answer is an empty 200 should write that.
// What next has written stands, complete or not, since nobody else can tell: it may be its
// own word for a time limit. A handler that cannot finish what it began panics with
// [http.ErrAbortHandler].
//
// When the client has left before anything was written, the status is 499, which only
// the logs of outer handlers see. When a policy lets a request succeed without next, or
// returns an error of its own invention, it is 500.
//
// # Verdicts
//
// The status decides: 5xx is a Failure, 429 is Throttled, both with the After that a
// Retry-After of next says (on 429 and 503), and all others, and a connection that was
// hijacked, are a Success. A 5xx after the client left is Ignored. No verdict changes what
// next has written.
//
// A panic passes through, and counts as any panic does, for a breaker as a failure. That
// of http.ErrAbortHandler is Ignored if the client has left, as it is when a proxy gives
// up copying.
//
// # Requests and responses
//
// For the policies the Name of the [middleware.Operation] is that of the context of the
// request, or else the pattern of the [http.ServeMux] that chose this handler, or else the
// method, HTTP for one that HTTP does not know. It is never Idempotent. next itself gets the context without that operation, so
// that the calls which it makes do not go by its name and key.
//
// The [http.ResponseWriter] of next is an [http.Flusher], [http.Hijacker],
// [http.Pusher] and [io.ReaderFrom] if the one outside is, and
// [http.ResponseController] finds that one.
func NewHandler(next http.Handler, chain *middleware.Chain, opts ...HandlerOption) http.Handler {
	if next == nil {
		panic(errNilHandler)
	}
	h := &handler{next: next, chain: chain}
	for _, opt := range opts {
		if opt != nil {
			opt(h)
		}
	}
	return h
}

type handler struct {
	next      http.Handler
	chain     *middleware.Chain
	key       func(*http.Request) string
	propagate bool
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &serving{next: h.next, request: r, writer: statusWriter{ResponseWriter: w}}
	err := h.chain.Do(s.policiesContext(h), s.run)
	switch {
	case s.aborted:
		panic(http.ErrAbortHandler)
	case !s.writer.answered():
		refuse(w, err)
	}
}

// policiesContext returns the context of the request, with its operation and what the client
// told.
func (s *serving) policiesContext(h *handler) context.Context {
	ctx := s.request.Context()
	if h.propagate {
		ctx = middleware.WithPropagated(ctx, s.request.Header.Get)
	}
	s.given = middleware.OperationOf(ctx)
	op := s.given
	switch {
	case op.Name != "":
	case s.request.Pattern != "":
		op.Name = s.request.Pattern
	default:
		op.Name = methodName(s.request)
	}
	if h.key != nil {
		op.Key = h.key(s.request)
	}
	op.Idempotent = false
	s.outside = middleware.OperationContext{Context: ctx, Operation: op}
	return &s.outside
}

// methodName is the method, if it is one of HTTP: a client may send anything for one.
func methodName(req *http.Request) string {
	switch method := methodOf(req); method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	default:
		return "HTTP"
	}
}

// ofContent are the headers that describe a body, which is another one in a refusal.
var ofContent = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location", "Content-Range",
	"Digest", "Etag", "Expires", "Last-Modified", "Trailer", "Transfer-Encoding",
}

// refuse answers a request that next has not answered.
func refuse(w http.ResponseWriter, err error) {
	rejection, rejected := errors.AsType[*middleware.Rejection](err)
	status := http.StatusInternalServerError
	switch {
	case rejected && errors.Is(rejection.Reason, middleware.ErrRateLimited):
		status = http.StatusTooManyRequests
	case rejected && !errors.Is(rejection.Reason, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.Canceled):
		w.WriteHeader(statusClientGone)
		return
	}
	for _, name := range ofContent { // what next has said of an answer that it did not give
		w.Header().Del(name)
	}
	w.Header().Set("Cache-Control", "no-store")
	if rejected && rejection.RetryAfter > 0 {
		w.Header().Set("Retry-After", seconds(rejection.RetryAfter))
	}
	http.Error(w, http.StatusText(status), status)
}

// seconds rounds up: who comes back too early is refused again.
func seconds(d time.Duration) string {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}
