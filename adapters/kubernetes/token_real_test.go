//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/transport"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
)

// TestRealToken has the token in a file be refused and then replaced. client-go reads it
// again after it was refused; with BearerTokenFile it would only after a minute.
func TestRealToken(t *testing.T) {
	cluster := theCluster(t)
	for _, row := range []struct {
		name string
		opts []kubernetes.Option
		call bool // by way of Do, which tries once more
	}{
		{"transport", nil, false},
		{"transport that retries", []kubernetes.Option{kubernetes.WithRetries()}, false},
		{"call", nil, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, chain, file := &wire{}, newChain(quickRetry()), tokenFile(t, "revoked")
			config := cluster.wrapped(w, chain.Chain, row.opts...)
			config.BearerToken = ""
			config.Wrap(transport.ResettableTokenSourceWrapTransport(transport.NewCachedFileTokenSource(file)))
			namespaces := newClient(t, config).CoreV1().Namespaces()
			// A token that was read a moment ago client-go does not read again.
			if _, err := namespaces.Get(t.Context(), "kube-system", metav1.GetOptions{}); !apierrors.IsUnauthorized(err) {
				t.Fatalf("with a revoked token: %v", err)
			}
			get := func(ctx context.Context) error {
				_, err := namespaces.Get(ctx, "kube-system", metav1.GetOptions{})
				if apierrors.IsUnauthorized(err) {
					writeToken(t, file, cluster.secondToken)
				}
				return err
			}
			if row.call {
				if err := kubernetes.Do(t.Context(), chain.Chain, kubernetes.Get, get); err != nil {
					t.Error(err)
				}
			} else {
				if err := get(t.Context()); !apierrors.IsUnauthorized(err) {
					t.Errorf("with a revoked token: %v", err)
				}
				if err := get(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if n := w.total(); n != 3 {
				t.Errorf("%d requests, want 3", n)
			}
			chain.wantClosed(t)
		})
	}
}

func tokenFile(t testing.TB, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	writeToken(t, file, token)
	return file
}

// writeToken replaces the file as a kubelet does, in one step.
func writeToken(t testing.TB, file, token string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file+".new", []byte(token), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Error(err)
	}
}
