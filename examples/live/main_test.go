package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The program serves the page until it is told to end, also while somebody looks.
func TestRun(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, in, options{listen: "127.0.0.1:0", services: 14})
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err, <-ended)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), " is at ")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]string{"": "<h1>Tidegate</h1>", "stream": "event: update\n", "healthz": `"registry"`} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text := new(strings.Builder)
		for lines := bufio.NewReader(resp.Body); !strings.Contains(text.String(), want); {
			line, err := lines.ReadString('\n')
			text.WriteString(line)
			if err != nil {
				t.Errorf("%s has no %q", path, want)
				break
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunReportsErrors(t *testing.T) {
	if err := run(t.Context(), io.Discard, options{listen: "127.0.0.1:http:http", services: 1}); err == nil {
		t.Error("it listens nowhere without an error")
	}
}

// Services have their trouble in turns, and some time without.
func TestTurns(t *testing.T) {
	for _, row := range []struct {
		elapsed           time.Duration
		service, services int
		want              bool
	}{
		{0, 0, 12, true},
		{turnLasts - 1, 0, 12, true},
		{turnLasts, 0, 12, false},
		{0, 1, 12, false},
		{turnEvery, 1, 12, true},
		{turnEvery, 13, 200, true},
		{12 * turnEvery, 0, 12, true},
		{0, 0, 1, true},
	} {
		if got := hasTurn(row.elapsed, row.service, row.services); got != row.want {
			t.Errorf("service %d of %d after %s: %v", row.service, row.services, row.elapsed, got)
		}
	}
}

// Each trouble is what it is called.
func TestTroubles(t *testing.T) {
	for _, row := range []struct {
		trouble trouble
		fails   [2]int // of a thousand calls
		mean    [2]time.Duration
	}{
		{none, [2]int{0, 20}, [2]time.Duration{80 * time.Millisecond, 120 * time.Millisecond}},
		{flaky, [2]int{250, 420}, [2]time.Duration{80 * time.Millisecond, 120 * time.Millisecond}},
		{failing, [2]int{1000, 1000}, [2]time.Duration{20 * time.Millisecond, 30 * time.Millisecond}},
		{slow, [2]int{0, 20}, [2]time.Duration{1600 * time.Millisecond, 2400 * time.Millisecond}},
		{throttling, [2]int{560, 770}, [2]time.Duration{50 * time.Millisecond, 85 * time.Millisecond}},
	} {
		synctest.Test(t, func(t *testing.T) {
			failed, began := 0, time.Now()
			for range 1000 {
				err := row.trouble.answer(t.Context(), 100*time.Millisecond)
				if err != nil {
					failed++
				}
				if v := middleware.VerdictOf(err); errors.Is(err, errTooMany) && v.Class != middleware.Throttled {
					t.Errorf("too many requests is %v", v)
				}
			}
			mean := time.Since(began) / 1000
			if failed < row.fails[0] || failed > row.fails[1] || mean < row.mean[0] || mean > row.mean[1] {
				t.Errorf("trouble %d: %d failed, %s in the mean", row.trouble, failed, mean)
			}
		})
	}
}
