package git

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Kind says what went wrong. It is one of the constants below.
type Kind string

// The kinds of an [Error]. Their verdicts are in the order of the comments: what
// they are to a breaker, and whether the call may be repeated.
const (
	KindDNS          Kind = "dns"           // the host has no address: failure, repeated
	KindConnect      Kind = "connect"       // no connection: failure, repeated
	KindTransfer     Kind = "transfer"      // the connection broke: failure, repeated
	KindSlow         Kind = "slow"          // the connection fell silent: failure, repeated once
	KindServer       Kind = "server"        // HTTP 5xx, 408, or the remote's own fault: failure, repeated
	KindTimeout      Kind = "timeout"       // a timeout of the chain: failure, repeated once
	KindThrottled    Kind = "throttled"     // too many requests: throttled, repeated after 5 s
	KindRemoteLock   Kind = "remote_lock"   // somebody else changes the ref: ignored, repeated
	KindLock         Kind = "lock"          // another git holds a lock here: ignored, repeated
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
	KindDirty        Kind = "dirty"         // changes in the work tree are in the way: ignored, not repeated
	KindConflict     Kind = "conflict"      // two changes do not fit together: ignored, not repeated
	KindCorrupt      Kind = "corrupt"       // the repository here is damaged: ignored, not repeated
	KindNoRepository Kind = "no_repository" // the directory is no repository: ignored, not repeated
	KindUsage        Kind = "usage"         // the call cannot be right: ignored, not repeated
	KindNoGit        Kind = "no_git"        // git cannot be run: ignored, not repeated
	KindCanceled     Kind = "canceled"      // the caller's context ended: ignored, not repeated
	KindUnknown      Kind = "unknown"       // nothing is known: ignored, not repeated
)

// A rule is what follows from a kind.
type rule struct {
	class  middleware.Class
	retry  bool
	most   int           // attempts at the most; 0: as many as the chain makes
	after  time.Duration // git does not show what the server asked for
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
	KindDirty:        {class: middleware.Ignored},
	KindConflict:     {class: middleware.Ignored},
	KindCorrupt:      {class: middleware.Ignored},
	KindNoRepository: {class: middleware.Ignored},
	KindUsage:        {class: middleware.Ignored},
	KindNoGit:        {class: middleware.Ignored},
	KindCanceled:     {class: middleware.Ignored},
	KindUnknown:      {class: middleware.Ignored},
}

// KindOf returns the kind of err: that of an [*Error], or what can be told from
// an *exec.ExitError with its Stderr, as [exec.Cmd.Output] returns it, from an
// error of package net or from that of a context. It is empty for nil.
func KindOf(err error) Kind {
	var (
		own    *Error
		exit   *exec.ExitError
		dns    *net.DNSError
		op     *net.OpError
		reason = func(target error) bool { return errors.Is(err, target) }
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &own):
		return own.Kind
	case reason(middleware.ErrTimeout):
		return KindTimeout
	case reason(context.Canceled), reason(context.DeadlineExceeded):
		return KindCanceled
	case reason(exec.ErrNotFound):
		return KindNoGit
	case errors.As(err, &exit):
		return diagnose(exit.ExitCode(), strings.Split(string(exit.Stderr), "\n")).kind
	case errors.As(err, &dns):
		return KindDNS
	case errors.As(err, &op) && op.Op == "dial":
		return KindConnect
	case errors.As(err, &op), reason(io.ErrUnexpectedEOF):
		return KindTransfer
	default:
		return KindUnknown
	}
}

// Classify judges err by its [KindOf], for operations that may be repeated: who
// runs one that may not clears Retry. A rejection by a policy is Ignored.
func Classify(err error) middleware.Verdict {
	if err == nil || rejected(err) {
		return middleware.VerdictOf(err)
	}
	kind := KindOf(err)
	r := rules[kind]
	return middleware.Verdict{Class: r.class, Retry: r.retry, After: r.after, Reason: string(kind)}
}

// rejected reports whether err comes from a policy of another chain and not from
// a call.
func rejected(err error) bool {
	var own *Error
	var rejection *middleware.Rejection
	return !errors.As(err, &own) && errors.As(err, &rejection) && !errors.Is(err, middleware.ErrTimeout)
}

// judge gives the error of an attempt its verdict.
func judge(ctx context.Context, err error, repeatable bool) error {
	if err == nil {
		return nil
	}
	v := Classify(err)
	var own *Error
	if ctx.Err() != nil && !errors.As(err, &own) {
		end := ended(ctx)
		v = Classify(&end)
	}
	most := rules[Kind(v.Reason)].most
	v.Retry = v.Retry && repeatable && (most == 0 || middleware.Attempt(ctx) < most)
	return middleware.Judged(err, v)
}
