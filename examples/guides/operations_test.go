package guides

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/observability"
)

// newManager returns one with the services of the file.
func newManager() *tidegate.Manager {
	return must(tidegate.New(must(tidegate.LoadConfig("tidegate.yaml"))))
}

func Example_healthChecks() {
	manager := newManager()
	defer manager.Close()
	mux := http.NewServeMux()

	mux.Handle("/livez", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // of the process alone
	mux.Handle("/readyz", observability.HealthHandler(manager))                         // 200 with what is open as a warning
	mux.Handle("/startup", observability.HealthHandler(manager, "archive"))             // 503 while there is no archive

	if err := manager.ForceOpen("archive"); err != nil {
		panic(err)
	}
	for _, path := range []string{"/readyz", "/startup"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		status, _, _ := strings.Cut(w.Body.String(), ",")
		fmt.Println(path, w.Code, strings.TrimPrefix(status, "{"))
	}
	// Output:
	// /readyz 200 "status":"warn"
	// /startup 503 "status":"fail"
}

func Example_byHand() {
	manager := newManager()
	defer manager.Close()
	ctx := context.Background()
	send := func(context.Context) error { return nil }

	billing, err := manager.Service("billing")
	if err != nil {
		panic(err)
	}
	err = manager.ForceOpen("billing") // nothing passes until Release
	fmt.Println(err, billing.Health().State, billing.Do(ctx, send))
	err = manager.ForceClose("billing") // everything passes the breaker, whatever it counts
	fmt.Println(err, billing.Health().State, billing.Do(ctx, send))
	err = manager.Release("billing") // it decides itself again
	fmt.Println(err, billing.Health().State, billing.Do(ctx, send))
	// Output:
	// <nil> forced_open billing: breaker: circuit breaker is open
	// <nil> forced_closed <nil>
	// <nil> closed <nil>
}

func Example_controls() {
	manager := newManager()
	defer manager.Close()
	mux := http.NewServeMux()
	secret := []byte("of the operators")

	page := observability.Page(manager, observability.AllowControl(func(r *http.Request) bool {
		_, password, _ := r.BasicAuth()
		return subtle.ConstantTimeCompare([]byte(password), secret) == 1
	}))
	mux.Handle("/tidegate/", http.StripPrefix("/tidegate", page))

	order := httptest.NewRequest(http.MethodPost, "/tidegate/control", strings.NewReader(`{"service": "billing", "action": "force_open"}`))
	order.Header.Set("Content-Type", "application/json")
	order.SetBasicAuth("operator", "of the operators")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, order)
	fmt.Println(w.Code, manager.States()["billing"])
	// Output: 200 forced_open
}

func Example_watch() {
	manager := newManager()
	defer manager.Close()
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{})

	ended := make(chan error)
	go func() {
		ended <- manager.Watch(ctx, "tidegate.yaml", 0, func(err error) {
			if err != nil {
				slog.Error("the old settings stay", "error", err)
				return
			}
			slog.Debug("new settings")
			close(told)
		})
	}()

	<-told
	cancel()
	fmt.Println(<-ended)
	// Output: context canceled
}
