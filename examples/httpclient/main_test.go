package main

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	url, stop := target(nil)
	defer stop()
	if err := run(context.Background(), os.Stdout, url); err != nil {
		panic(err)
	}
	// Output:
	// billing: retry_scheduled after attempt 1
	// billing: retry_scheduled after attempt 2
	// 200 OK, the breaker is closed
}

func TestRunReportsErrors(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	for _, url := range []string{"://", "http://127.0.0.1:0/"} {
		var out strings.Builder
		if err := run(t.Context(), &out, url); err == nil {
			t.Errorf("%s: no error, output %q", url, out.String())
		}
	}
}

func TestTarget(t *testing.T) {
	url, stop := target([]string{"http://example.com"})
	stop()
	if url != "http://example.com" {
		t.Errorf("got %s", url)
	}
}
