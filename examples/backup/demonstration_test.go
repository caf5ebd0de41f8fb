package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/internal/injector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A console is an output that calls back once when it has a text.
type console struct {
	mu    sync.Mutex
	text  bytes.Buffer
	await string
	then  func()
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.text.Write(p)
	if c.then != nil && strings.Contains(c.text.String(), c.await) {
		c.then()
		c.then = nil
	}
	return n, err
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// clean fails the test when something is left in the folder for temporary files.
func clean(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// inOrder expects lines of a timeline: service, who, and a part of what happened.
func inOrder(t *testing.T, text string, want [][3]string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for _, w := range want {
		for {
			if len(lines) == 0 {
				t.Errorf("missing, or in the wrong place: %q", w)
				return
			}
			line := lines[0]
			lines = lines[1:]
			fields := strings.Fields(line)
			if len(fields) > 2 && fields[1] == w[0] && fields[2] == w[1] && strings.Contains(line, w[2]) {
				break
			}
		}
	}
}

func TestWholeDemonstration(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	clean(t)
	var out console
	// Neither a proxy nor the user's git gets in the way.
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	err := run(t.Context(), options{out: &out, module: project, slack: 2})
	text := out.String()
	if err != nil || testing.Verbose() {
		t.Log("\n" + text)
	}
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if t.Failed() && !testing.Verbose() {
			t.Log("\n" + text)
		}
	})
	inOrder(t, text, [][3]string{
		{"git", "clone", "files"},
		{"-", "archive", "files"},
		{"s3", "upload", "backup-1.tar.gz"},
		{"http", "notify", "backup-1.tar.gz recorded as b1"},

		{"git", "fault", "503 with Retry-After: 1"},
		{"git", "retry", "attempt 1 failed (status 503), next in"},
		{"git", "ls-remote", "nothing new"},
		{"git", "fault", "never answered"},
		{"git", "timeout", "attempt 1 cut off after"},
		{"git", "retry", "attempt 1 failed (no answer in time), next in"},
		{"git", "ls-remote", "nothing new"},
		{"git", "fault", "cut in mid-body"},
		{"git", "retry", "attempt 1 failed (the transfer was cut), next in"},
		{"git", "clone", "files"},
		{"git", "fault", "connections are refused"},
		{"git", "retry", "attempt 2 failed (no connection), next in"},
		{"git", "breaker", "CLOSED -> OPEN"},
		{"git", "retry", "attempt 3 failed (no connection), the last one"},
		{"git", "fallback", "will do"},
		{"git", "rejected", "circuit breaker is open"},
		{"git", "rejected", "calls more"},
		{"git", "fault", "over"},
		{"git", "breaker", "OPEN -> HALF_OPEN"},
		{"git", "breaker", "HALF_OPEN -> CLOSED"},
		{"git", "fetch", "is new"},
		{"git", "summary", "4 faults"},
		{"git", "policies", "1 breaker opened"},

		{"s3", "fault", "503 with Retry-After: 1"},
		{"s3", "retry", "attempt 1 failed (status 503), next in"},
		{"s3", "upload", "backup-2.tar.gz"},
		{"s3", "fault", "never answered"},
		{"s3", "timeout", "attempt 1 cut off after"},
		{"s3", "upload", "backup-3.tar.gz"},
		{"s3", "fault", "cut in mid-body"},
		{"s3", "retry", "attempt 1 failed (connection cut), next in"},
		{"s3", "upload", "backup-4.tar.gz"},
		{"s3", "fault", "connections are refused"},
		{"s3", "retry", "attempt 3 failed (connection refused), the last one"},
		{"standby", "fallback", "backup-5.tar.gz"},
		{"s3", "breaker", "CLOSED -> OPEN"},
		{"s3", "retry", "attempt 2: circuit breaker is open, so no more attempts"},
		{"standby", "fallback", "backup-6.tar.gz"},
		{"s3", "rejected", "backup-7.tar.gz"},
		{"standby", "fallback", "backup-7.tar.gz"},
		{"s3", "rejected", "calls more"},
		{"s3", "fault", "over"},
		{"s3", "breaker", "OPEN -> HALF_OPEN"},
		{"s3", "reconcile", "backup-5.tar.gz"},
		{"s3", "breaker", "HALF_OPEN -> CLOSED"},
		{"s3", "reconcile", "backup-7.tar.gz"},
		{"s3", "upload", "backup-8.tar.gz"},

		{"http", "fault", "503 with Retry-After: 1"},
		{"http", "retry", "attempt 1 failed (status 503), next in 1"},
		{"http", "notify", "backup-2.tar.gz recorded"},
		{"http", "fault", "never answered"},
		{"http", "timeout", "attempt 1 cut off after"},
		{"http", "notify", "backup-3.tar.gz recorded"},
		{"http", "fault", "cut in mid-body"},
		{"http", "retry", "attempt 1 failed (connection cut), next in"},
		{"http", "notify", "backup-4.tar.gz recorded"},
		{"http", "fault", "cut when the answer comes"},
		{"http", "notify", "backup-5.tar.gz was recorded already"},
		{"http", "fault", "connections are refused"},
		{"http", "outbox", "backup-6.tar.gz"},
		{"http", "breaker", "CLOSED -> OPEN"},
		{"http", "rejected", "backup-8.tar.gz"},
		{"http", "rejected", "calls more"},
		{"http", "breaker", "OPEN -> HALF_OPEN"},
		{"http", "notify", "backup-6.tar.gz recorded"},
		{"http", "breaker", "HALF_OPEN -> CLOSED"},
		{"http", "notify", "backup-8.tar.gz recorded"},

		{"s3", "balance", "8 backups made, 8 objects in the first bucket, none left in the second"},
		{"http", "balance", "8 records of 9 requests that arrived"},
		{"http", "fault", "never answered"},
		{"records", "hedge", "so attempt 2 begins beside it"},
		{"records", "hedge", "attempt 2 was answered first"},
		{"records", "rate_limit", "held back for"},
		{"records", "balance", "8 records looked up"},
		{"s3", "fault", "cut in mid-body"},
		{"records", "look", "b8 is backup-8.tar.gz"},
		{"s3", "retry", "attempt 1 failed (connection cut), next in"},
		{"s3", "download", "backup-8.tar.gz"},
		{"-", "compare", "the SHA-256 of each"},
	})
	for _, want := range []string{"Health: 100%", "One trace: a backup while S3 is down", "standby FPutObject", "retry.scheduled"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %q", want)
		}
	}
	if last := lastLine(text); !strings.HasPrefix(last, "restored ") || !strings.HasSuffix(last, " bytes, all checksums equal") {
		t.Errorf("the last line is %q", last)
	}
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndex(text, "\n")+1:]
}

