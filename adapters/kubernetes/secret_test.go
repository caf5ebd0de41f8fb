package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

const secret = "s3cret"

// wantNone checks that nothing of what a user meets has the secret.
func wantNone(t *testing.T, what string, shown any) {
	t.Helper()
	for at := shown; at != nil; {
		for _, format := range []string{"%v", "%+v", "%q"} {
			if text := fmt.Sprintf(format, at); strings.Contains(text, secret) {
				t.Errorf("%s has the secret: %s", what, text)
			}
		}
		err, ok := at.(error)
		if !ok {
			break
		}
		if err = errors.Unwrap(err); err == nil {
			break
		}
		at = err
	}
}

func TestSecretsOfTheConfigAreShownNowhere(t *testing.T) {
	for name, give := range map[string]func(*rest.Config){
		"userinfo of the host": func(c *rest.Config) { c.Host = "https://user:" + secret + "@kube.test" },
		"userinfo, with a path": func(c *rest.Config) {
			c.Host = "https://user:" + secret + "@kube.test:6443/k8s/clusters/c-1"
		},
		"bearer token": func(c *rest.Config) { c.BearerToken = secret },
		"password":     func(c *rest.Config) { c.Username, c.Password = "user", secret },
	} {
		open := policies.NewBreaker(policies.BreakerConfig{})
		open.ForceOpen()
		for of, row := range map[string]struct {
			fault  *fault
			policy middleware.Policy
		}{
			"ok":           {},
			"open":         {nil, open},
			"hang":         {hang, policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second})},
			"reset":        {fault: reset},
			"429":          {fault: fairness("1")},
			"unauthorized": {fault: failing(apierrors.NewUnauthorized("no"))},
			"503":          {fault: unavailable("")},
		} {
			for opts, retries := range map[string][]adapter.Option{"": nil, ", the chain repeats": {adapter.WithRetries()}} {
				t.Run(name+"/"+of+opts, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s, seen := serve(t, newAPI()), &recorder{}
						s.always(row.fault)
						config := s.config()
						give(config)
						all := []middleware.Policy{repeating(2), seen}
						if row.policy != nil {
							all = append(all, row.policy)
						}
						chain := middleware.NewChain("kube", all...)
						wrapped := adapter.Wrap(config, chain, retries...)
						c := clientFor(t, wrapped)
						for _, call := range []string{"list", "create", "watch"} {
							wantNone(t, call, calls[call](t.Context(), c))
						}
						wantNone(t, "Do", adapter.Do(t.Context(), chain, adapter.Update, func(ctx context.Context) error { return calls["update"](ctx, c) }))
						wantNone(t, "RateLimiter", adapter.RateLimiter(chain).Wait(t.Context()))
						check, err := adapter.HealthCheck(wrapped)
						if err != nil {
							t.Fatal(err)
						}
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						defer cancel()
						wantNone(t, "HealthCheck", check(ctx))
						runs := seen.take()
						if len(runs) == 0 {
							t.Error("the chain saw nothing")
						}
						for _, one := range runs {
							wantNone(t, "Operation.Key", one.operation.Key)
							wantNone(t, "Operation.Name", one.operation.Name)
							wantNone(t, "Verdict.Reason", one.verdict.Reason)
						}
					})
				})
			}
		}
	}
}

func TestAConfigWithoutAServerKeepsItsPassword(t *testing.T) {
	for _, host := range []string{"https://user:" + secret + "@kube.test:port", "https://user:" + secret + "@[::1", "user:" + secret + "@kube.test"} {
		config := adapter.Wrap(&rest.Config{Host: host, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("no network")
		})}, middleware.NewChain("kube"))
		check, err := adapter.HealthCheck(config)
		wantNone(t, "HealthCheck of "+host[:9], err)
		if err == nil {
			wantNone(t, "the check of "+host[:9], check(t.Context()))
		}
	}
}

func TestTheOutputOfAPluginThatFailsIsShownNowhere(t *testing.T) {
	web, _ := loopback(t, newAPI())
	for name, output := range map[string]string{
		"it fails":          secret,
		"it does not end":   `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"` + secret,
		"a field is wrong":  `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":["` + secret + `"]}}`,
		"another version":   `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"` + secret + `"}}`,
		"a key, no more":    `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientKeyData":"` + secret + `"}}`,
		"a key that is bad": `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientKeyData":"` + secret + `","clientCertificateData":"` + secret + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			config := trusting(web)
			config.ExecProvider = &clientcmdapi.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: os.Args[0], InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
				Env: []clientcmdapi.ExecEnvVar{{Name: pluginFailure, Value: output}},
			}
			seen := &recorder{}
			chain := middleware.NewChain("kube", repeating(2), seen)
			wrapped := adapter.Wrap(config, chain, adapter.WithRetries())
			t.Cleanup(func() { closeIdle(t, wrapped) })
			c := clientFor(t, wrapped)
			err := calls["list"](t.Context(), c)
			if err == nil {
				t.Error("no error")
			}
			wantNone(t, "list", err)
			err = adapter.Do(t.Context(), chain, adapter.List, func(ctx context.Context) error { return calls["list"](ctx, c) })
			wantNone(t, "Do", err)
			for _, one := range seen.take() {
				wantNone(t, "Operation", one.operation)
			}
			check, err := adapter.HealthCheck(wrapped)
			if err != nil {
				t.Fatal(err)
			}
			if err = check(t.Context()); err == nil {
				t.Error("no error of the health check")
			}
			wantNone(t, "HealthCheck", err)
		})
	}
}
