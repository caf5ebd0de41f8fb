package kubernetes_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestCertificatesAreIgnoredOnRequest(t *testing.T) {
	web, config := loopback(t, newAPI())
	config.Transport = &http.Transport{} // trusts no server of a test
	config.Host = web.URL
	ignore := []adapter.Option{nil, adapter.IgnoreCertificates()}
	for _, row := range []struct {
		name     string
		wrap, do []adapter.Option
		inDo     bool
		class    middleware.Class
		state    policies.State
	}{
		{"Wrap", nil, nil, false, middleware.Failure, policies.Open},
		{"Wrap, the option of another function", []adapter.Option{adapter.IgnoreWebhooks()}, nil, false, middleware.Failure, policies.Open},
		{"Wrap, ignored", ignore, nil, false, middleware.Ignored, policies.Closed},
		{"Wrap, ignored, the chain repeats", append(ignore, adapter.WithRetries()), nil, false, middleware.Ignored, policies.Closed},
		{"Do", nil, nil, true, middleware.Failure, policies.Open},
		{"Do, an option of Wrap", ignore, nil, true, middleware.Failure, policies.Open},
		{"Do, ignored", nil, ignore, true, middleware.Ignored, policies.Closed},
	} {
		t.Run(row.name, func(t *testing.T) {
			seen, breaker := &recorder{}, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
			chain := middleware.NewChain("kube", repeating(3), breaker, seen)
			c := clientFor(t, adapter.Wrap(config, chain, row.wrap...))
			call := func(ctx context.Context) error { return calls["get"](ctx, c) }
			err := call
			if row.inDo {
				err = func(ctx context.Context) error { return adapter.Do(ctx, chain, adapter.Get, call, row.do...) }
			}
			if got := err(t.Context()); got == nil || errors.Is(got, middleware.ErrOpen) {
				t.Error(got)
			}
			if one := seen.one(t); one.verdict.Class != row.class || one.verdict.Retry || one.verdict.Reason != "certificate" {
				t.Errorf("%+v, want %v", one.verdict, row.class)
			}
			if breaker.State() != row.state {
				t.Errorf("the breaker is %v, want %v", breaker.State(), row.state)
			}
		})
	}
}

func TestWebhooksAreIgnoredOnRequest(t *testing.T) {
	webhook := failing(apierrors.NewInternalError(errors.New(`failed calling webhook "a.example": connection refused`)))
	etcd := failing(apierrors.NewInternalError(errModified))
	for _, row := range []struct {
		name  string
		fault *fault
		opts  []adapter.Option
		verb  adapter.Verb
		class middleware.Class
		state policies.State
	}{
		{"a failure", webhook, nil, adapter.CreateNamed, middleware.Failure, policies.Open},
		{"the option of another row", webhook, []adapter.Option{adapter.IgnoreCertificates()}, adapter.CreateNamed, middleware.Failure, policies.Open},
		{"ignored", webhook, []adapter.Option{nil, adapter.IgnoreWebhooks()}, adapter.CreateNamed, middleware.Ignored, policies.Closed},
		{"ignored, of a read", webhook, []adapter.Option{adapter.IgnoreWebhooks()}, adapter.Get, middleware.Ignored, policies.Closed},
		{"no webhook", etcd, []adapter.Option{adapter.IgnoreWebhooks()}, adapter.CreateNamed, middleware.Failure, policies.Open},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(row.fault)
				seen, breaker := &recorder{}, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
				chain := middleware.NewChain("kube", breaker, seen)
				c := s.connect(t, chain, adapter.IgnoreWebhooks()) // changes nothing there
				call := "create"
				if row.verb == adapter.Get {
					call = "get"
				}
				_, err := adapter.Call(t.Context(), chain, row.verb, func(ctx context.Context) (int, error) { return 0, calls[call](ctx, c) }, row.opts...)
				if !apierrors.IsInternalError(err) {
					t.Error(err)
				}
				if one := seen.one(t); one.verdict.Class != row.class || one.verdict.Retry != (row.verb == adapter.Get) {
					t.Errorf("%+v, want %v", one.verdict, row.class)
				}
				if breaker.State() != row.state {
					t.Errorf("the breaker is %v, want %v", breaker.State(), row.state)
				}
			})
		})
	}
	t.Run("Wrap has no such option", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, seen := serve(t, newAPI()), &recorder{}
			s.always(webhook)
			if err := calls["create"](t.Context(), s.connect(t, middleware.NewChain("kube", seen), adapter.IgnoreWebhooks())); err == nil {
				t.Error("no error")
			}
			if one := seen.one(t); one.verdict.Class != middleware.Failure {
				t.Errorf("%+v", one.verdict)
			}
		})
	})
}
