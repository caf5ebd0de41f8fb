package kubernetes_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

// pluginToken is set for the test binary when it is to be a credential plugin.
const pluginToken = "TIDEGATE_TEST_PLUGIN_TOKEN"

// pluginFailure is set when the plugin is to write that and fail, unless it begins as JSON.
const pluginFailure = "TIDEGATE_TEST_PLUGIN_FAILURE"

func TestMain(m *testing.M) {
	if token, ok := os.LookupEnv(pluginToken); ok {
		fmt.Printf(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q}}`, token)
		os.Exit(0)
	}
	if text, ok := os.LookupEnv(pluginFailure); ok {
		fmt.Print(text)
		if strings.HasPrefix(text, "{") {
			syscall.Exit(0) // os.Exit takes a second where races are looked for
		}
		os.Exit(1)
	}
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	// The default handlers keep the time of the last error. What a bubble of virtual time
	// leaves there is decades off for the next one, which would sleep through them.
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(context.Context, error, string, ...any) {}} //nolint:reassign // there is no other way
	// It ends by itself: it waits a second for somebody to read why the connection had been closed.
	goleak.VerifyTestMain(tests{m}, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

// atEnd is what ends the servers that tests share.
var atEnd []func()

// tests are all of the package. After them, and before anybody looks for goroutines, what
// is atEnd runs.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer func() {
		for _, end := range atEnd {
			end()
		}
	}()
	return t.M.Run()
}
