package gogit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// A Kind says what went wrong. It is one of the constants below.
type Kind string

// The kinds of an error. Their verdicts are in the order of the comments: what
// they are to a breaker, and whether the call may be repeated.
const (
	KindDNS          Kind = "dns"           // the host has no address: failure, repeated
	KindConnect      Kind = "connect"       // no connection: failure, repeated
	KindTransfer     Kind = "transfer"      // the connection broke: failure, repeated
	KindSlow         Kind = "slow"          // the connection fell silent: failure, repeated once
	KindServer       Kind = "server"        // HTTP 5xx, 408, or the remote's own fault: failure, repeated
	KindTimeout      Kind = "timeout"       // a timeout of the chain: failure, repeated once
	KindThrottled    Kind = "throttled"     // too many requests: throttled, repeated as Retry-After says or after 5 s
	KindRemoteLock   Kind = "remote_lock"   // somebody else changes the ref: ignored, repeated
	KindLock         Kind = "lock"          // somebody else changes the repository here: ignored, repeated
	KindUpToDate     Kind = "up_to_date"    // there was nothing to do: success
	KindEmpty        Kind = "empty"         // the remote has no commits: success, not repeated
	KindAuth         Kind = "auth"          // credentials missing, wrong or not enough: success, not repeated
	KindNotFound     Kind = "not_found"     // no such repository, or hidden: success, not repeated
	KindRefMissing   Kind = "ref_missing"   // no such branch, tag or commit: success, not repeated
	KindRejected     Kind = "rejected"      // the ref has moved, as with non-fast-forward: success, not repeated
	KindPolicy       Kind = "policy"        // a hook or a protected branch refused: success, not repeated
	KindTooLarge     Kind = "too_large"     // the server takes no push of this size: success, not repeated
	KindHostKey      Kind = "host_key"      // the SSH host key is unknown or has changed: ignored, not repeated
	KindTLS          Kind = "tls"           // the certificate is not valid: ignored, not repeated
	KindTargetExists Kind = "target_exists" // the directory to clone into is in use: ignored, not repeated
	KindDisk         Kind = "disk"          // no space or no permission here: ignored, not repeated
	KindCorrupt      Kind = "corrupt"       // the repository here is damaged: ignored, not repeated
	KindNoRepository Kind = "no_repository" // the directory is no repository: ignored, not repeated
	KindUsage        Kind = "usage"         // the call cannot be right: ignored, not repeated
	KindCanceled     Kind = "canceled"      // the caller's context ended: ignored, not repeated
	KindUnknown      Kind = "unknown"       // nothing is known: ignored, not repeated
)

// A rule is what follows from a kind.
type rule struct {
	class  middleware.Class
	retry  bool
	most   int           // attempts at the most; 0: as many as the chain makes
	after  time.Duration // the wait when the server asked for none
	unsure bool          // the remote may have done what it was asked for
}

var rules = map[Kind]rule{
	KindDNS:          {class: middleware.Failure, retry: true},
	KindConnect:      {class: middleware.Failure, retry: true},
	KindTransfer:     {class: middleware.Failure, retry: true, unsure: true},
	KindSlow:         {class: middleware.Failure, retry: true, most: 2, unsure: true},
	KindServer:       {class: middleware.Failure, retry: true, unsure: true},
	KindTimeout:      {class: middleware.Failure, retry: true, most: 2, unsure: true},
	KindThrottled:    {class: middleware.Throttled, retry: true, after: 5 * time.Second},
	KindRemoteLock:   {class: middleware.Ignored, retry: true, most: 4},
	KindLock:         {class: middleware.Ignored, retry: true, most: 4},
	KindUpToDate:     {class: middleware.Success},
	KindEmpty:        {class: middleware.Success},
	KindAuth:         {class: middleware.Success},
	KindNotFound:     {class: middleware.Success},
	KindRefMissing:   {class: middleware.Success},
	KindRejected:     {class: middleware.Success},
	KindPolicy:       {class: middleware.Success},
	KindTooLarge:     {class: middleware.Success},
	KindHostKey:      {class: middleware.Ignored},
	KindTLS:          {class: middleware.Ignored},
	KindTargetExists: {class: middleware.Ignored},
	KindDisk:         {class: middleware.Ignored},
	KindCorrupt:      {class: middleware.Ignored},
	KindNoRepository: {class: middleware.Ignored},
	KindUsage:        {class: middleware.Ignored},
	KindCanceled:     {class: middleware.Ignored},
	KindUnknown:      {class: middleware.Ignored},
}

