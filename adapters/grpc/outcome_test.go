package grpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate-go/tidegate/middleware"
)

// The package comment shows the table that Classify goes by. When this fails, replace the
// table in doc.go by the one that is printed.
func TestTheDocumentationShowsTheTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	repeats := map[repeat]string{never: "never", safe: "if idempotent, or never sent"}
	line := func(columns ...string) string {
		return fmt.Sprintf("//\t%-56s %-30s %s\n", columns[0], columns[1], columns[2])
	}
	table := line("outcome", "repeated", "counts as")
	for _, r := range rows {
		table += line(r.name, repeats[r.repeat], r.class.String())
	}
	if !strings.Contains(string(doc), table) {
		t.Errorf("doc.go does not have this table:\n%s", table)
	}
}

func info(t *testing.T, code codes.Code, after time.Duration) error {
	t.Helper()
	st, err := status.New(code, "later").WithDetails(&errdetails.QuotaFailure{}, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

func TestClassify(t *testing.T) {
	type verdict = middleware.Verdict
	pushed := func(values ...string) metadata.MD { return metadata.MD{pushbackKey: values} }
	broken := func(code codes.Code) error { return status.Error(code, "it says so") }
	for name, row := range map[string]struct {
		o    Outcome
		want verdict
	}{
		"success":                   {Outcome{Sent: true}, verdict{}},
		"unavailable":               {Outcome{Err: broken(codes.Unavailable), Sent: true}, verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"unavailable, idempotent":   {Outcome{Err: broken(codes.Unavailable), Sent: true, Idempotent: true}, verdict{Class: middleware.Failure, Retry: true, Reason: "unavailable"}},
		"unavailable, never sent":   {Outcome{Err: broken(codes.Unavailable)}, verdict{Class: middleware.Failure, Retry: true, Reason: "unavailable"}},
		"wrapped":                   {Outcome{Err: fmt.Errorf("x: %w", broken(codes.Unavailable)), Sent: true}, verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"quota":                     {Outcome{Err: broken(codes.ResourceExhausted), Sent: true, Idempotent: true}, verdict{Class: middleware.Throttled, Retry: true, Reason: "resource_exhausted"}},
		"quota, with RetryInfo":     {Outcome{Err: info(t, codes.ResourceExhausted, 3*time.Second), Sent: true}, verdict{Class: middleware.Throttled, After: 3 * time.Second, Reason: "resource_exhausted"}},
		"RetryInfo in the past":     {Outcome{Err: info(t, codes.Unavailable, -time.Second), Sent: true}, verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"too large to send":         {Outcome{Err: status.Error(codes.ResourceExhausted, "trying to send message larger than max (10 vs. 5)"), Sent: true, Idempotent: true}, verdict{Class: middleware.Ignored, Reason: "too_large"}},
		"too large to receive":      {Outcome{Err: status.Error(codes.ResourceExhausted, "grpc: received message larger than max (10 vs. 5)"), Sent: true, Idempotent: true}, verdict{Class: middleware.Ignored, Reason: "too_large"}},
		"too large for Java":        {Outcome{Err: status.Error(codes.ResourceExhausted, "gRPC message exceeds maximum size 4194304: 5000000"), Sent: true, Idempotent: true}, verdict{Class: middleware.Ignored, Reason: "too_large"}},
		"deadline, idempotent":      {Outcome{Err: broken(codes.DeadlineExceeded), Sent: true, Idempotent: true}, verdict{Class: middleware.Failure, Retry: true, Reason: "deadline_exceeded"}},
		"deadline of the caller":    {Outcome{Err: broken(codes.DeadlineExceeded), Idempotent: true, ended: byCaller}, verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"limit":                     {Outcome{Err: broken(codes.Canceled), Sent: true, ended: byLimit}, verdict{Class: middleware.Failure, Reason: "timeout"}},
		"limit, never sent":         {Outcome{Err: broken(codes.Canceled), ended: byLimit}, verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"}},
		"context error":             {Outcome{Err: context.DeadlineExceeded, Sent: true}, verdict{Class: middleware.Failure, Reason: "deadline_exceeded"}},
		"canceled by the server":    {Outcome{Err: broken(codes.Canceled), Sent: true, Idempotent: true}, verdict{Class: middleware.Ignored, Reason: "canceled"}},
		"aborted":                   {Outcome{Err: info(t, codes.Aborted, time.Second), Sent: true, Idempotent: true}, verdict{Class: middleware.Success, After: time.Second, Reason: "aborted"}},
		"not found":                 {Outcome{Err: broken(codes.NotFound), Sent: true, Idempotent: true}, verdict{Class: middleware.Success, Reason: "not_found"}},
		"unknown":                   {Outcome{Err: broken(codes.Unknown), Sent: true, Idempotent: true}, verdict{Class: middleware.Failure, Reason: "unknown"}},
		"no status":                 {Outcome{Err: errors.New("plain"), Sent: true, Idempotent: true}, verdict{Class: middleware.Failure, Reason: "unknown"}},
		"data loss":                 {Outcome{Err: broken(codes.DataLoss), Sent: true, Idempotent: true}, verdict{Class: middleware.Failure, Reason: "data_loss"}},
		"no code of gRPC":           {Outcome{Err: broken(77), Sent: true, Idempotent: true}, verdict{Class: middleware.Failure, Reason: "other"}},
		"no credentials, unsent":    {Outcome{Err: broken(codes.Unauthenticated), Idempotent: true}, verdict{Class: middleware.Ignored, Reason: "unsent"}},
		"rejected inside":           {Outcome{Err: &refusal{error: &middleware.Rejection{Reason: middleware.ErrOpen}, rejection: &middleware.Rejection{Reason: middleware.ErrOpen}}, Sent: true, Idempotent: true}, verdict{Class: middleware.Ignored, Reason: "rejected"}},
		"pushback permits":          {Outcome{Err: broken(codes.Unavailable), Sent: true, Trailer: pushed("250")}, verdict{Class: middleware.Failure, Retry: true, After: 250 * time.Millisecond, Reason: "unavailable"}},
		"pushback of zero":          {Outcome{Err: broken(codes.ResourceExhausted), Sent: true, Trailer: pushed("0")}, verdict{Class: middleware.Throttled, Retry: true, Reason: "resource_exhausted"}},
		"pushback in the header":    {Outcome{Err: broken(codes.Unavailable), Sent: true, Header: pushed("7")}, verdict{Class: middleware.Failure, Retry: true, After: 7 * time.Millisecond, Reason: "unavailable"}},
		"pushback before RetryInfo": {Outcome{Err: info(t, codes.Unavailable, time.Hour), Sent: true, Trailer: pushed("250")}, verdict{Class: middleware.Failure, Retry: true, After: 250 * time.Millisecond, Reason: "unavailable"}},
		"pushback forbids":          {Outcome{Err: broken(codes.Unavailable), Sent: true, Idempotent: true, Trailer: pushed("-1")}, verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"pushback makes no sense":   {Outcome{Err: broken(codes.Unavailable), Sent: true, Idempotent: true, Trailer: pushed("soon")}, verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"pushback twice":            {Outcome{Err: broken(codes.Unavailable), Sent: true, Idempotent: true, Trailer: pushed("1", "2")}, verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"pushback after not found":  {Outcome{Err: broken(codes.NotFound), Sent: true, Trailer: pushed("1")}, verdict{Class: middleware.Success, After: time.Millisecond, Reason: "not_found"}},
		"pushback after the limit":  {Outcome{Err: broken(codes.Canceled), Sent: true, Trailer: pushed("1"), ended: byLimit}, verdict{Class: middleware.Failure, After: time.Millisecond, Reason: "timeout"}},
	} {
		if got := Classify(row.o); got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}

// Reasons are a few words of letters and underscores, and every code has a row of its own.
func TestReasons(t *testing.T) {
	for _, r := range rows {
		if r.reason == "" || strings.Trim(r.reason, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%s has the reason %q", r.name, r.reason)
		}
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		name, _, _ := strings.Cut(rowOf(Outcome{Sent: true}, status.New(code, "")).name, ":")
		if name != code.String() {
			t.Errorf("%v has the row %q", code, name)
		}
	}
}

// A lateContext has a deadline that has passed, and ends when it ends.
type lateContext struct {
	context.Context

	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// A server that was told of the deadline may say that it has passed before a context here
// does, which says whose it was.
func TestTheServersTimerIsFaster(t *testing.T) {
	exceeded := status.Error(codes.DeadlineExceeded, "too late")
	for name, row := range map[string]struct {
		cause error
		after time.Duration
		in    time.Duration
		want  ending
	}{
		"limit":             {cause: &middleware.Rejection{Reason: middleware.ErrTimeout}, after: time.Millisecond, want: byLimit},
		"caller":            {cause: context.DeadlineExceeded, after: time.Millisecond, want: byCaller},
		"never ends":        {cause: context.Canceled, after: time.Hour, want: goesOn},
		"not yet over":      {cause: context.Canceled, after: time.Hour, in: time.Minute, want: goesOn},
		"ended by a caller": {cause: context.Canceled, in: time.Minute, want: byCaller},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if row.after == 0 {
					cancel(row.cause)
				} else {
					timer := time.AfterFunc(row.after, func() { cancel(row.cause) })
					defer timer.Stop()
				}
				began := time.Now()
				if got := new(call).endOf(lateContext{inner, began.Add(row.in)}, exceeded); got != row.want {
					t.Errorf("got %v, want %v", got, row.want)
				}
				if row.in > 0 && time.Since(began) > 0 {
					t.Error("it waited")
				}
			})
		})
	}
}

func FuzzPushback(f *testing.F) {
	for _, s := range []string{"", "0", "00012", "-1", "+5", "1e3", " 7", "9223372036854775807", "99999999999999999999999", "12\x00", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := parsePushback(s)
		digits := s != "" && strings.Trim(s, "0123456789") == ""
		if !p.given || p.permits != digits || p.after < 0 || p.after%time.Millisecond != 0 || !p.permits && p.after != 0 {
			t.Errorf("%q: %+v", s, p)
		}
		if len(s) < 10 && digits {
			if want, err := time.ParseDuration(s + "ms"); err != nil || p.after != want {
				t.Errorf("%q: %v, want %v, %v", s, p.after, want, err)
			}
		}
	})
}
