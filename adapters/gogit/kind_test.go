package gogit

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"golang.org/x/crypto/ssh/knownhosts"

	commandline "github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// answered returns go-git's error for a status, with Retry-After if that is set.
func answered(code int, path, retryAfter string) error {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Request: &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}}}
	if strings.HasSuffix(path, "-pack") {
		r.Request.Method = http.MethodPost
	}
	if retryAfter != "" {
		r.Header.Set("Retry-After", retryAfter)
	}
	return githttp.NewErr(r)
}

func unexpected(err error) error { return plumbing.NewUnexpectedError(err) }

func TestG18Classify(t *testing.T) {
	const (
		success   = middleware.Success
		fail      = middleware.Failure
		throttled = middleware.Throttled
		ignored   = middleware.Ignored
	)
	for _, row := range []struct {
		err    error
		class  middleware.Class
		retry  bool
		after  time.Duration
		reason string
	}{
		{nil, success, false, 0, ""},
		{git.NoErrAlreadyUpToDate, success, false, 0, "up_to_date"},
		{transport.ErrEmptyRemoteRepository, success, false, 0, "empty"},
		{fmt.Errorf("clone: %w", transport.ErrRepositoryNotFound), success, false, 0, "not_found"},
		{transport.ErrAuthenticationRequired, success, false, 0, "auth"},
		{transport.ErrAuthorizationFailed, success, false, 0, "auth"},
		{fmt.Errorf("%w: You have exceeded a secondary rate limit", transport.ErrAuthorizationFailed), throttled, true, 5 * time.Second, "throttled"},
		{transport.ErrInvalidAuthMethod, ignored, false, 0, "usage"},
		{git.NoMatchingRefSpecError{}, success, false, 0, "ref_missing"},
		{plumbing.ErrReferenceNotFound, success, false, 0, "ref_missing"},
		{git.ErrForceNeeded, success, false, 0, "rejected"},
		{git.ErrNonFastForwardUpdate, success, false, 0, "rejected"},
		{git.ErrRepositoryAlreadyExists, ignored, false, 0, "target_exists"},
		{packfile.ErrMalformedPackFile, fail, true, 0, "transfer"},
		{plumbing.ErrObjectNotFound, ignored, false, 0, "corrupt"},

		{answered(503, "/info/refs", ""), fail, true, 0, "server"},
		{answered(503, "/info/refs", "7"), fail, true, 7 * time.Second, "server"},
		{answered(500, "/info/refs", ""), fail, true, 0, "server"},
		{answered(408, "/info/refs", ""), fail, true, 0, "server"},
		{answered(429, "/info/refs", ""), throttled, true, 5 * time.Second, "throttled"},
		{answered(429, "/info/refs", "2"), throttled, true, 2 * time.Second, "throttled"}, // G16
		{answered(407, "/info/refs", ""), success, false, 0, "auth"},
		{answered(410, "/info/refs", ""), success, false, 0, "not_found"},
		{answered(413, "/git-receive-pack", ""), success, false, 0, "too_large"},
		{answered(400, "/git-receive-pack", ""), success, false, 0, "too_large"},
		{answered(400, "/info/refs", ""), ignored, false, 0, "unknown"},
		{answered(418, "/info/refs", ""), ignored, false, 0, "unknown"},

		{&net.OpError{Op: "dial", Err: &net.DNSError{}}, fail, true, 0, "dns"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, fail, true, 0, "connect"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, fail, true, 0, "connect"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, fail, true, 0, "slow"},
		{&net.OpError{Op: "read", Err: errors.New("odd")}, fail, true, 0, "transfer"},
		{syscall.ECONNRESET, fail, true, 0, "transfer"},
		{io.ErrUnexpectedEOF, fail, true, 0, "transfer"},
		{&url.Error{Err: io.EOF}, fail, true, 0, "transfer"},
		{unexpected(&url.Error{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}), fail, true, 0, "connect"},
		{plumbing.NewPermanentError(unexpected(io.ErrUnexpectedEOF)), fail, true, 0, "transfer"},
		{&url.Error{Err: x509.UnknownAuthorityError{}}, ignored, false, 0, "tls"},
		{fmt.Errorf("ssh: handshake failed: %w", &knownhosts.KeyError{}), ignored, false, 0, "host_key"},
		{&fs.PathError{Err: syscall.ENOSPC}, ignored, false, 0, "disk"},
		{&fs.PathError{Err: syscall.EACCES}, ignored, false, 0, "disk"},

		{context.Canceled, ignored, false, 0, "canceled"},
		{unexpected(&url.Error{Err: context.Canceled}), ignored, false, 0, "canceled"},
		{context.DeadlineExceeded, ignored, false, 0, "canceled"},
		{unexpected(middleware.ErrTimeout), fail, true, 0, "timeout"},
		{&middleware.Rejection{Reason: middleware.ErrTimeout}, fail, true, 0, "timeout"},
		{unexpected(&url.Error{Err: &middleware.Rejection{Reason: middleware.ErrOpen}}), ignored, false, 0, "rejected"},
		// What is shown says less than what was said.
		{clean(errors.New("unknown error: x: Permission denied"), []string{"denied"}), success, false, 0, "auth"},
		{errors.New("nobody knows"), ignored, false, 0, "unknown"},
	} {
		want := middleware.Verdict{Class: row.class, Retry: row.retry, After: row.after, Reason: row.reason}
		if got := Classify(row.err); got != want {
			t.Errorf("%v: got %+v, want %+v", row.err, got, want)
		}
	}
}

