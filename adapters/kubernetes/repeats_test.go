package kubernetes_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	policyv1 "k8s.io/api/policy/v1"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func repeating(attempts int) *policies.Retry {
	return policies.NewRetry(policies.RetryConfig{
		Attempts: attempts, Delay: time.Millisecond, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
	})
}

func aMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// calls are typed calls, each with the class of what may be repeated.
var calls = map[string]func(ctx context.Context, c client.Interface) error{
	"get": func(ctx context.Context, c client.Interface) error {
		_, err := c.CoreV1().ConfigMaps("default").Get(ctx, "one", metav1.GetOptions{})
		return err
	},
	"list": func(ctx context.Context, c client.Interface) error {
		_, err := c.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err
	},
	"create": func(ctx context.Context, c client.Interface) error {
		_, err := c.CoreV1().ConfigMaps("default").Create(ctx, aMap("one"), metav1.CreateOptions{})
		return err
	},
	"update": func(ctx context.Context, c client.Interface) error {
		_, err := c.CoreV1().ConfigMaps("default").Update(ctx, aMap("one"), metav1.UpdateOptions{})
		return err
	},
	"delete": func(ctx context.Context, c client.Interface) error {
		return c.CoreV1().ConfigMaps("default").Delete(ctx, "one", metav1.DeleteOptions{})
	},
	"watch": func(ctx context.Context, c client.Interface) error {
		w, err := c.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
		if err == nil {
			w.Stop()
		}
		return err
	},
	"watch all": func(ctx context.Context, c client.Interface) error {
		yes := true
		w, err := c.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{
			SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		})
		if err == nil {
			w.Stop()
		}
		return err
	},
	"follow": func(ctx context.Context, c client.Interface) error {
		logs, err := c.CoreV1().Pods("default").GetLogs("one", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
		if err == nil {
			return logs.Close()
		}
		return err
	},
	"evict": func(ctx context.Context, c client.Interface) error {
		return c.CoreV1().Pods("default").EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "one"}})
	},
}

func TestK1RequestsAreRepeatedByOneOnly(t *testing.T) {
	own := []adapter.Option{adapter.WithRetries()}
	for _, row := range []struct {
		name     string
		fault    *fault
		opts     []adapter.Option
		attempts int
		want     map[string]int // requests by call
	}{
		{"429, Retry-After 0", fairness("0"), nil, 4, map[string]int{"get": 11, "list": 11, "create": 11, "update": 11, "delete": 11, "watch": 11}},
		{"429, Retry-After 1", fairness("1"), nil, 4, map[string]int{"get": 11, "create": 11, "watch": 11}},
		{"429, no Retry-After", fairness(""), nil, 4, map[string]int{"get": 1, "create": 1, "watch": 1}},
		{"503, Retry-After 1", unavailable("1"), nil, 4, map[string]int{"get": 11, "create": 11, "watch": 11}},
		{"503, no Retry-After", unavailable(""), nil, 4, map[string]int{"get": 1, "list": 1, "create": 1, "watch": 1}},
		{"reset", reset, nil, 4, map[string]int{"get": 11, "list": 11, "create": 1, "update": 1, "delete": 1, "watch": 11}},
		{"eof", eof, nil, 4, map[string]int{"get": 11, "create": 1, "watch": 11}},

		{"the chain, 1 attempt: 429, Retry-After 0", fairness("0"), own, 1, map[string]int{"get": 1, "create": 1, "update": 1, "delete": 1}},
		{"the chain, 1 attempt: 429, Retry-After 1", fairness("1"), own, 1, map[string]int{"get": 1, "create": 1}},
		{"the chain, 1 attempt: 503, Retry-After 1", unavailable("1"), own, 1, map[string]int{"get": 1, "create": 1}},
		{"the chain, 1 attempt: reset", reset, own, 1, map[string]int{"get": 1, "list": 1, "create": 1}},
		{"the chain, 1 attempt: eof", eof, own, 1, map[string]int{"get": 1, "create": 1}},

		{"the chain, 4 attempts: 429, Retry-After 0", fairness("0"), own, 4, map[string]int{"get": 4, "create": 4, "update": 4, "delete": 4}},
		{"the chain, 4 attempts: 429, Retry-After 1", fairness("1"), own, 4, map[string]int{"get": 4, "create": 4}},
		{"the chain, 4 attempts: 429, no Retry-After", fairness(""), own, 4, map[string]int{"get": 4, "create": 4}},
		{"the chain, 4 attempts: 503, Retry-After 1", unavailable("1"), own, 4, map[string]int{"get": 4, "create": 4}},
		{"the chain, 4 attempts: 503, no Retry-After", unavailable(""), own, 4, map[string]int{"get": 4, "list": 4, "create": 1, "update": 1, "delete": 1}},
		{"the chain, 4 attempts: reset", reset, own, 4, map[string]int{"get": 4, "list": 4, "create": 1, "update": 1, "delete": 1}},
		{"the chain, 4 attempts: eof", eof, own, 4, map[string]int{"get": 4, "create": 1}},
		{"the chain, 4 attempts: a watch stays client-go's", fairness("1"), own, 4, map[string]int{"watch": 11}},
		{"the chain, 4 attempts: a budget of disruptions", fairness("1"), own, 4, map[string]int{"evict": 1}},
	} {
		for call, want := range row.want {
			t.Run(row.name+"/"+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(row.fault)
					err := calls[call](t.Context(), s.connect(t, middleware.NewChain("kube", repeating(row.attempts)), row.opts...))
					// Of a watch that broke client-go makes an empty one, without an error.
					if err == nil && call != "watch" {
						t.Error("no error")
					}
					s.wantRequests(t, want)
				})
			})
		}
	}
}

func TestK1OnlyTheLastAnswerLosesRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		seen := &recorder{}
		fetch := func(opts ...adapter.Option) *http.Response {
			t.Helper()
			c := httpClientFor(t, adapter.Wrap(s.config(), middleware.NewChain("kube", repeating(3), seen), opts...))
			resp, err := c.Get("https://kube.test/api/v1/namespaces/default/configmaps/one")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			return resp
		}

		s.always(fairness("7"))
		if resp := fetch(); resp.Header.Get("Retry-After") != "7" || len(seen.take()) != 1 {
			t.Error("without WithRetries client-go does not get the Retry-After")
		}
		start := time.Now()
		resp := fetch(adapter.WithRetries())
		if waited := time.Since(start); waited < 14*time.Second || waited > 15*time.Second {
			t.Errorf("the two waits took %v", waited)
		}
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Values("Retry-After") != nil {
			t.Errorf("status %d with Retry-After %q", resp.StatusCode, resp.Header.Values("Retry-After"))
		}
		for i, one := range seen.take() {
			if one.verdict.After != 7*time.Second || one.verdict.Class != middleware.Throttled {
				t.Errorf("attempt %d: verdict %+v", i+1, one.verdict)
			}
		}

		s.always(&fault{"notice", func(_ *server, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusConflict)
		}})
		if resp := fetch(adapter.WithRetries()); resp.Header.Get("Retry-After") != "7" {
			t.Error("an answer that client-go does not repeat lost its Retry-After")
		}
	})
}

func httpClientFor(t *testing.T, config *rest.Config) *http.Client {
	t.Helper()
	c, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestK14AnErrorIsDecodedByClientGo(t *testing.T) {
	details := apierrors.NewForbidden(aResource, "one", errModified)
	details.ErrStatus.Message = "no access in this namespace"
	internal := apierrors.NewInternalError(errModified)
	internal.ErrStatus.Message = "etcd: too many requests"
	for _, row := range []struct {
		name string
		sent *apierrors.StatusError
		opts []adapter.Option
		want int // requests
	}{
		{"denied", details, nil, 1},
		{"denied, the chain repeats", details, []adapter.Option{adapter.WithRetries()}, 1},
		{"failed", internal, nil, 1},
		{"failed, the chain repeats", internal, []adapter.Option{adapter.WithRetries()}, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(failing(row.sent))
				err := calls["get"](t.Context(), s.connect(t, middleware.NewChain("kube", repeating(3)), row.opts...))
				s.wantRequests(t, row.want)
				status, ok := err.(apierrors.APIStatus)
				if !ok || status.Status().Message != row.sent.ErrStatus.Message || status.Status().Reason != row.sent.ErrStatus.Reason {
					t.Fatalf("%T: %v", err, err)
				}
				if d := row.sent.ErrStatus.Details; d.Name != "" && (status.Status().Details == nil || status.Status().Details.Name != d.Name) {
					t.Errorf("details %+v", status.Status().Details)
				}
			})
		})
	}
}

func TestK14NothingIsReadOfTheLastAnswer(t *testing.T) {
	for _, status := range []int{200, 403, 409, 429, 500, 503} {
		for name, opts := range map[string][]adapter.Option{"client-go repeats": nil, "the chain repeats": {adapter.WithRetries()}} {
			var bodies []*unread
			config := &rest.Config{Host: "https://kube.test", Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				bodies = append(bodies, &unread{})
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: bodies[len(bodies)-1]}, nil
			})}
			c := httpClientFor(t, adapter.Wrap(config, middleware.NewChain("kube", repeating(2)), opts...))
			resp, err := c.Get("https://kube.test/api/v1/namespaces/default/configmaps/one")
			if err != nil {
				t.Fatal(err)
			}
			last := bodies[len(bodies)-1]
			if last.reads != 0 || last.closed {
				t.Errorf("%d, %s: %d reads, closed %v", status, name, last.reads, last.closed)
			}
			resp.Body.Close()
			for i, body := range bodies {
				if !body.closed {
					t.Errorf("%d, %s: answer %d was not closed", status, name, i+1)
				}
			}
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type unread struct {
	reads  int
	closed bool
}

func (b *unread) Read([]byte) (int, error) { b.reads++; return 0, io.EOF }

func (b *unread) Close() error { b.closed = true; return nil }