func TestOneDifferentByteIsAnError(t *testing.T) {
	clean(t)
	var out console
	err := run(t.Context(), options{out: &out, source: t.TempDir(), module: project, slack: 4, calm: true, sabotage: func(s *stage) error {
		return s.s3.Set(injector.Corrupt(1 << 20)) // in the first file of the archive
	}})
	if err == nil || !strings.Contains(err.Error(), "payload.bin differs: its SHA-256 is ") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if strings.Count(fmt.Sprint(err), "differs") != 1 {
		t.Errorf("got %v, want one file that differs", err)
	}
	if strings.Contains(out.String(), "all checksums equal") {
		t.Errorf("the output says that all is well:\n%s", &out)
	}
	if code := exitCode(&out, err); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestInterrupt(t *testing.T) {
	for _, row := range []struct {
		name, await string
		calm        bool
	}{
		{"before the clone", "1. ", true},
		{"before the upload", "archive  ", true},
		{"before the notification", "upload  ", true},
		{"while no answer comes", "never answered", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			clean(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := console{await: row.await, then: cancel}
			err := run(ctx, options{out: &out, module: project, slack: 100, calm: row.calm})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v; output:\n%s", err, context.Canceled, &out)
			}
			if code := exitCode(&out, err); code != 130 {
				t.Errorf("exit code %d, want 130", code)
			}
		})
	}
}

func TestExport(t *testing.T) {
	var received atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			received.Add(r.ContentLength)
		}
	}))
	defer collector.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, row := range []struct {
		name, endpoint, says string
		arrives              bool
	}{
		{"collector", collector.URL, "They were sent to " + collector.URL, true},
		{"no collector", strings.Replace(gone.URL, "://", "://user:secret@", 1), "They could not be sent to " + gone.URL, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			clean(t)
			t.Setenv(endpointVariable, row.endpoint)
			received.Store(0)
			var out console
			if err := run(t.Context(), options{out: &out, source: t.TempDir(), module: project, slack: 4, calm: true, endpoint: row.endpoint}); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			if !strings.Contains(text, row.says) || strings.Contains(text, "secret") || strings.Contains(text, "One trace") {
				t.Errorf("output:\n%s", text)
			}
			if arrived := received.Load() > 0; arrived != row.arrives {
				t.Errorf("received %d bytes", received.Load())
			}
			if last := lastLine(text); !strings.HasPrefix(last, "restored ") {
				t.Errorf("the last line is %q", last)
			}
		})
	}
}

func TestBadEndpoint(t *testing.T) {
	clean(t)
	for _, endpoint := range []string{"://", "localhost:4318", "http://", "ftp://localhost"} {
		err := run(t.Context(), options{out: new(console), source: t.TempDir(), module: project, calm: true, endpoint: endpoint})
		if err == nil || !strings.HasPrefix(err.Error(), endpointVariable+" is not a URL") {
			t.Errorf("%q: got %v, want an error that names the variable", endpoint, err)
		}
	}
}

// A failure right after the servers have started stops them: goleak would find them.
func TestFailureAtTheBeginning(t *testing.T) {
	clean(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &console{await: "all through Tidegate", then: cancel}
	err := run(ctx, options{out: out, source: t.TempDir(), module: project, slack: 4, calm: true})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the interruption", err)
	}
}

func TestOutputThatNobodyReads(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	stopped := false
	out := &listened{Writer: w, stop: func() { stopped = true }}
	if _, err := out.Write([]byte("x")); err == nil || !stopped {
		t.Errorf("got %v, stopped: %v", err, stopped)
	}
}

func TestTally(t *testing.T) {
	none, some := new(tally), &tally{counts: map[string]*counts{"a": {retries: 1, hedges: 1, rejections: 2}, "b": {timeouts: 3, waits: 2, openings: 1}}}
	for _, row := range []struct{ got, want string }{
		{none.summary("a"), "the policies had nothing to do"},
		{none.total(), "the policies had nothing to do"},
		{some.summary("a"), "1 retry, 1 hedge, 2 calls rejected"},
		{some.total(), "1 retry, 1 hedge, 3 attempts cut off, 2 calls held back, 1 breaker opened, 2 calls rejected"},
	} {
		if row.got != row.want {
			t.Errorf("got %q, want %q", row.got, row.want)
		}
	}
}
