package timeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestColumns(t *testing.T) {
	for _, row := range []struct {
		name   string
		colour bool
		want   string
	}{
		{"plain", false, `
One part

  0.000s  s3       upload    8 parts
  1.500s  s3       breaker   CLOSED -> OPEN: consecutive failures, next probe in 2s
  1.500s  git      timeout   attempt 1 cut off after 3s
and a text
`},
		{"coloured", true, "" +
			"\n\x1b[1mOne part\x1b[0m\n\n" +
			"\x1b[2m  0.000s\x1b[0m  s3       \x1b[32mupload    8 parts\x1b[0m\n" +
			"\x1b[2m  1.500s\x1b[0m  s3       \x1b[33mbreaker   CLOSED -> OPEN: consecutive failures, next probe in 2s\x1b[0m\n" +
			"\x1b[2m  1.500s\x1b[0m  git      \x1b[33mtimeout   attempt 1 cut off after 3s\x1b[0m\n" +
			"and a text\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				line := New(&out, row.colour)
				line.Title("One %s", "part")
				line.Gap()
				line.Line(Good, "s3", "upload", "%d parts", 8)
				time.Sleep(1500 * time.Millisecond)
				for _, e := range []middleware.Event{
					{Kind: middleware.Transition, Chain: "s3", Policy: "breaker", From: "closed", To: "open", Reason: "consecutive_failures", Wait: 2 * time.Second},
					{Kind: middleware.Rejected, Chain: "s3", Policy: "breaker"},
					{Kind: middleware.TimedOut, Chain: "git", Policy: "attempt_timeout", Attempt: 1, Wait: 3 * time.Second},
				} {
					line.Observe(t.Context(), e)
				}
				line.Text("and a text\n\n")
				if got := out.String(); got != row.want {
					t.Errorf("got\n%s\nwant\n%s", got, row.want)
				}
			})
		})
	}
}

func TestDescribe(t *testing.T) {
	failed := errors.New("it failed")
	for _, row := range []struct {
		event middleware.Event
		want  string
	}{
		{middleware.Event{Kind: middleware.RetryScheduled, Attempt: 1, Wait: 103456 * time.Microsecond, Reason: "backoff", Err: failed}, "attempt 1 failed (it failed), next in 103ms (backoff)"},
		{middleware.Event{Kind: middleware.RetryScheduled, Attempt: 2, Wait: time.Second, Reason: "retry_after", Err: failed}, "attempt 2 failed (it failed), next in 1s (as the server asked)"},
		{middleware.Event{Kind: middleware.RetryStopped, Attempt: 3, Reason: "exhausted", Err: failed}, "attempt 3 failed (it failed), the last one"},
		{middleware.Event{Kind: middleware.RetryStopped, Attempt: 2, Reason: "not_retryable", Err: &middleware.Rejection{Reason: middleware.ErrOpen}}, "attempt 2: circuit breaker is open, so no more attempts"},
		{middleware.Event{Kind: middleware.RetryStopped, Attempt: 1, Reason: "retry_after", Err: failed}, "attempt 1 failed (it failed), stopped: retry after"},
		{middleware.Event{Kind: middleware.Transition, From: "half_open", To: "closed", Reason: "probe_succeeded"}, "HALF_OPEN -> CLOSED: probe succeeded"},
		{middleware.Event{Kind: middleware.TimedOut, Policy: "timeout", Wait: time.Minute}, "cut off after 1m0s"},
		{middleware.Event{Kind: middleware.Waited, Wait: 5 * time.Millisecond}, "held back for 5ms"},
		{middleware.Event{Kind: middleware.HedgeStarted, Attempt: 2, Wait: 150 * time.Millisecond}, "no answer after 150ms, so attempt 2 begins beside it"},
		{middleware.Event{Kind: middleware.HedgeWon, Attempt: 2}, "attempt 2 was answered first"},
		{middleware.Event{Kind: middleware.Rejected}, ""},
	} {
		if got := Describe(row.event); got != row.want {
			t.Errorf("%s: got %q, want %q", row.event.Kind, got, row.want)
		}
	}
}

type statusError int

func (statusError) Error() string     { return "status" }
func (s statusError) StatusCode() int { return int(s) }

func TestBrief(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	other := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route")}
	for _, row := range []struct {
		err  error
		want string
	}{
		{nil, "no error"},
		{errors.New("plain\nand more"), "plain"},
		{errors.New(strings.Repeat("é", 71)), strings.Repeat("é", 67) + "..."},
		{&url.Error{Op: "Get", URL: "http://secret@host", Err: dial}, "connection refused"},
		{&url.Error{Op: "Get", URL: "http://secret@host", Err: other}, "no route"},
		{&url.Error{Op: "Get", URL: "http://secret@host", Err: errors.New("odd")}, "odd"},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), "connection cut"},
		{&url.Error{Op: "Post", URL: "http://secret@host", Err: io.EOF}, "connection cut"},
		{statusError(503), "status 503"},
		{miniogo.ErrorResponse{StatusCode: 503, Message: "wait"}, "status 503"},
		{&git.Error{Kind: git.KindServer, HTTPStatus: 503}, "status 503"},
		{&git.Error{Kind: git.KindConnect}, "no connection"},
		{&git.Error{Kind: git.KindTransfer}, "the transfer was cut"},
		{&git.Error{Kind: git.KindRefMissing}, "ref missing"},
		{context.DeadlineExceeded, "no answer in time"},
		{&middleware.Rejection{Reason: middleware.ErrTimeout}, "no answer in time"},
		{&middleware.Rejection{Chain: "s3", Reason: middleware.ErrOpen}, "circuit breaker is open"},
	} {
		if got := Brief(row.err); got != row.want {
			t.Errorf("%v: got %q, want %q", row.err, got, row.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, row := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {1234 * time.Nanosecond, "1.2µs"}, {12345 * time.Nanosecond, "12µs"}, {1234567 * time.Nanosecond, "1.23ms"},
		{12345678 * time.Nanosecond, "12.3ms"}, {123456789 * time.Nanosecond, "123ms"}, {1234567890 * time.Nanosecond, "1.23s"}, {12345 * time.Millisecond, "12.3s"},
	} {
		if got := Duration(row.d); got != row.want {
			t.Errorf("%d: got %s, want %s", row.d, got, row.want)
		}
	}
}

func TestColoured(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for _, row := range []struct {
		name string
		file *os.File
		env  map[string]string
		want bool
	}{
		{"terminal", device, nil, true},
		{"file", file, nil, false},
		{"NO_COLOR", device, map[string]string{"NO_COLOR": "1"}, false},
		{"NO_COLOR is empty", device, map[string]string{"NO_COLOR": ""}, true},
		{"dumb terminal", device, map[string]string{"TERM": "dumb"}, false},
	} {
		if got := Coloured(row.file, func(k string) string { return row.env[k] }); got != row.want {
			t.Errorf("%s: got %v", row.name, got)
		}
	}
}
