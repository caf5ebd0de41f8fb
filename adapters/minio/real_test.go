//go:build real

package minio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/internal/pinned"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A realServer is an S3 server that runs as a process of its own.
type realServer struct {
	program string
	env     []string
	args    func(dir, address string) []string
}

var realServers = []realServer{
	{
		program: "versitygw",
		env:     []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		args: func(dir, address string) []string {
			return []string{
				"--port", address, "posix", "--sidecar", filepath.Join(dir, "sidecar"), "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "data"),
			}
		},
	},
	{
		program: "minio",
		env:     []string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off"},
		args: func(dir, address string) []string {
			return []string{"server", filepath.Join(dir, "data"), "--address", address}
		},
	},
}

// find returns the path of the program.
func (s realServer) find(t testing.TB) string {
	t.Helper()
	return pinned.Program(t, s.program)
}

// start runs the server until stop is called or the test ends, and returns when it is ready.
func (s realServer) start(t testing.TB, dir, address string) (stop func()) {
	t.Helper()
	for _, name := range []string{"data", "sidecar", "versions"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	cmd := exec.Command(s.find(t), s.args(dir, address)...)
	cmd.Env = append(os.Environ(), append(s.env, "HOME="+dir)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { defer close(exited); cmd.Wait() }()
	stop = func() {
		cmd.Process.Kill()
		<-exited
	}
	t.Cleanup(stop)

	// A health check of MinIO answers before the server does.
	client, err := minio.New(address, new(s.options(t)))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for {
		_, err := client.ListBuckets(t.Context())
		if err == nil {
			return stop
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-exited:
			t.Fatalf("%s ended: %s", s.program, output.Bytes())
		case <-deadline:
			stop()
			t.Fatalf("%s is not ready after a minute: %v: %s", s.program, err, output.Bytes())
		}
	}
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s realServer) options(t testing.TB) minio.Options {
	transport := &http.Transport{DisableCompression: true, ResponseHeaderTimeout: 10 * time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return minio.Options{
		Creds:  credentials.NewStaticV4(accessKey, secretKey, ""),
		Region: "us-east-1", Transport: transport, MaxRetries: 1,
	}
}

func TestRealRoundTrip(t *testing.T) {
	for _, s := range realServers {
		t.Run(s.program, func(t *testing.T) {
			s.find(t)
			address := freeAddress(t)
			s.start(t, t.TempDir(), address)
			roundTrip(t, address, s.options(t))
		})
	}
}

func TestRealWrongSecret(t *testing.T) {
	for _, s := range realServers {
		t.Run(s.program, func(t *testing.T) {
			s.find(t)
			address := freeAddress(t)
			s.start(t, t.TempDir(), address)
			o := s.options(t)
			o.Creds = credentials.NewStaticV4(accessKey, "wrong", "")
			seen := &verdicts{}
			c, err := New(address, o, middleware.NewChain("s3", retryPolicy(3), seen))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
			wantCode(t, err, "SignatureDoesNotMatch")
			seen.want(t, middleware.Verdict{Class: middleware.Success, Reason: "denied"})
		})
	}
}

// TestRealRestart kills the server in the middle of the work, sees the breaker open
// and reject, starts the server again and sees everything recover.
func TestRealRestart(t *testing.T) {
	for _, s := range realServers {
		t.Run(s.program, func(t *testing.T) {
			s.find(t)
			dir, address := t.TempDir(), freeAddress(t)
			stop := s.start(t, dir, address)

			const recovery = time.Second
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, SuccessThreshold: 1, Timeout: recovery})
			c, err := New(address, s.options(t), middleware.NewChain("s3", breaker))
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if err := c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}); err != nil {
				t.Fatal(err)
			}
			content := randomBytes(1 << 20)
			put := func(i int) error {
				_, err := c.PutObject(ctx, "bucket", fmt.Sprint(i), bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
				return err
			}
			acknowledged := 0
			for ; acknowledged < 5; acknowledged++ {
				if err := put(acknowledged); err != nil {
					t.Fatal(err)
				}
			}
			download, err := c.GetObject(ctx, "bucket", "0", minio.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer download.Close()

			stop()
			for range 3 {
				if err := put(99); err == nil || errors.Is(err, middleware.ErrOpen) {
					t.Errorf("without a server: %v", err)
				}
			}
			if err := put(99); breaker.State() == policies.Closed || !errors.Is(err, middleware.ErrOpen) {
				t.Errorf("the breaker is %v after three failures: %v", breaker.State(), err)
			}
			if got, err := io.ReadAll(download); err == nil && !bytes.Equal(got, content) || !bytes.HasPrefix(content, got) {
				t.Errorf("the download that was cut gave %d bytes, %v", len(got), err)
			}

			s.start(t, dir, address)
			await(ctx, t, func() error { return put(acknowledged) })
			acknowledged++
			if breaker.State() != policies.Closed {
				t.Errorf("the breaker is %v", breaker.State())
			}
			for i := range acknowledged {
				object, err := c.GetObject(ctx, "bucket", fmt.Sprint(i), minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, content) {
					t.Errorf("object %d: %d bytes, %v", i, len(got), err)
				}
				object.Close()
			}
		})
	}
}
