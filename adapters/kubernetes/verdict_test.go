package kubernetes

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tidegate-go/tidegate/middleware"
)

var pods = schema.GroupResource{Resource: "pods"}

// answerOf is what client-go makes of an answer without a Status.
func answerOf(code int) error {
	return apierrors.NewGenericServerResponse(code, "get", pods, "a", "", 0, true)
}

func within(err error) error { return &url.Error{Op: "Get", URL: "https://10.0.0.1", Err: err} }

func disruption() error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: "DisruptionBudget", Message: "needs 1 healthy pods"}}
	return err
}

// Every row of the table has at least one error here, in the order of the table.
var examples = []struct {
	err    error
	reason string
}{
	{within(&settled{&middleware.Rejection{Reason: middleware.ErrTimeout}, apiRequest{}}), "timeout"},
	{within(&settled{&middleware.Rejection{Reason: middleware.ErrOpen}, apiRequest{}}), "rejected"},
	{apierrors.NewNotFound(pods, "a"), "not_found"},
	{fmt.Errorf("reading: %w", apierrors.NewNotFound(pods, "a")), "not_found"},
	{apierrors.NewAlreadyExists(pods, "a"), "already_exists"},
	{apierrors.NewConflict(pods, "a", errors.New("stale")), "conflict"},
	{answerOf(http.StatusGone), "expired"},
	{apierrors.NewResourceExpired("too old"), "expired"},
	{apierrors.NewForbidden(pods, "a", errors.New("no")), "forbidden"},
	{apierrors.NewUnauthorized("no token"), "unauthorized"},
	{disruption(), "disruption_budget"},
	{apierrors.NewTooManyRequests("slow down", 1), "throttled"},
	{answerOf(http.StatusTooManyRequests), "throttled"},
	{apierrors.NewServerTimeout(pods, "get", 1), "server_timeout"},
	{apierrors.NewTimeoutError("slow", 1), "timeout"},
	{answerOf(http.StatusGatewayTimeout), "timeout"},
	{apierrors.NewServiceUnavailable("down"), "unavailable"},
	{apierrors.NewInternalError(errors.New(`failed calling webhook "a.example": connection refused`)), "webhook"},
	{apierrors.NewInternalError(errors.New("etcd")), "status_5xx"},
	{answerOf(http.StatusBadGateway), "status_5xx"},
	{apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "a", nil), "status_4xx"},
	{apierrors.NewBadRequest("what"), "status_4xx"},
	{apierrors.NewMethodNotSupported(pods, "patch"), "status_4xx"},
	{apierrors.NewRequestEntityTooLargeError("large"), "status_4xx"},
	{answerOf(http.StatusUnsupportedMediaType), "status_4xx"},
	{fmt.Errorf("client rate limiter Wait returned an error: %w", errors.New("rate: Wait(n=1) would exceed context deadline")), "client_limiter"},
	{within(errors.New("getting credentials: exec: executable plugin not found")), "credentials"},
	{within(x509.UnknownAuthorityError{}), "certificate"},
	{within(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}), "dns"},
	{within(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}), "dns"},
	{within(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), "connect"},
	{within(&settled{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, apiRequest{}}), "connect"},
	{within(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}), "timeout"},
	{within(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), "connection"},
	{within(&settled{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, apiRequest{}}), "connection"},
	{within(io.EOF), "connection"},
	{fmt.Errorf("unexpected error when reading response body. Please retry. Original error: %w", io.ErrUnexpectedEOF), "connection"},
	{errors.New("no pod is ready"), "local"},
}

func TestEveryRowOfTheTableIsMet(t *testing.T) {
	met := map[string]bool{}
	for _, e := range examples {
		if m := meaningOf(e.err, options{}); m.reason != e.reason {
			t.Errorf("%v is %q, want %q", e.err, m.reason, e.reason)
		}
		for _, row := range rows {
			if row.match(e.err) {
				met[row.condition] = true
				break
			}
		}
	}
	for _, row := range rows {
		if !met[row.condition] {
			t.Errorf("no error here meets the row %q", row.condition)
		}
	}
}

// Whether a call may run again after an error of the connection, and why, is said by package
// transports, for whatever is in the error of an http.Client.
func TestErrorsOfTheConnection(t *testing.T) {
	for _, row := range []struct {
		err  error
		want meaning
	}{
		{x509.UnknownAuthorityError{}, meaning{middleware.Failure, never, "certificate"}},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, meaning{middleware.Failure, never, "dns"}},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, meaning{middleware.Failure, notRun, "connect"}},
		{&net.OpError{Op: "proxyconnect", Err: errors.New("refused")}, meaning{middleware.Failure, notRun, "proxy"}},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, meaning{middleware.Failure, safely, "timeout"}},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, meaning{middleware.Failure, safely, "connection"}},
		{errors.New("http2: client connection lost"), meaning{middleware.Failure, safely, "connection"}},
	} {
		for name, err := range map[string]error{"plain": within(row.err), "settled": within(&settled{row.err, apiRequest{}})} {
			if m := meaningOf(err, options{}); m != row.want {
				t.Errorf("%s: %v is %+v, want %+v", name, row.err, m, row.want)
			}
		}
	}
}

// What each repeat means, by the words of the table.
var repeatWords = map[repeat]struct {
	words string
	verbs []Verb // that may run again
}{
	never:   {"never", nil},
	reading: {"Get, List", []Verb{Get, List}},
	safely:  {"if safe", []Verb{Get, List, CreateNamed, Apply}},
	asked:   {"any but Create", []Verb{Get, List, CreateNamed, Update, Patch, Apply, Delete, DeleteCollection}},
	hinted:  {"if safe, any with a delay", []Verb{Get, List, CreateNamed, Apply}},
	notRun:  {"any", allVerbs},
	once:    {"any, once", allVerbs},
}

var allVerbs = []Verb{Get, List, Create, CreateNamed, Update, Patch, Apply, Delete, DeleteCollection}

func TestTheTableOfThePackageCommentIsTheOneOfTheCode(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, row := range rows {
		head, words, class := row.condition, repeatWords[row.repeat].words, row.class.String()
		switch {
		case row.reason == "webhook":
			class += " (IgnoreWebhooks: ignored)"
		case row.of != nil:
			words, class = "if safe, any if never sent", "mostly failure"
		}
		if len(head) >= 46 {
			fmt.Fprintf(&want, "//\t%s\n", head)
			head = ""
		}
		fmt.Fprintf(&want, "//\t%-46s%-33s%s\n", head, words, class)
	}
	if !strings.Contains(string(text), want.String()) {
		t.Errorf("the package comment should have:\n%s", want.String())
	}
}

func TestWhatMayRunAgain(t *testing.T) {
	for _, e := range examples {
		m := meaningOf(e.err, options{})
		may := map[Verb]bool{}
		for _, verb := range repeatWords[m.repeat].verbs {
			may[verb] = true
		}
		for _, verb := range allVerbs {
			v := Classify(e.err, verb)
			if v.Retry != may[verb] || v.Class != m.class || v.Reason != m.reason {
				t.Errorf("%s that failed with %v: %+v, want a repeat: %t", verb, e.err, v, may[verb])
			}
		}
	}
	if v := Classify(nil, Create); v != (middleware.Verdict{}) {
		t.Errorf("no error is %+v", v)
	}
}