// Each row of the table decides about a text that go-git makes or passes on.
func TestMessages(t *testing.T) {
	said := []struct {
		text string
		kind Kind
	}{
		{"permanent client error: invalid endpoint: x", KindUsage},
		{`unsupported scheme "ext"`, KindUsage},
		{"expected underlying client transport to be of type: *http.Transport; got: x", KindUsage},
		{"malformed refspec, separators are wrong", KindUsage},
		{"wildcards not supported in RequireRemoteRefs, got refs/*:refs/*", KindUsage},
		{"ssh: handshake failed: ssh: host key mismatch", KindHostKey},
		{"ssh: handshake failed: knownhosts: key is unknown", KindHostKey},
		{"ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain", KindAuth},
		{`error creating SSH agent: "SSH agent requested but SSH_AUTH_SOCK not-specified"`, KindAuth},
		{"unknown error: git@example.com: Permission denied (publickey).", KindAuth},
		{`error decoding upload-pack response: unexpected content "ERR upload-pack: not our ref 1111"`, KindRefMissing},
		{`couldn't find remote ref "refs/heads/x"`, KindRefMissing},
		{"non-fast-forward update: refs/heads/main", KindRejected},
		{"remote ref refs/heads/main required to be 1 but is 2", KindRejected},
		{"could not resolve ref refs/heads/x in RequireRemoteRefs", KindRejected},
		{"command error on refs/heads/main: failed to update ref", KindRemoteLock},
		{"command error on refs/heads/main: cannot lock ref 'refs/heads/main'", KindRemoteLock},
		{"command error on refs/heads/main: unpacker error", KindServer},
		{"command error on refs/heads/main: non-fast-forward", KindRejected},
		{"command error on refs/heads/main: fetch first", KindRejected},
		{"command error on refs/heads/main: stale info", KindRejected},
		{"command error on refs/heads/main: atomic push failure", KindRejected},
		{"command error on refs/heads/main: pre-receive hook declined", KindPolicy},
		{"unpack error: pack exceeds maximum allowed size", KindTooLarge},
		{"unpack error: unpack-objects abnormal exit", KindServer},
		{"cannot lock file: x", KindLock},
		{"reference has changed concurrently", KindLock},
		{"unknown error: API rate limit exceeded", KindThrottled},
		{"unknown error: Too many requests", KindThrottled},
		{"unexpected error: Internal Server Error", KindServer},
		{"error decoding upload-pack response: unexpected EOF", KindTransfer},
		{"ssh: handshake failed: EOF", KindTransfer},
		{"ssh: handshake failed: read tcp 127.0.0.1:22", KindTransfer},
		{"read: connection reset by peer", KindTransfer},
		{"http2: client connection lost", KindTransfer},
		{"missing flush", KindTransfer},
		{"malformed unpack status: x", KindTransfer},
		{"premature flush", KindTransfer},
		{"invalid pkt-len found", KindTransfer},
		{"empty input", KindTransfer},
		{"zlib: invalid header", KindTransfer},
		{"error decoding upload-pack response: odd", KindTransfer},
		{"sending upload-req message: EOF", KindTransfer},
		{"sending haves message: EOF", KindTransfer},
		{"sending done message: EOF", KindTransfer},
		{"http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR", KindTransfer},
		{"stream error: stream ID 3; INTERNAL_ERROR; received from peer", KindTransfer},
		{"http: server closed idle connection", KindTransfer},
		{"timeout exceeded", KindSlow},
	}
	if len(said) != len(messages) {
		t.Fatalf("%d texts for %d rows", len(said), len(messages))
	}
	for i, row := range said {
		if got := KindOf(errors.New(row.text)); got != row.kind {
			t.Errorf("%q: got %s, want %s", row.text, got, row.kind)
		}
		if m := messages[i]; m.kind != row.kind || !m.matches(strings.ToLower(row.text)) {
			t.Errorf("%q does not belong to %+v", row.text, m)
		}
	}
}

