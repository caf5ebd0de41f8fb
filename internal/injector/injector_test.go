package injector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const answerSize = 64 << 10

// A bench is a client, an injector and a server that answers with zeros and counts
// the requests that reached it whole.
type bench struct {
	*Injector
	client *http.Client
	url    string
	served atomic.Int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Injector: New()}
	server := httptest.NewServer(b.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			b.served.Add(1)
		}
		_, _ = w.Write(make([]byte, answerSize))
	})))
	if err := b.Start(server.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	b.client, b.url = &http.Client{Transport: transport}, "http://"+b.Addr()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		b.Close()
		if n := b.Open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
		server.Close()
	})
	return b
}

func (b *bench) set(t *testing.T, f Fault) {
	t.Helper()
	b.client.CloseIdleConnections()
	if err := b.Set(f); err != nil {
		t.Fatal(err)
	}
}

// post sends a body of 64 KiB and reads the answer.
func (b *bench) post(ctx context.Context) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, io.MultiReader(bytes.NewReader(make([]byte, 64<<10))))
	if err != nil {
		return nil, nil, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func (b *bench) works(t *testing.T) {
	t.Helper()
	if resp, body, err := b.post(t.Context()); err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, make([]byte, answerSize)) {
		t.Errorf("got %v, %d bytes, %v, want a whole answer", resp, len(body), err)
	}
}

func TestFaults(t *testing.T) {
	for _, row := range []struct {
		name   string
		fault  Fault
		served int64
		check  func(*http.Response, []byte, error) bool
	}{
		{"none", Fault{}, 1, func(_ *http.Response, b []byte, err error) bool { return len(b) == answerSize && err == nil }},
		{"refuse", Refuse(), 0, func(_ *http.Response, _ []byte, err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		{"hang", Hang(), 0, func(_ *http.Response, _ []byte, err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"cut the request", CutRequest(20 << 10), 0, func(resp *http.Response, _ []byte, err error) bool { return err != nil && resp == nil }},
		{"cut the answer", CutAnswer(20 << 10), 1, func(resp *http.Response, b []byte, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && resp.StatusCode == http.StatusOK && len(b) > 0 && len(b) < 20<<10
		}},
		{"lose the answer", CutAnswer(0), 1, func(resp *http.Response, _ []byte, err error) bool { return err != nil && resp == nil }},
		{"reset", Reset(20 << 10), 1, func(resp *http.Response, b []byte, err error) bool {
			return errors.Is(err, syscall.ECONNRESET) && len(b) < 20<<10
		}},
		{"late", Late(time.Hour), 1, func(_ *http.Response, _ []byte, err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"a little late", Late(time.Millisecond), 1, func(_ *http.Response, b []byte, err error) bool {
			return err == nil && bytes.Equal(b, make([]byte, answerSize))
		}},
		{"slow", Slow(1 << 10), 0, func(resp *http.Response, _ []byte, err error) bool {
			return resp == nil && errors.Is(err, context.DeadlineExceeded)
		}},
		{"a little slow", Slow(10 << 20), 1, func(_ *http.Response, b []byte, err error) bool {
			return err == nil && bytes.Equal(b, make([]byte, answerSize))
		}},
		{"slow down", SlowDown(), 0, func(resp *http.Response, b []byte, err error) bool {
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(b), "<Code>SlowDown</Code>")
		}},
		{"over", Hang().For(time.Nanosecond), 1, func(_ *http.Response, b []byte, err error) bool {
			return err == nil && bytes.Equal(b, make([]byte, answerSize))
		}},
		{"busy", Busy(2 * time.Second), 0, func(resp *http.Response, _ []byte, err error) bool {
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "2"
		}},
		{"corrupt", Corrupt(40 << 10), 1, func(_ *http.Response, b []byte, err error) bool {
			want := make([]byte, answerSize)
			want[40<<10] = 1
			return err == nil && bytes.Equal(b, want)
		}},
		{"corrupt beyond the end", Corrupt(answerSize), 1, func(_ *http.Response, b []byte, err error) bool {
			return err == nil && bytes.Equal(b, make([]byte, answerSize))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.works(t)
			b.set(t, row.fault)
			ctx, cancel := t.Context(), func() {}
			switch row.name {
			case "hang", "late", "slow":
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			defer cancel()
			if resp, body, err := b.post(ctx); !row.check(resp, body, err) {
				t.Errorf("got %v, %d bytes, %v", resp, len(body), err)
			}
			b.set(t, Fault{})
			b.works(t)
			if got := b.served.Load(); got != row.served+2 {
				t.Errorf("the server had %d whole requests, want %d", got, row.served+2)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault Fault
	}{
		{"connections", CutAnswer(0).Times(2)},
		{"requests", Busy(time.Second).Times(2)},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.set(t, row.fault)
			for n := range 2 {
				if resp, _, err := b.post(t.Context()); err == nil && resp.StatusCode == http.StatusOK {
					t.Errorf("call %d passed", n+1)
				}
			}
			b.works(t)
		})
	}
}

// A connection that carries less than the fault needs does not use it up.
func TestACutWaitsForAConnectionThatGetsSoFar(t *testing.T) {
	b := newBench(t)
	b.set(t, CutRequest(100<<10).Times(1))
	b.works(t)
	b.client.CloseIdleConnections()
	b.works(t)
	if _, _, err := b.post(t.Context()); err == nil { // on the same connection
		t.Error("the connection was not cut")
	}
	b.works(t)
}

func TestSetCutsOpenConnections(t *testing.T) {
	b := newBench(t)
	b.works(t)
	if err := b.Set(Refuse()); err != nil { // the client keeps its idle connection
		t.Fatal(err)
	}
	if _, _, err := b.post(t.Context()); err == nil {
		t.Error("an open connection escaped the fault")
	}
}

func TestSetAfterClose(t *testing.T) {
	i := New()
	i.Close()
	if err := i.Set(Fault{}); err == nil {
		t.Error("no error")
	}
}

func TestFaultString(t *testing.T) {
	for _, row := range []struct {
		fault Fault
		want  string
	}{
		{Fault{}, "back to normal"},
		{Refuse(), "connections are refused"},
		{Hang(), "every connection is never answered"},
		{Hang().Times(1), "the next connection is never answered"},
		{CutRequest(3 << 20).Times(2), "the next 2 connections are cut in mid-body, 3.0 MiB into the request"},
		{CutAnswer(200).Times(1), "the next connection is cut in mid-body, 200 bytes into the answer"},
		{CutAnswer(0).Times(1), "the next connection is cut when the answer comes"},
		{CutAnswer(1536), "every connection is cut in mid-body, 1.5 KiB into the answer"},
		{Busy(time.Second), "every request is answered 503 with Retry-After: 1"},
		{Reset(100), "every connection is reset, 100 bytes into the answer"},
		{Late(5 * time.Second), "every answer comes 5s late"},
		{Slow(50 << 10), "every connection carries 50.0 KiB in a second"},
		{SlowDown(), "every request is answered SlowDown"},
		{Corrupt(7), "every answer is changed in the byte at 7"},
	} {
		if got := row.fault.String(); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}
