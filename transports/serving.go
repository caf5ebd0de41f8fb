package transports

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

var errHandlerBegun = errors.New("transports: the handler of a request runs once, and has begun")

// A serving is one request to a [NewHandler], as an operation of its chain.
type serving struct {
	next    http.Handler
	request *http.Request
	writer  statusWriter

	given   middleware.Operation        // of the context of the request
	outside middleware.OperationContext // for the policies
	inside  middleware.OperationContext // for next

	begun   atomic.Bool
	ended   atomic.Bool
	outcome error // of the run, once it has ended
	aborted bool
}

// run is the operation that the chain runs.
func (s *serving) run(ctx context.Context) (err error) {
	if !s.begun.CompareAndSwap(false, true) {
		if s.ended.Load() {
			return s.outcome
		}
		return middleware.Judged(errHandlerBegun, middleware.Verdict{Class: middleware.Ignored, Reason: "repeated"})
	}
	s.inside = middleware.OperationContext{Context: ctx, Operation: s.given}
	req := s.request.WithContext(&s.inside)
	defer s.returned(req, &err)
	s.next.ServeHTTP(s.writer.claim(), req)
	s.outcome = s.judge(ctx)
	s.ended.Store(true)
	return s.outcome
}

// returned hands on what handlers further out, and net/http, look for in a request after
// it has been served: net/http removes the files of a form.
func (s *serving) returned(req *http.Request, err *error) {
	s.request.Pattern = req.Pattern
	if s.request.MultipartForm == nil {
		s.request.MultipartForm = req.MultipartForm
	}
	if s.request.Context().Err() == nil {
		return
	}
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler: // it has no trace to lose, and is raised again outside
		s.aborted = true
		*err = middleware.Judged(http.ErrAbortHandler, middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"})
	default:
		panic(p)
	}
}

// judge returns the outcome of next, which has returned. It is nil or has a verdict.
func (s *serving) judge(ctx context.Context) error {
	w, end := &s.writer, ctx.Err()
	var err error
	var v middleware.Verdict
	switch {
	case w.hijacked:
		return nil
	case w.status == 0 && end != nil:
		err = end
	case w.status == 0:
		w.status = http.StatusOK // as net/http does
		return nil
	case w.status == http.StatusTooManyRequests:
		err, v = statusError(w.status), middleware.Verdict{Class: middleware.Throttled, Reason: "throttled"}
	case w.status >= http.StatusInternalServerError:
		err, v = statusError(w.status), middleware.Verdict{Class: middleware.Failure, Reason: "status_5xx"}
	default:
		return nil
	}
	switch {
	case end == nil || v.Class == middleware.Throttled:
	case errors.Is(context.Cause(ctx), middleware.ErrTimeout):
		v = middleware.Verdict{Class: middleware.Failure, Reason: "timeout"}
	default:
		v = middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}
	}
	if w.status == http.StatusTooManyRequests || w.status == http.StatusServiceUnavailable {
		v.After = retryAfter(w.Header(), time.Now())
	}
	return middleware.Judged(err, v)
}
