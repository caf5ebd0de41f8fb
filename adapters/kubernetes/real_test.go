//go:build real

package kubernetes_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/internal/pinned"
)

// shared are the servers of all tests that do not stop them.
var shared struct {
	once    sync.Once
	cluster *realCluster
	err     error
}

// A realCluster is an API server, and the etcd in which it keeps its objects.
type realCluster struct {
	dir         string
	etcd, api   *process
	apiProgram  string
	apiArgs     []string
	config      *rest.Config // that of an administrator
	secondToken string       // of another one
	address     string       // host and port of the API server
}

// theCluster returns the servers that the tests share, which are ready.
func theCluster(t testing.TB) *realCluster {
	t.Helper()
	etcd, api := pinned.Program(t, "etcd"), pinned.Program(t, "kube-apiserver")
	shared.once.Do(func() {
		if shared.cluster, shared.err = startRealCluster(etcd, api); shared.err == nil {
			atEnd = append(atEnd, shared.cluster.stop)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// startRealCluster returns when the servers are ready. Of a failure nothing is left.
func startRealCluster(etcdProgram, apiProgram string) (c *realCluster, err error) {
	dir, err := os.MkdirTemp("", "tidegate-kubernetes-")
	if err != nil {
		return nil, err
	}
	c = &realCluster{dir: dir, apiProgram: apiProgram}
	defer func() {
		if err != nil {
			c.stop()
			c = nil
		}
	}()
	var addresses [3]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			return c, err
		}
	}
	keys, err := writeKeys(dir)
	if err != nil {
		return c, err
	}
	client, peer := "http://"+addresses[0], "http://"+addresses[1]
	c.etcd, err = startProcess(etcdProgram, filepath.Join(dir, "etcd.log"),
		"--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return c, err
	}
	c.address = addresses[2]
	c.secondToken = keys.tokens[1]
	c.config = &rest.Config{
		Host: "https://" + c.address, BearerToken: keys.tokens[0], QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: keys.certificate},
	}
	_, port, _ := net.SplitHostPort(c.address)
	c.apiArgs = []string{
		"--etcd-servers=" + client,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port,
		"--tls-cert-file=" + keys.certificateFile, "--tls-private-key-file=" + keys.keyFile, "--cert-dir=" + dir,
		"--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + keys.accountFile, "--service-account-signing-key-file=" + keys.accountFile,
		"--token-auth-file=" + keys.tokenFile, "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
	}
	return c, c.start()
}

// start starts the API server, on the same port each time, and returns when it is
// ready.
func (c *realCluster) start() (err error) {
	if c.api, err = startProcess(c.apiProgram, filepath.Join(c.dir, "kube-apiserver.log"), c.apiArgs...); err != nil {
		return err
	}
	client, err := clientset.NewForConfig(c.config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		_, err := client.CoreV1().RESTClient().Get().AbsPath("/readyz").Timeout(10 * time.Second).DoRaw(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-c.etcd.exited:
			return fmt.Errorf("etcd ended: %s", c.etcd.tail())
		case <-c.api.exited:
			return fmt.Errorf("kube-apiserver ended: %s", c.api.tail())
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready after two minutes: %w: %s", err, c.api.tail())
		}
	}
}

// kill ends the API server as a crash does.
func (c *realCluster) kill() { c.api.kill() }

// restart starts the API server again.
func (c *realCluster) restart(t testing.TB) {
	t.Helper()
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the API server first: without its etcd it would hang.
func (c *realCluster) stop() {
	for _, p := range []*process{c.api, c.etcd} {
		if p != nil {
			p.kill()
		}
	}
	os.RemoveAll(c.dir)
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// direct returns a client that nothing is between and the server.
func (c *realCluster) direct(t testing.TB) *clientset.Clientset { return newClient(t, c.config) }

func newClient(t testing.TB, config *rest.Config) *clientset.Clientset {
	t.Helper()
	client, err := clientset.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIdleOf(client) })
	return client
}

func closeIdleOf(client *clientset.Clientset) {
	utilnet.CloseIdleConnectionsFor(client.CoreV1().RESTClient().(*rest.RESTClient).Client.Transport)
}

// namespace makes a namespace for the test and returns its name.
func (c *realCluster) namespace(t testing.TB) string {
	t.Helper()
	namespace, err := c.direct(t).CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// await repeats try until it returns nil, for two minutes at the most.
func await(t testing.TB, try func() error) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("after two minutes: %v", err)
		case <-t.Context().Done():
			t.Fatal(err)
		}
	}
}

func configMap(name string, data ...string) *corev1.ConfigMap {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{}}
	for i := 0; i < len(data); i += 2 {
		m.Data[data[i]] = data[i+1]
	}
	return m
}

// TestRealClients makes clients in each way that there is, and has each do a round.
func TestRealClients(t *testing.T) {
	cluster := theCluster(t)
	for _, row := range []struct {
		name string
		make func(t *testing.T, config *rest.Config) *clientset.Clientset
	}{
		{"NewForConfig", func(t *testing.T, config *rest.Config) *clientset.Clientset { return newClient(t, config) }},
		{"NewForConfigAndClient", func(t *testing.T, config *rest.Config) *clientset.Clientset {
			httpClient, err := rest.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			client, err := clientset.NewForConfigAndClient(config, httpClient)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closeIdleOf(client) })
			return client
		}},
		{"token file", func(t *testing.T, config *rest.Config) *clientset.Clientset {
			config.BearerToken, config.BearerTokenFile = "", tokenFile(t, cluster.config.BearerToken)
			return newClient(t, config)
		}},
		{"impersonation", func(t *testing.T, config *rest.Config) *clientset.Clientset {
			config.Impersonate = rest.ImpersonationConfig{UserName: "somebody", Groups: []string{"system:masters"}}
			return newClient(t, config)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, chain := &wire{}, newChain()
			client := row.make(t, cluster.wrapped(w, chain.Chain))
			round(t, client, cluster.namespace(t))
			if got := w.count("POST /configmaps"); got != 2 {
				t.Errorf("%d requests to create, want 2", got)
			}
			chain.wantClosed(t)
		})
	}
}

// round does what a client does with one object, from its creation to its end.
func round(t *testing.T, client *clientset.Clientset, namespace string) {
	t.Helper()
	ctx, maps := t.Context(), client.CoreV1().ConfigMaps(namespace)
	made, err := maps.Create(ctx, configMap("a", "key", "1"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(ctx, configMap("a"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	events, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	changed := made.DeepCopy()
	changed.Data["key"] = "2"
	if _, err := maps.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	made.Data["key"] = "3"
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale update: %v", err)
	}
	if got, err := maps.Get(ctx, "a", metav1.GetOptions{}); err != nil || got.Data["key"] != "2" {
		t.Errorf("got %v, %v", got, err)
	}
	if err := maps.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := maps.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deleted: %v", err)
	}
	for _, want := range []string{"MODIFIED", "DELETED"} {
		if e := <-events.ResultChan(); string(e.Type) != want {
			t.Errorf("the watch saw %q, want %q", e.Type, want)
		}
	}
}
