package kubernetes_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// echoExec is the server's end of an exec whose command is cat.
func echoExec(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := httpstream.Handshake(r, w, []string{"v4.channel.k8s.io"}); err != nil {
			t.Error(err)
			return
		}
		streams := make(chan httpstream.Stream, 3)
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			streams <- s
			return nil
		})
		if conn == nil {
			t.Error("the server could not upgrade")
			return
		}
		byType := map[string]httpstream.Stream{}
		for range 3 {
			s := <-streams
			byType[s.Headers().Get(corev1.StreamType)] = s
		}
		if _, err := io.Copy(byType[corev1.StreamTypeStdout], byType[corev1.StreamTypeStdin]); err != nil {
			t.Error(err)
		}
		byType[corev1.StreamTypeStdout].Close()
		byType[corev1.StreamTypeError].Close()
		<-conn.CloseChan()
	}
}

func TestK5ExecThroughAnUpgradedConnection(t *testing.T) {
	a := newAPI()
	exec, requests := echoExec(t), new(atomic.Int64)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if strings.HasSuffix(r.URL.Path, "/exec") {
			exec(w, r)
			return
		}
		a.ServeHTTP(w, r)
	}))
	web.Config.ErrorLog = quiet
	web.StartTLS()
	t.Cleanup(web.Close)

	for name, opts := range map[string][]adapter.Option{"client-go repeats": nil, "the chain repeats": {adapter.WithRetries()}} {
		t.Run(name, func(t *testing.T) {
			requests.Store(0)
			seen := &recorder{}
			config := adapter.Wrap(trusting(web), middleware.NewChain("kube", repeating(3), seen,
				policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}),
				policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd})), opts...)
			c := clientFor(t, config)
			t.Cleanup(func() { closeIdle(t, config) })
			options := &corev1.PodExecOptions{Command: []string{"cat"}, Stdin: true, Stdout: true}
			u := c.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("one").SubResource("exec").
				VersionedParams(options, scheme.ParameterCodec).URL()
			executor, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, u)
			if err != nil {
				t.Fatal(err)
			}
			in, typed := io.Pipe()
			var out bytes.Buffer
			done := make(chan error, 1)
			go func() {
				done <- executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: in, Stdout: &out})
			}()
			if _, err := io.WriteString(typed, "the first line\n"); err != nil {
				t.Fatal(err)
			}
			// The connection is open, and takes no place.
			if err := calls["list"](t.Context(), c); err != nil {
				t.Error(err)
			}
			if _, err := typed.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
				t.Fatal(err)
			}
			typed.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if out.Len() != len("the first line\n")+1<<20 || !strings.HasPrefix(out.String(), "the first line\nxxx") {
				t.Errorf("%d bytes came back", out.Len())
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
			for _, one := range seen.take() {
				if one.held || one.verdict.Class != middleware.Success {
					t.Errorf("%+v", one)
				}
			}
		})
	}
}

// An answer that is no upgrade is one of the server, although client-go's transport for
// WebSocket returns an error.
func TestK5ExecThroughAWebSocket(t *testing.T) {
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		want   middleware.Verdict
	}{
		"upgraded":           {echoSocket(t), middleware.Verdict{}},
		"NotFound":           {answering(apierrors.NewNotFound(aResource, "one")), middleware.Verdict{Reason: "not_found"}},
		"Forbidden":          {answering(apierrors.NewForbidden(aResource, "one", errModified)), middleware.Verdict{Reason: "forbidden"}},
		"ServiceUnavailable": {answering(apierrors.NewServiceUnavailable("down")), middleware.Verdict{Class: middleware.Failure, Reason: "unavailable"}},
		"broken":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, middleware.Verdict{Class: middleware.Failure, Reason: "connection"}},
		"no Status":          {http.NotFound, middleware.Verdict{Class: middleware.Ignored, Reason: "upgrade"}},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				row.answer(w, r)
			}))
			web.Config.ErrorLog = quiet
			web.StartTLS()
			t.Cleanup(web.Close)
			seen := &recorder{}
			config := adapter.Wrap(trusting(web), middleware.NewChain("kube", repeating(3), seen), adapter.WithRetries())
			executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, web.URL+"/api/v1/namespaces/default/pods/one/exec?command=cat")
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader("a line\n"), Stdout: &out})
			if upgraded := name == "upgraded"; (err == nil) != upgraded || (out.String() == "a line\n") != upgraded || httpstream.IsUpgradeFailure(err) != (!upgraded && name != "broken") {
				t.Errorf("%q came back, %v", out.String(), err)
			}
			if one := seen.one(t); one.verdict != row.want || requests.Load() != 1 {
				t.Errorf("%+v after %d requests, want %+v", one.verdict, requests.Load(), row.want)
			}
		})
	}
}

func answering(err error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { writeStatus(w, err) }
}

// echoSocket is echoExec over WebSocket.
func echoSocket(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{"v5.channel.k8s.io": {
			Binary: true, Channels: []wsstream.ChannelType{wsstream.ReadChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.ReadChannel},
		}})
		_, streams, err := conn.Open(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := io.Copy(streams[1], streams[0]); err != nil {
			t.Error(err)
		}
		writeLine(streams[3], metav1.Status{Status: metav1.StatusSuccess})
	}
}

// trusting returns the configuration of a client of web, with its certificate.
func trusting(web *httptest.Server) *rest.Config {
	return &rest.Config{
		Host: web.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
		TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})},
	}
}

func closeIdle(t *testing.T, config *rest.Config) {
	t.Helper()
	httpClientFor(t, config).CloseIdleConnections()
}

// What keeps the connection of an upgrade goes by the very body of the answer.
func TestK5AnUpgradeIsPassedOnUntouched(t *testing.T) {
	for _, status := range []int{http.StatusSwitchingProtocols, http.StatusForbidden} {
		for name, opts := range map[string][]adapter.Option{
			"": nil, "the chain repeats": {adapter.WithRetries()}, "counted": {adapter.WithOpenCount(new(atomic.Int64))},
		} {
			sent := &http.Response{StatusCode: status, Header: http.Header{"Upgrade": {"SPDY/3.1"}}, Body: &duplex{}}
			requests := 0
			config := &rest.Config{Host: "https://kube.test", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				requests++
				if r.Header.Get("Upgrade") != "SPDY/3.1" || r.Method != http.MethodPost {
					t.Errorf("%s with %v", r.Method, r.Header)
				}
				return sent, nil
			})}
			transport := httpClientFor(t, adapter.Wrap(config, middleware.NewChain("kube", repeating(3), policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd})), opts...)).Transport
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://kube.test/api/v1/namespaces/default/pods/one/exec", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "SPDY/3.1")
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if status == http.StatusSwitchingProtocols && resp.Body != sent.Body {
				t.Errorf("%s: the body of the answer is a %T", name, resp.Body)
			}
			if resp.StatusCode != status || requests != 1 {
				t.Errorf("%s: status %d after %d requests", name, resp.StatusCode, requests)
			}
			resp.Body.Close()
		}
	}
}

func TestK5AnUpgradeIsNotRepeated(t *testing.T) {
	requests, broken := 0, errors.New("connection reset by peer")
	config := &rest.Config{Host: "https://kube.test", Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		requests++
		return nil, broken
	})}
	c := httpClientFor(t, adapter.Wrap(config, middleware.NewChain("kube", repeating(3)), adapter.WithRetries()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://kube.test/api/v1/namespaces/default/pods/one/portforward", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(req); !errors.Is(err, broken) || requests != 1 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

type duplex struct{ bytes.Buffer }

func (*duplex) Close() error { return nil }
