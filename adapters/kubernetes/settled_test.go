package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/tidegate-go/tidegate/middleware"
)

var aWatch = apiRequest{verb: "watch", resource: "pods", long: true}

// mistaken returns which of its predicates has client-go repeat, or hide, an error of
// http.Client.
func mistaken(err error) (by []string) {
	err = &url.Error{Op: "Get", URL: "https://10.0.0.1/api", Err: err}
	for name, is := range map[string]func(error) bool{
		"IsProbableEOF": utilnet.IsProbableEOF, "IsConnectionReset": utilnet.IsConnectionReset,
		"IsHTTP2ConnectionLost": utilnet.IsHTTP2ConnectionLost, "IsTimeout": utilnet.IsTimeout,
	} {
		if is(err) {
			by = append(by, name)
		}
	}
	return by
}

var brokenConnections = []error{
	io.EOF,
	io.ErrUnexpectedEOF,
	&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
	&net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed},
	errors.New("http: can't write HTTP request on broken connection"),
	errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR"),
	errors.New("http2: client connection lost"),
	context.DeadlineExceeded,
}

func TestClientGoDoesNotMistakeASettledError(t *testing.T) {
	for _, err := range brokenConnections {
		if mistaken(err) == nil {
			t.Errorf("%v is nothing that client-go repeats: the row shows nothing", err)
		}
		rejection := &middleware.Rejection{Policy: "retry", Reason: middleware.ErrBudgetExhausted, Err: err}
		for name, settled := range map[string]error{
			"the error": &settled{err, aWatch}, "a rejection with it": &settled{rejection, aWatch},
			"a time limit with it": &settled{&middleware.Rejection{Policy: "timeout", Reason: middleware.ErrTimeout, Err: err}, aWatch},
		} {
			if by := mistaken(settled); by != nil {
				t.Errorf("%s: client-go takes %q for %v", name, settled, by)
			}
			if by := mistaken(fmt.Errorf("another transport: %w", settled)); by != nil {
				t.Errorf("%s: client-go takes it for %v when something is around it", name, by)
			}
			if !errors.Is(settled, err) {
				t.Errorf("%s: %v is not found in it", name, err)
			}
		}
	}
}

func TestASettledErrorLeadsToItsCause(t *testing.T) {
	rejection := &middleware.Rejection{
		Policy: "retry", Reason: middleware.ErrBudgetExhausted,
		Err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
	}
	err := &url.Error{Op: "Get", URL: "https://10.0.0.1", Err: &settled{rejection, apiRequest{}}}
	var found *middleware.Rejection
	var op *net.OpError
	switch {
	case !errors.As(err, &found) || found != rejection:
		t.Error("the rejection is not found")
	case !errors.Is(err, middleware.ErrBudgetExhausted):
		t.Error("the reason is not found")
	case !errors.As(err, &op) || !utilnet.IsConnectionRefused(err):
		t.Error("the error of the network is not found")
	case !strings.Contains(err.Error(), rejection.Error()):
		t.Errorf("the text is another one: %v", err)
	}
	if (&settled{rejection, apiRequest{}}).ErrorType() != rejection.ErrorType() {
		t.Error("the type of the error is another one")
	}
}

// A time limit stays one for requests that are no watches.
func TestATimeLimitOfARequestClaimsToBeOne(t *testing.T) {
	limit := &middleware.Rejection{Policy: "timeout", Reason: middleware.ErrTimeout}
	for of, want := range map[apiRequest]bool{{verb: "get"}: true, {verb: "create", subresource: "exec", long: true}: true, aWatch: false} {
		err := &settled{limit, of}
		if got := err.Timeout(); got != want {
			t.Errorf("%s: Timeout() is %t", of.operation(), got)
		}
		if err.Temporary() {
			t.Error("it claims to be temporary")
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("it is not context.DeadlineExceeded any more")
		}
	}
}

func TestK7NoOtherRejectionClaimsToBeATimeLimit(t *testing.T) {
	for _, err := range []error{
		&middleware.Rejection{Policy: "breaker", Reason: middleware.ErrOpen},
		&middleware.Rejection{Policy: "rate limit", Reason: middleware.ErrRateLimited},
		&middleware.Rejection{Policy: "bulkhead", Reason: middleware.ErrBulkheadFull, Err: os.ErrDeadlineExceeded},
		io.EOF,
	} {
		for _, of := range []apiRequest{{verb: "get"}, {verb: "create"}, aWatch} {
			if (&settled{err, of}).Timeout() {
				t.Errorf("%s: %v claims to be a time limit", of.operation(), err)
			}
		}
	}
}

func FuzzClientGoDoesNotMistakeAnyText(f *testing.F) {
	for _, err := range brokenConnections {
		f.Add(err.Error())
	}
	f.Add("Use Of Closed Network Connection: reset by peer http2: client connection lost")
	f.Fuzz(func(t *testing.T, text string) {
		if by := mistaken(&settled{errors.New(text), aWatch}); by != nil {
			t.Errorf("client-go takes %q for %v", text, by)
		}
	})
}