func TestEveryKindHasARule(t *testing.T) {
	for _, v := range values {
		if _, ok := rules[v.kind]; !ok {
			t.Errorf("%s has no rule", v.kind)
		}
		if got := KindOf(unexpected(v.err)); got != v.kind {
			t.Errorf("%v: got %s, want %s", v.err, got, v.kind)
		}
	}
}

func TestG18Find(t *testing.T) {
	var (
		status  *githttp.Err
		refused *net.OpError
	)
	if err := unexpected(plumbing.NewPermanentError(answered(503, "/", ""))); !As(err, &status) || status.StatusCode() != 503 {
		t.Errorf("the status is not found in %v", err)
	}
	joined := errors.Join(io.EOF, fmt.Errorf("x: %w", unexpected(&url.Error{Err: &net.OpError{Op: "dial"}})))
	if !As(joined, &refused) || refused.Op != "dial" {
		t.Errorf("the connection's error is not found in %v", joined)
	}
	if !Is(joined, io.EOF) || Is(joined, io.ErrUnexpectedEOF) || Is(nil, io.EOF) {
		t.Error("Is finds what is not there, or not what is")
	}
	var nothing *plumbing.UnexpectedError
	if Is(errors.Join(nothing, &plumbing.PermanentError{}), io.EOF) {
		t.Error("something was found in nothing")
	}
}

// What go-git says of a server that does wrong is understood.
func TestFaultsOfServersHaveTheirKind(t *testing.T) {
	for name, row := range map[string]struct {
		url  string
		want Kind
	}{
		"refused":              {loopback.Refused(t), KindConnect},
		"closed":               {loopback.New(t, loopback.Script(loopback.Close())).URL, KindTransfer},
		"reset":                {loopback.New(t, loopback.Script(loopback.Reset())).URL, KindTransfer},
		"cut in the answer":    {loopback.New(t, loopback.Script(loopback.OK("").Size(1000).Cut(10, loopback.Close()))).URL, KindTransfer},
		"not trusted":          {loopback.New(t, loopback.HTTPS1).URL, KindTLS},
		"the handshake breaks": {loopback.New(t, loopback.HTTPS1, loopback.Connections(loopback.BreakTLS)).URL, KindTransfer},
		"unavailable":          {loopback.New(t, loopback.Script(loopback.Status(503))).URL, KindServer},
		"throttled":            {loopback.New(t, loopback.Script(loopback.Status(429))).URL, KindThrottled},
		"forbidden":            {loopback.New(t, loopback.Script(loopback.Status(403))).URL, KindAuth},
		"missing":              {loopback.New(t, loopback.Script(loopback.Status(404))).URL, KindNotFound},
	} {
		_, err := New(nil, Config{}).LsRemote(bounded(t), row.url+"/repo.git", nil)
		if KindOf(err) != row.want {
			t.Errorf("%s: %v is %s, want %s", name, err, KindOf(err), row.want)
		}
	}
}

func TestDo(t *testing.T) {
	broken := answered(503, "/", "")
	for _, row := range []struct {
		name  string
		op    Op
		err   error
		runs  int
		class middleware.Class
	}{
		{"repeated", Op{Name: "submodules", Key: "example.com:443", Repeatable: true}, broken, 3, middleware.Failure},
		{"not repeated", Op{Name: "submodules"}, broken, 1, middleware.Failure},
		{"lasting", Op{Repeatable: true}, transport.ErrAuthenticationRequired, 1, middleware.Success},
		{"up to date", Op{Repeatable: true}, git.NoErrAlreadyUpToDate, 1, middleware.Success},
		{"slow once more", Op{Repeatable: true}, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, 2, middleware.Failure},
		{"rejected", Op{Repeatable: true}, unexpected(&middleware.Rejection{Reason: middleware.ErrOpen}), 1, middleware.Ignored},
		{"success", Op{Repeatable: true}, nil, 1, middleware.Success},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen verdicts
			runs := 0
			err := New(retry(&seen), Config{}).Do(bounded(t), row.op, func(context.Context) error {
				runs++
				return row.err
			})
			if err != row.err || runs != row.runs {
				t.Errorf("got %v after %d runs, want the error itself after %d", err, runs, row.runs)
			}
			if seen.seen[0].Class != row.class {
				t.Errorf("the verdict is %+v, want %s", seen.seen[0], row.class)
			}
			if seen.op != (middleware.Operation{Name: row.op.Name, Key: row.op.Key}) {
				t.Errorf("the operation is %+v", seen.op)
			}
		})
	}
	if err := New(nil, Config{}).Do(t.Context(), Op{Name: "x"}, nil); KindOf(err) != KindUsage {
		t.Errorf("a nil function: got %v", err)
	}
}

