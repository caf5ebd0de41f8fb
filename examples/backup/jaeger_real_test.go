//go:build real

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/pinned"
)

// patience is how long a test waits for Jaeger.
const patience = time.Minute

// A jaeger is a real one, with the settings of `make jaeger` but on free ports.
type jaeger struct {
	api      string // its query API
	endpoint string // where it takes traces, by OTLP over HTTP
	log      string
	client   *http.Client
	exited   chan struct{} // closed when it has ended
}

// startJaeger returns when Jaeger answers. It ends with the test.
func startJaeger(t *testing.T) *jaeger {
	t.Helper()
	program := pinned.Program(t, "jaeger")
	config, err := filepath.Abs("../../tools/jaeger/jaeger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var addresses [4]string
	for i := range addresses {
		addresses[i] = freeAddress(t)
	}
	transport := new(http.Transport) // without a proxy
	t.Cleanup(transport.CloseIdleConnections)
	j := &jaeger{
		api: "http://" + addresses[0], endpoint: "http://" + addresses[1], log: filepath.Join(t.TempDir(), "jaeger.log"),
		client: &http.Client{Transport: transport, Timeout: 10 * time.Second}, exited: make(chan struct{}),
	}
	output, err := os.Create(j.log)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd := exec.Command(program, "--config", config)
	cmd.Env = append(os.Environ(), "JAEGER_QUERY_HTTP="+addresses[0], "JAEGER_OTLP_HTTP="+addresses[1],
		"JAEGER_QUERY_GRPC="+addresses[2], "JAEGER_OTLP_GRPC="+addresses[3])
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = output, output, diesWithParent()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for Linux the parent is the thread
		defer runtime.UnlockOSThread()
		defer close(j.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-j.exited
	})
	j.await(t, "it to start", func() error { return j.ask(t.Context(), "/api/services", nil, new(any)) })
	return j
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await repeats try until it returns nil.
func (j *jaeger) await(t *testing.T, what string, try func() error) {
	t.Helper()
	end := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-j.exited:
			t.Fatalf("Jaeger ended while the test waited for %s: %s", what, j.tail())
		case <-end:
			t.Fatalf("waited %v for %s: %v: %s", patience, what, err, j.tail())
		}
	}
}

func (j *jaeger) tail() string {
	text, err := os.ReadFile(j.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4<<10):])
}

// read returns the body of an answer of the query API.
func (j *jaeger) read(ctx context.Context, path string, query url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.api+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := j.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s was answered %s: %.200s", path, resp.Status, body)
	}
	return body, err
}

// ask reads the data of an answer in version 1 of the query API.
func (j *jaeger) ask(ctx context.Context, path string, query url.Values, data any) error {
	body, err := j.read(ctx, path, query)
	if err != nil {
		return err
	}
	answer := struct {
		Data any `json:"data"`
	}{data}
	return json.Unmarshal(body, &answer)
}

// find returns the traces of the demonstration that have a span of this operation, with
// these tags.
func (j *jaeger) find(ctx context.Context, operation string, tags map[string]string) ([]*seenTrace, error) {
	query := url.Values{"service": {serviceName}, "limit": {"1000"}}
	if operation != "" {
		query.Set("operation", operation)
	}
	if len(tags) > 0 {
		text, err := json.Marshal(tags)
		if err != nil {
			return nil, err
		}
		query.Set("tags", string(text))
	}
	var traces []*seenTrace
	if err := j.ask(ctx, "/api/traces", query, &traces); err != nil {
		return nil, err
	}
	return traces, nil
}

// one returns a trace.
func (j *jaeger) one(ctx context.Context, id string) (*seenTrace, error) {
	var traces []*seenTrace
	if err := j.ask(ctx, "/api/traces/"+id, nil, &traces); err != nil {
		return nil, err
	}
	if len(traces) != 1 {
		return nil, errors.New("there is no such trace")
	}
	return traces[0], nil
}
