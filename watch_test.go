package tidegate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchAppliesWhatTheFileSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("services: {a: {timeout: 1s}}")
	synctest.Test(t, func(t *testing.T) {
		var m Manager
		told := make(chan string, 10)
		ctx, cancel := context.WithCancelCause(context.Background())
		ended := make(chan error)
		go func() {
			ended <- m.Watch(ctx, file, time.Second, func(err error) { told <- fmt.Sprint(err) })
		}()
		for _, step := range []struct {
			do      func()
			timeout time.Duration
			told    string
		}{
			{func() {}, time.Second, "<nil>"},
			{func() {}, time.Second, ""},
			{func() { write("services: {a: {timeout: 2s}}") }, 2 * time.Second, "<nil>"},
			{func() { write("services: {a: {timeout: 3}}") }, 2 * time.Second, `services.a.timeout: "3" has no unit`},
			{func() {}, 2 * time.Second, ""},
			{func() { _ = os.Remove(file) }, 2 * time.Second, "no such file"},
			{func() {}, 2 * time.Second, ""},
			{func() { write("services: {a: {timeout: 4s}}") }, 4 * time.Second, "<nil>"},
		} {
			step.do()
			time.Sleep(1100*time.Millisecond + time.Microsecond)
			synctest.Wait()
			if got := service(t, &m, "a").Config().Timeout; got != step.timeout {
				t.Errorf("the timeout is %v, want %v", got, step.timeout)
			}
			got := ""
			if len(told) > 0 {
				got = <-told
			}
			if (step.told == "") != (got == "") || !strings.Contains(got, step.told) || len(told) > 0 {
				t.Errorf("told %q and %d more, want %q", got, len(told), step.told)
			}
		}
		cancel(errDown)
		if err := <-ended; err != errDown {
			t.Errorf("Watch returned %v", err)
		}
		_ = m.Close()
		if err := m.Watch(context.Background(), file, 0, nil); err != errClosed {
			t.Errorf("for a closed manager Watch returned %v", err)
		}
	})
}

// A file that is being written is not read by half, although half of it would be valid.
func TestWatchDoesNotApplyHalfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const whole = "services: {a: {timeout: 1m}, b: {}}"
	write(whole)
	synctest.Test(t, func(t *testing.T) {
		var m Manager
		told := 0
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = m.Watch(ctx, file, time.Second, func(error) { told++ }) }()
		synctest.Wait()
		a := service(t, &m, "a")
		time.Sleep(time.Millisecond)
		for _, text := range []string{"", "services: {a: {timeout: 1m}}", whole} {
			for range 40 { // so that two looks a tenth of a second apart never see the same
				for _, now := range []string{text, whole + " ", whole + "  "} {
					write(now)
					time.Sleep(time.Second / 40)
				}
			}
			synctest.Wait()
			if service(t, &m, "a") != a || service(t, &m, "b") == nil {
				t.Errorf("half a file was applied: %q", text)
			}
		}
		write("services: {a: {timeout: 2m}}")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := service(t, &m, "a").Config().Timeout; got != 2*time.Minute {
			t.Errorf("what stays was not applied: %v", got)
		}
		_ = m.Close()
	})
}

func TestWatchEndsWithItsManager(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var m Manager
		ended := make(chan error, 1)
		go func() { ended <- m.Watch(context.Background(), file, time.Second, nil) }()
		time.Sleep(time.Minute)
		_ = m.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case err := <-ended:
			if err != errClosed {
				t.Errorf("Watch returned %v", err)
			}
		default:
			t.Fatal("Watch goes on without the manager")
		}
	})
}
