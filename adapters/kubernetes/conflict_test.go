package kubernetes_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	client "k8s.io/client-go/kubernetes"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// increment reads a configmap and adds one to a number in it; interfere runs in between.
func increment(ctx context.Context, c client.Interface, interfere func()) error {
	maps := c.CoreV1().ConfigMaps("default")
	m, err := maps.Get(ctx, "one", metav1.GetOptions{})
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(m.Data["n"])
	m.Data = map[string]string{"n": strconv.Itoa(n + 1)}
	interfere()
	_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	return err
}

func TestK13AConflictIsTheCallersToSettle(t *testing.T) {
	steps := wait.Backoff{Steps: 5, Duration: time.Second, Factor: 1}
	for _, row := range []struct {
		name      string
		conflicts int // how often somebody else is faster
		retry     bool
		runs      int
		ok        bool
	}{
		{"not repeated by the chain", 1, false, 1, false},
		{"each try passes the chain", 3, true, 4, true},
		{"until the steps are over", 9, true, 5, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				s, other := serve(t, a), clientFor(t, serve(t, a).config())
				if err := calls["create"](t.Context(), other); err != nil {
					t.Fatal(err)
				}
				seen := &recorder{}
				chain := middleware.NewChain("kube", repeating(3), seen)
				c := s.connect(t, chain, adapter.WithRetries())
				faster := 0
				try := func(ctx context.Context) error {
					return increment(ctx, c, func() {
						if faster++; faster <= row.conflicts {
							if err := increment(t.Context(), other, func() {}); err != nil {
								t.Error(err)
							}
						}
					})
				}
				start := time.Now()
				var err error
				if row.retry {
					err = adapter.RetryOnConflict(t.Context(), chain, steps, try)
				} else {
					err = adapter.Do(t.Context(), chain, adapter.Update, try)
				}
				if (err == nil) != row.ok || err != nil && !apierrors.IsConflict(err) {
					t.Error(err)
				}
				runs := seen.take()
				if len(runs) != row.runs || time.Since(start) != time.Duration(row.runs-1)*time.Second {
					t.Errorf("%d runs in %v", len(runs), time.Since(start))
				}
				for _, one := range runs {
					if one.verdict.Class != middleware.Success || one.verdict.Retry {
						t.Errorf("%+v", one)
					}
				}
				s.wantRequests(t, 2*row.runs)
			})
		})
	}
}

func TestK13ABreakerEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := serve(t, a)
		if err := calls["create"](t.Context(), clientFor(t, serve(t, a).config())); err != nil {
			t.Fatal(err)
		}
		breaker := policies.NewBreaker(policies.BreakerConfig{})
		chain := middleware.NewChain("kube", breaker)
		c := s.connect(t, chain)
		tries := 0
		err := adapter.RetryOnConflict(t.Context(), chain, wait.Backoff{Steps: 5, Duration: time.Second}, func(ctx context.Context) error {
			if tries++; tries == 2 {
				breaker.ForceOpen()
			}
			return apierrors.NewConflict(aResource, "one", errModified)
		})
		if !errors.Is(err, middleware.ErrOpen) || tries != 2 {
			t.Errorf("%v after %d tries", err, tries)
		}
		breaker.Reset()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		start := time.Now()
		err = adapter.RetryOnConflict(ctx, chain, wait.Backoff{Steps: 5, Duration: time.Hour}, func(ctx context.Context) error {
			return increment(ctx, c, func() { increment(t.Context(), clientFor(t, serve(t, a).config()), func() {}) })
		})
		if !errors.Is(err, context.Canceled) || !apierrors.IsConflict(err) || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// What fails as it reads has written nothing.
func TestK13ATryThatFailsAsItReads(t *testing.T) {
	for name, row := range map[string]struct {
		fault *fault
		at    int // the request that meets it
		verb  adapter.Verb
		ok    bool
	}{
		"no answer in time":           {hang, 1, adapter.Update, true},
		"reset":                       {reset, 1, adapter.Update, true},
		"eof":                         {eof, 1, adapter.Patch, true},
		"the server asks, no doubt":   {failing(slow), 1, adapter.Update, true},
		"an update is not sent twice": {reset, 2, adapter.Update, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				s, other := serve(t, a), clientFor(t, serve(t, a).config())
				if err := calls["create"](t.Context(), other); err != nil {
					t.Fatal(err)
				}
				s.plan(func(n int, _ *http.Request) *fault {
					if n == row.at {
						return row.fault
					}
					return nil
				})
				chain := middleware.NewChain("kube", repeating(3), policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}))
				c := s.connect(t, chain)
				reads := 0
				err := adapter.Do(t.Context(), chain, row.verb, func(ctx context.Context) error {
					return increment(ctx, c, func() { reads++ })
				})
				if (err == nil) != row.ok || reads != 1 {
					t.Errorf("%v, after %d reads", err, reads)
				}
				// A conflict with somebody else is no doubt either.
				s.first(1, failing(slow))
				s.wantRequests(t, len(s.seen()))
				err = adapter.RetryOnConflict(t.Context(), chain, wait.Backoff{Steps: 2}, func(ctx context.Context) error {
					return increment(ctx, c, func() {
						if reads++; reads == 2 {
							if err := increment(t.Context(), other, func() {}); err != nil {
								t.Error(err)
							}
						}
					})
				})
				if err != nil || reads != 3 {
					t.Errorf("%v, after %d reads", err, reads)
				}
			})
		})
	}
}

