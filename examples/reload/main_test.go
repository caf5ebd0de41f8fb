package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheFileIsReadAgainWhileTheProgramRuns(t *testing.T) {
	text, err := os.ReadFile("tidegate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	synctest.Test(t, func(t *testing.T) {
		var out output
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- run(ctx, &out, file, time.Second) }()
		time.Sleep(time.Second + time.Millisecond) // a tick
		write(strings.Replace(string(text), "observe_only: true", "observe_only: false", 1))
		time.Sleep(2 * time.Second) // it is read, and then there are calls for sure
		write("services: {invoices: {rate: 5}}")
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, want := range []string{
			"of 10 calls 0 were rejected, 5 would have been\n",
			"of 10 calls 5 were rejected, 0 would have been\n",
			`the old settings stay: ` + file + `:1:23: services.invoices.rate: unknown key`,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s\nhas not %s", out.String(), want)
			}
		}
	})
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