// values are errors that say by themselves what they mean. The first one that is
// found decides.
var values = []struct {
	err  error
	kind Kind
}{
	{middleware.ErrTimeout, KindTimeout},
	{context.Canceled, KindCanceled},
	{context.DeadlineExceeded, KindCanceled},
	{git.NoErrAlreadyUpToDate, KindUpToDate},
	{transport.ErrEmptyRemoteRepository, KindEmpty},
	{transport.ErrAuthenticationRequired, KindAuth},
	{transport.ErrAuthorizationFailed, KindAuth},
	{transport.ErrRepositoryNotFound, KindNotFound},
	{git.NoMatchingRefSpecError{}, KindRefMissing},
	{plumbing.ErrReferenceNotFound, KindRefMissing},
	{git.ErrForceNeeded, KindRejected},
	{git.ErrNonFastForwardUpdate, KindRejected},
	{git.ErrFastForwardMergeNotPossible, KindRejected},
	{git.ErrRepositoryAlreadyExists, KindTargetExists},
	{git.ErrDestinationExists, KindTargetExists},
	{storage.ErrReferenceHasChanged, KindLock},
	{transport.ErrInvalidAuthMethod, KindUsage},
	{git.ErrMissingURL, KindUsage},
	{git.ErrEmptyUrls, KindUsage},
	{git.ErrRemoteNotFound, KindUsage},
	{git.ErrRepositoryNotExists, KindNoRepository},
	{git.ErrIsBareRepository, KindUsage},
	{git.ErrUnstagedChanges, KindUsage},
	{git.ErrWorktreeNotClean, KindUsage},
	{git.ErrExactSHA1NotSupported, KindUsage},
	{git.ErrDeleteRefNotSupported, KindUsage},
	{git.ErrFetching, KindTransfer},
	{packfile.ErrEmptyPackfile, KindTransfer},
	{packfile.ErrMalformedPackFile, KindTransfer},
	{plumbing.ErrObjectNotFound, KindCorrupt},
	{syscall.ENOSPC, KindDisk},
	{syscall.EROFS, KindDisk},
	{syscall.ECONNREFUSED, KindConnect},
	{syscall.EHOSTUNREACH, KindConnect},
	{syscall.ENETUNREACH, KindConnect},
	{os.ErrDeadlineExceeded, KindSlow},
	{io.ErrUnexpectedEOF, KindTransfer},
	{io.ErrClosedPipe, KindTransfer},
	{syscall.ECONNRESET, KindTransfer},
	{syscall.EPIPE, KindTransfer},
	{net.ErrClosed, KindTransfer},
	{io.EOF, KindTransfer},
}

// types are errors of which the type says what they mean.
var types = []struct {
	is   func(err error) bool
	kind Kind
}{
	{is[*knownhosts.KeyError], KindHostKey},
	{is[*knownhosts.RevokedError], KindHostKey},
	{is[*tls.CertificateVerificationError], KindTLS},
	{is[x509.UnknownAuthorityError], KindTLS},
	{is[x509.HostnameError], KindTLS},
	{is[x509.CertificateInvalidError], KindTLS},
	{is[*net.DNSError], KindDNS},
	{func(err error) bool {
		var op *net.OpError
		return As(err, &op) && op.Op == "dial"
	}, KindConnect},
}

func is[T error](err error) bool {
	var target T
	return As(err, &target)
}