// G17: the same work again is worth one more attempt, and none if it may not be
// repeated.
func TestG17Timeout(t *testing.T) {
	limit := policies.NewTimeout(policies.TimeoutConfig{Limit: time.Millisecond})
	for repeatable, want := range map[bool]int{false: 1, true: 2} {
		runs := 0
		err := New(retry(limit), Config{}).Do(t.Context(), Op{Repeatable: repeatable}, func(ctx context.Context) error {
			runs++
			<-ctx.Done()
			return unexpected(ctx.Err()) // as go-git hides it
		})
		if !errors.Is(err, middleware.ErrTimeout) || runs != want {
			t.Errorf("repeatable %v: got %v after %d runs, want %d", repeatable, err, runs, want)
		}
	}
}

func TestG15Keys(t *testing.T) {
	for url, want := range map[string]string{
		"https://Example.com/a.git":       "example.com:443",
		"http://example.com:8080/a.git":   "example.com:8080",
		"https://ann:pw@[::1]/a":          "[::1]:443",
		"ssh://git@example.com/a":         "example.com:22",
		"ssh://git@example.com:2222/a":    "example.com:2222",
		"git@Example.com:team/a.git":      "example.com:22",
		"git@example.com:2222:team/a.git": "example.com:2222",
		"git://example.com/a":             "example.com:9418",
		"/srv/git/a.git":                  "",
		"./with:colon":                    "",
		"file:///srv/git/a.git":           "",
	} {
		r, err := parseRemote(url)
		if err != nil || r.key != want || r.local() != (want == "") {
			t.Errorf("%s: got %+v, %v, want the key %q", url, r, err, want)
		}
	}
}

// The empty remote and the missing ref do not open a breaker.
func TestG14WellButNothingThere(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	empty := t.TempDir()
	gittest.Git(t, empty, "init", "-q", "--bare")
	hollow := gittest.NewServer(t, empty)
	var seen verdicts
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	client := New(retry(&seen, breaker), Config{})
	dir := t.TempDir() + "/app"
	if _, err := client.Clone(bounded(t), dir, false, &git.CloneOptions{URL: hollow.Repo}); err != transport.ErrEmptyRemoteRepository {
		t.Errorf("an empty remote: got %v", err)
	}
	if _, err := client.Clone(bounded(t), dir, false, &git.CloneOptions{URL: s.Repo, ReferenceName: "refs/heads/nope"}); err != plumbing.ErrReferenceNotFound {
		t.Errorf("a missing branch: got %v", err)
	}
	repo, err := client.Clone(bounded(t), dir, true, &git.CloneOptions{URL: s.Repo})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Fetch(bounded(t), repo, &git.FetchOptions{RefSpecs: refspecs("refs/heads/nope:refs/heads/nope")}); !errors.Is(err, git.NoMatchingRefSpecError{}) {
		t.Errorf("a missing ref: got %v", err)
	}
	for _, v := range seen.seen {
		if v.Class != middleware.Success || v.Retry {
			t.Errorf("got the verdict %+v, want a success", v)
		}
	}
	if len(seen.seen) != 4 || breaker.State() != policies.Closed {
		t.Errorf("%d attempts, and the breaker is %s", len(seen.seen), breaker.State())
	}
}

type limit struct{}

func (limit) Error() string { return "net/http: TLS handshake timeout" }
func (limit) Timeout() bool { return true }

func TestKindsOfErrorsOfOthers(t *testing.T) {
	var answer *githttp.Err
	var hiding *plumbing.UnexpectedError
	for _, row := range []struct {
		err  error
		kind Kind
	}{
		{unexpected(limit{}), KindSlow},
		{answer, KindUnknown},
		{hiding, KindUnknown},
		{errors.Join(hiding, answer), KindUnknown},
		{fmt.Errorf("sync: %w", unexpected(fmt.Errorf("fetch: %w", git.ErrForceNeeded))), KindRejected},
		{errors.Join(errors.New("close"), unexpected(answered(503, "/", ""))), KindServer},
	} {
		if got := KindOf(row.err); got != row.kind {
			t.Errorf("%T: got %s, want %s", row.err, got, row.kind)
		}
	}
	if err := New(retry(), Config{}).Do(bounded(t), Op{}, func(context.Context) error { return hiding }); err == nil {
		t.Error("no error")
	}
}

// A kind is the same to the policies whichever of the two adapters meets it.
func TestKindsAreThoseOfTheCommandLine(t *testing.T) {
	for kind := range rules {
		if kind == KindUpToDate || kind == KindEmpty { // to the command line no errors
			continue
		}
		got := verdict(&refusal{"test", kind, errors.New("x")}, kind)
		if want := commandline.Classify(&commandline.Error{Kind: commandline.Kind(kind)}); got != want {
			t.Errorf("%s: got %+v, want %+v", kind, got, want)
		}
	}
}
