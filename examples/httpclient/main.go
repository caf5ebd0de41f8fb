// Command httpclient asks a web service through Tidegate: for the URL given to it,
// or else its own server, whose first two answers are failures.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
)

func main() {
	url, stop := target(os.Args[1:])
	err := run(context.Background(), os.Stdout, url)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, url string) error {
	// A preset brings a breaker, retries and time limits for web services.
	config := tidegate.Config{Services: map[string]tidegate.ServiceConfig{
		"billing": {Preset: tidegate.HTTP},
	}}
	// An observer hears of each decision.
	manager, err := tidegate.New(config, tidegate.WithObserver(middleware.ObserverFunc(
		func(_ context.Context, e middleware.Event) {
			fmt.Fprintf(w, "%s: %s after attempt %d\n", e.Chain, e.Kind, e.Attempt)
		})))
	if err != nil {
		return err
	}
	defer manager.Close()
	billing, err := manager.Service("billing")
	if err != nil {
		return err
	}
	client := billing.HTTPClient(nil) // make it once and keep it

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if tidegate.IsRejected(err) {
		return fmt.Errorf("nothing was sent: %w", err)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintf(w, "%s, the breaker is %s\n", resp.Status, billing.Health().State)
	return nil
}