// What was written before a read that failed is not written again.
func TestK13AWriteBeforeTheReadThatFails(t *testing.T) {
	for name, write := range map[string]func(context.Context, client.Interface) error{
		"create": makeGenerated,
		"proxy": func(ctx context.Context, c client.Interface) error {
			// The server knows no proxy, which is nothing to go by.
			_ = c.CoreV1().RESTClient().Post().AbsPath("/api/v1/namespaces/default/pods/one/proxy/order").Do(ctx).Error()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.plan(func(n int, _ *http.Request) *fault {
					if n == 2 {
						return reset
					}
					return nil
				})
				chain := middleware.NewChain("kube", repeating(3))
				c := s.connect(t, chain)
				err := adapter.Do(t.Context(), chain, adapter.Create, func(ctx context.Context) error {
					if err := write(ctx, c); err != nil {
						return err
					}
					return calls["list"](ctx, c)
				})
				if err == nil {
					t.Error("no error")
				}
				s.wantRequests(t, 2)
			})
		})
	}
}

func TestK15WhichWritesAreIdempotent(t *testing.T) {
	patch := func(kind types.PatchType, opts metav1.PatchOptions) func(context.Context, client.Interface) error {
		return func(ctx context.Context, c client.Interface) error {
			body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}`
			if kind == types.JSONPatchType {
				body = `[{"op":"add","path":"/data","value":{}}]`
			}
			_, err := c.CoreV1().ConfigMaps("default").Patch(ctx, "one", kind, []byte(body), opts)
			return err
		}
	}
	dry := []string{metav1.DryRunAll}
	for name, row := range map[string]struct {
		call func(context.Context, client.Interface) error
		want int // requests, with three attempts
		kind string
	}{
		"server-side apply": {patch(types.ApplyPatchType, metav1.PatchOptions{FieldManager: "test"}), 3, "application/apply-patch+yaml"},
		"apply, in CBOR":    {patch(types.ApplyCBORPatchType, metav1.PatchOptions{FieldManager: "test"}), 3, "application/apply-patch+cbor"},
		"JSON patch":        {patch(types.JSONPatchType, metav1.PatchOptions{}), 1, "application/json-patch+json"},
		"merge patch":       {patch(types.MergePatchType, metav1.PatchOptions{}), 1, "application/merge-patch+json"},
		"strategic merge":   {patch(types.StrategicMergePatchType, metav1.PatchOptions{}), 1, "application/strategic-merge-patch+json"},
		"a dry run of one":  {patch(types.JSONPatchType, metav1.PatchOptions{DryRun: dry}), 3, "application/json-patch+json"},
		"create":            {calls["create"], 1, "application/json"},
		"update":            {calls["update"], 1, "application/json"},
		"a dry create": {func(ctx context.Context, c client.Interface) error {
			_, err := c.CoreV1().ConfigMaps("default").Create(ctx, aMap("one"), metav1.CreateOptions{DryRun: dry})
			return err
		}, 3, "application/json"},
		"a dry update": {func(ctx context.Context, c client.Interface) error {
			_, err := c.CoreV1().ConfigMaps("default").Update(ctx, aMap("one"), metav1.UpdateOptions{DryRun: dry})
			return err
		}, 3, "application/json"},
		"a dry delete, which says so in its body": {func(ctx context.Context, c client.Interface) error {
			return c.CoreV1().ConfigMaps("default").Delete(ctx, "one", metav1.DeleteOptions{DryRun: dry})
		}, 1, "application/json"},
	} {
		for _, f := range []*fault{reset, unavailable("")} {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(f)
					if err := row.call(t.Context(), s.connect(t, middleware.NewChain("kube", repeating(3)), adapter.WithRetries())); err == nil {
						t.Error("no error")
					}
					for _, r := range s.seen() {
						if r.contentType != row.kind {
							t.Errorf("content type %q, want %q", r.contentType, row.kind)
						}
					}
					s.wantRequests(t, row.want)
				})
			})
		}
	}
}