// KindOf returns the kind of err. It is empty for nil. Types and values decide,
// and the text only where go-git gives nothing else.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var own *refusal
	if As(err, &own) {
		return own.kind
	}
	if Is(err, transport.ErrAuthorizationFailed) && busy(err) {
		return KindThrottled
	}
	var answer *githttp.Err
	if As(err, &answer) && answer != nil && answer.Response != nil {
		return kindOfStatus(answer.Response)
	}
	for _, v := range values[:2] { // the end of the context before what it led to
		if Is(err, v.err) {
			return v.kind
		}
	}
	for _, t := range types {
		if t.is(err) {
			return t.kind
		}
	}
	for _, v := range values[2:] {
		if Is(err, v.err) {
			return v.kind
		}
	}
	var path *fs.PathError
	if As(err, &path) {
		return KindDisk
	}
	var limit interface{ Timeout() bool }
	if As(err, &limit) && limit.Timeout() { // such as that of a TLS handshake
		return KindSlow
	}
	var op *net.OpError
	if As(err, &op) {
		return KindTransfer
	}
	return kindOfText(err)
}

func kindOfStatus(r *http.Response) Kind {
	switch code := r.StatusCode; {
	case code == http.StatusTooManyRequests:
		return KindThrottled
	case code == http.StatusRequestTimeout, code >= 500:
		return KindServer
	case code == http.StatusRequestEntityTooLarge, code == http.StatusBadRequest && r.Request != nil && isPush(r.Request):
		return KindTooLarge
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		return KindAuth
	case code == http.StatusNotFound, code == http.StatusGone:
		return KindNotFound
	default:
		return KindUnknown
	}
}

// Classify judges err by its [KindOf], for operations that may be repeated: who
// runs one that may not clears Retry. After is what the server asked for in
// Retry-After. A rejection by a policy is Ignored.
func Classify(err error) middleware.Verdict {
	if err == nil {
		return middleware.Verdict{}
	}
	return verdict(err, KindOf(err))
}

func verdict(err error, kind Kind) middleware.Verdict {
	if rejected(err) {
		return middleware.Verdict{Class: middleware.Ignored, Reason: "rejected"}
	}
	r := rules[kind]
	v := middleware.Verdict{Class: r.class, Retry: r.retry, After: r.after, Reason: string(kind)}
	var answer *githttp.Err
	if r.retry && As(err, &answer) && answer != nil && answer.Response != nil && answer.Response.Request != nil {
		if after := transports.Classify(answer.Response.Request, answer.Response, nil).After; after > 0 {
			v.After = after
		}
	}
	return v
}

// rejected reports whether err comes from a policy and not from a call.
func rejected(err error) bool {
	var rejection *middleware.Rejection
	return As(err, &rejection) && !Is(err, middleware.ErrTimeout)
}

// judge gives the error of an attempt its verdict.
func judge(ctx context.Context, err error, repeatable bool) error {
	if err == nil {
		return nil
	}
	kind := kindIn(ctx, err)
	v := verdict(err, kind)
	most := rules[kind].most
	v.Retry = v.Retry && repeatable && (most == 0 || middleware.Attempt(ctx) < most)
	return middleware.Judged(err, v)
}

// kindIn is KindOf for an error of a call that had the context ctx.
func kindIn(ctx context.Context, err error) Kind {
	kind := KindOf(err)
	var own *refusal
	var timeout interface{ Timeout() bool }
	switch {
	case As(err, &own):
		return kind
	case ctx.Err() != nil && Is(context.Cause(ctx), middleware.ErrTimeout):
		return KindTimeout
	case ctx.Err() != nil:
		return KindCanceled
	case kind == KindCanceled && As(err, &timeout) && timeout.Timeout():
		return KindSlow // a time limit of somebody's, not of the caller's context
	}
	return kind
}

// A refusal is an error of this package's own. err must not hold credentials.
type refusal struct {
	op   string
	kind Kind
	err  error
}

func (r *refusal) Error() string     { return "gogit: " + r.op + ": " + r.err.Error() }
func (r *refusal) Unwrap() error     { return r.err }
func (r *refusal) ErrorType() string { return string(r.kind) }

// usage returns the error of a call that cannot be right.
func usage(op string, err error) error { return &refusal{op, KindUsage, err} }

// local returns the error of a file operation of the client's own.
func local(op string, err error) error {
	kind := KindDisk
	if errors.Is(err, fs.ErrExist) {
		kind = KindTargetExists
	}
	return &refusal{op, kind, err}
}
