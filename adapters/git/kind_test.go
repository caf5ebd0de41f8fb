package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestClassify(t *testing.T) {
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
		{&Error{Kind: KindDNS}, fail, true, 0, "dns"},
		{&Error{Kind: KindConnect}, fail, true, 0, "connect"},
		{&Error{Kind: KindTransfer}, fail, true, 0, "transfer"},
		{&Error{Kind: KindSlow}, fail, true, 0, "slow"},
		{&Error{Kind: KindServer}, fail, true, 0, "server"},
		{&Error{Kind: KindTimeout}, fail, true, 0, "timeout"},
		{&Error{Kind: KindThrottled}, throttled, true, 5 * time.Second, "throttled"},
		{&Error{Kind: KindLock}, ignored, true, 0, "lock"},
		{&Error{Kind: KindRemoteLock}, ignored, true, 0, "remote_lock"},
		{&Error{Kind: KindAuth}, success, false, 0, "auth"},
		{&Error{Kind: KindNotFound}, success, false, 0, "not_found"},
		{&Error{Kind: KindRefMissing}, success, false, 0, "ref_missing"},
		{&Error{Kind: KindRejected}, success, false, 0, "rejected"},
		{&Error{Kind: KindPolicy}, success, false, 0, "policy"},
		{&Error{Kind: KindTooLarge}, success, false, 0, "too_large"},
		{&Error{Kind: KindHostKey}, ignored, false, 0, "host_key"},
		{&Error{Kind: KindTLS}, ignored, false, 0, "tls"},
		{&Error{Kind: KindTargetExists}, ignored, false, 0, "target_exists"},
		{&Error{Kind: KindDisk}, ignored, false, 0, "disk"},
		{&Error{Kind: KindCorrupt}, ignored, false, 0, "corrupt"},
		{&Error{Kind: KindUsage}, ignored, false, 0, "usage"},
		{&Error{Kind: KindNoGit}, ignored, false, 0, "no_git"},
		{&Error{Kind: KindCanceled}, ignored, false, 0, "canceled"},
		{&Error{Kind: KindUnknown}, ignored, false, 0, "unknown"},
		{fmt.Errorf("sync: %w", &Error{Kind: KindServer}), fail, true, 0, "server"},

		{errors.New("early EOF"), ignored, false, 0, "unknown"}, // nobody knows who says so
		{context.Canceled, ignored, false, 0, "canceled"},
		{context.DeadlineExceeded, ignored, false, 0, "canceled"},
		{fmt.Errorf("x: %w", middleware.ErrTimeout), fail, true, 0, "timeout"},
		{&middleware.Rejection{Reason: middleware.ErrTimeout}, fail, true, 0, "timeout"},
		{&middleware.Rejection{Reason: middleware.ErrOpen}, ignored, false, 0, "rejected"},
		{&exec.Error{Name: "git", Err: exec.ErrNotFound}, ignored, false, 0, "no_git"},
		{&exec.ExitError{Stderr: []byte("fatal: early EOF\n")}, fail, true, 0, "transfer"},
		{&exec.ExitError{}, ignored, false, 0, "unknown"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{}}, fail, true, 0, "dns"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, fail, true, 0, "connect"},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, fail, true, 0, "transfer"},
		{io.ErrUnexpectedEOF, fail, true, 0, "transfer"},
	} {
		want := middleware.Verdict{Class: row.class, Retry: row.retry, After: row.after, Reason: row.reason}
		if got := Classify(row.err); got != want {
			t.Errorf("%v: got %+v, want %+v", row.err, got, want)
		}
	}
}

func TestDo(t *testing.T) {
	broken := &Error{Op: "gc", Kind: KindServer}
	for _, row := range []struct {
		name  string
		op    Op
		err   error
		runs  int
		class middleware.Class
	}{
		{"repeated", Op{Name: "gc", Key: "example.com:443", Repeatable: true}, broken, 3, middleware.Failure},
		{"not repeated", Op{Name: "gc"}, broken, 1, middleware.Failure},
		{"lasting", Op{Name: "gc", Repeatable: true}, &Error{Kind: KindAuth}, 1, middleware.Success},
		{"another's git", Op{Repeatable: true}, &exec.ExitError{Stderr: []byte("fatal: early EOF")}, 3, middleware.Failure},
		{"unknown", Op{Repeatable: true}, errors.New("early EOF"), 1, middleware.Ignored},
		{"slow once more", Op{Repeatable: true}, &Error{Kind: KindSlow}, 2, middleware.Failure},
		{"rejected", Op{Repeatable: true}, &middleware.Rejection{Reason: middleware.ErrOpen}, 1, middleware.Ignored},
		{"success", Op{Repeatable: true}, nil, 1, middleware.Success},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen verdicts
			runs := 0
			err := newClient(t, retry(&seen), Config{}).Do(bounded(t), row.op, func(ctx context.Context) error {
				runs++
				if middleware.Attempt(ctx) != runs {
					t.Errorf("attempt %d is numbered %d", runs, middleware.Attempt(ctx))
				}
				return row.err
			})
			if err != row.err || runs != row.runs {
				t.Errorf("got %v after %d runs, want the error itself after %d", err, runs, row.runs)
			}
			if v := seen.seen[0]; v.Class != row.class {
				t.Errorf("the verdict is %+v, want %s", v, row.class)
			}
			if seen.op != (middleware.Operation{Name: row.op.Name, Key: row.op.Key}) {
				t.Errorf("the operation is %+v", seen.op)
			}
		})
	}
	if err := newClient(t, nil, Config{}).Do(t.Context(), Op{Name: "x"}, nil); KindOf(err) != KindUsage {
		t.Errorf("a nil function: got %v", err)
	}
}

// A function that may not be repeated is not repeated because its time was up.
func TestDoTimeout(t *testing.T) {
	limit := policies.NewTimeout(policies.TimeoutConfig{Limit: time.Millisecond})
	for repeatable, want := range map[bool]int{false: 1, true: 2} {
		runs := 0
		err := newClient(t, retry(limit), Config{}).Do(t.Context(), Op{Repeatable: repeatable}, func(ctx context.Context) error {
			runs++
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, middleware.ErrTimeout) || runs != want {
			t.Errorf("repeatable %v: got %v after %d runs, want %d", repeatable, err, runs, want)
		}
	}
}

func TestG11Error(t *testing.T) {
	cause := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for _, row := range []struct {
		err  *Error
		text string
	}{
		{&Error{Op: "clone", Kind: KindServer, ExitCode: 128, HTTPStatus: 503, Stderr: "x\nfatal: last"}, "git clone: fatal: last (server, exit status 128)"},
		{&Error{Op: "fetch", Kind: KindUsage, Err: errors.New("the depth is -1")}, "git fetch: the depth is -1 (usage)"},
		{&Error{}, "git: failed without a message ()"},
		{&Error{Op: "push", Kind: KindAuth, ExitCode: 128, Stderr: "a\nb", line: "a"}, "git push: a (auth, exit status 128)"},
	} {
		if got := row.err.Error(); got != row.text {
			t.Errorf("got %q, want %q", got, row.text)
		}
	}
	_, err := newClient(t, nil, Config{}).LsRemote(ctx, "http://127.0.0.1:1/a")
	if failure(t, err, KindCanceled); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("%v is not the end of the context and its cause", err)
	}
}
