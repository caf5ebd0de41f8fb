package tidegate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/tidegate-go/tidegate"
)

// The settings change while the program runs; what the breaker has counted stays.
func ExampleManager_Apply() {
	load := func(text string) tidegate.Config {
		config, err := tidegate.ParseConfig("tidegate.yaml", []byte(text), nil)
		if err != nil {
			panic(err)
		}
		return config
	}
	manager, err := tidegate.New(load("services: {billing: {retry: off, breaker: {failure_threshold: 100}}}"))
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	billing, err := manager.Service("billing")
	if err != nil {
		panic(err)
	}
	fail := func(context.Context) error { return errors.New("no route to host") }
	for range 5 {
		_ = billing.Do(context.Background(), fail)
	}
	err = manager.Apply(load("services: {billing: {retry: off, breaker: {failure_threshold: 6}}}"))
	fmt.Println(err, manager.States()["billing"])
	_ = billing.Do(context.Background(), fail) // the sixth
	fmt.Println(manager.States()["billing"])
	// Output:
	// <nil> closed
	// open
}

// A file is applied whenever it changes, until the context ends.
func ExampleManager_Watch() {
	manager, err := tidegate.New(tidegate.Config{})
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	err = manager.Watch(ctx, "testdata/service.yaml", 0, func(err error) {
		for _, s := range manager.Services() {
			fmt.Println(s.Name(), "has", s.Config().Timeout, err)
		}
		cancel(errors.New("that is enough for an example"))
	})
	fmt.Println(err)
	// Output:
	// billing has 5s <nil>
	// that is enough for an example
}

// Templates hold what services have in common.
func ExampleParseConfig_templates() {
	config, err := tidegate.ParseConfig("tidegate.yaml", []byte(`
templates:
  partner: {preset: http, timeout: 20s, rate_limit: {rate: 10}}
services:
  invoices: {base: partner}
  ratings: {base: partner, timeout: 2s, retry: off}
`), os.LookupEnv)
	if err != nil {
		panic(err)
	}
	manager, err := tidegate.New(config)
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	for _, s := range manager.Services() {
		c := s.Config()
		fmt.Println(s.Name(), c.Timeout, c.RateLimit.Rate, c.Retry.Attempts)
	}
	// Output:
	// invoices 20s 10 3
	// ratings 2s 10 -1
}

// A Config made in code can be written as a file.
func ExampleConfig_YAML() {
	config := tidegate.Config{Services: map[string]tidegate.ServiceConfig{"store": {Preset: tidegate.MinIO, Timeout: tidegate.Off}}}
	fmt.Print(string(config.YAML()))
	// Output:
	// services:
	//   store:
	//     preset: minio
	//     timeout: off
}

// Each key of the file has a variable, which wins.
func ExampleVariable() {
	variable := tidegate.Variable("services.my-store.breaker.timeout")
	fmt.Println(variable)
	config, err := tidegate.ParseConfig("tidegate.yaml", []byte("services: {my-store: {breaker: {timeout: 1m}}}"),
		func(name string) (string, bool) { return "5s", name == variable })
	fmt.Println(config.Services["my-store"].Breaker.Timeout, err)
	// Output:
	// TIDEGATE_SERVICES_MY_STORE_BREAKER_TIMEOUT
	// 5s <nil>
}

// Policies that hardly do what is wanted are logged when a service is made.
func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "fix" {
				return slog.Attr{}
			}
			return a
		},
	}))
	config, err := tidegate.ParseConfig("tidegate.yaml", []byte("services: {billing: {breaker: off}}"), nil)
	if err != nil {
		panic(err)
	}
	manager, err := tidegate.New(config, tidegate.WithLogger(logger))
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	// Output:
	// level=WARN msg="tidegate: doubtful policies" service=billing rule=nothing_judges policies=[retry] problem="calls to a dependency that is down go on, with all their attempts"
}

// Without WithChaos nobody can disturb calls by a line in a file.
func ExampleWithChaos() {
	config, err := tidegate.ParseConfig("tidegate.yaml", []byte("services: {billing: {chaos: {for: 10m, error_rate: 0.5}}}"), nil)
	if err != nil {
		panic(err)
	}
	_, err = tidegate.New(config)
	fmt.Println(strings.Replace(err.Error(), "; ", ";\n  ", 1))
	manager, err := tidegate.New(config, tidegate.WithChaos(), tidegate.WithLogger(nil))
	fmt.Println(err)
	defer manager.Close()
	// Output:
	// tidegate: services.billing.chaos: calls would be disturbed on purpose, which this program does not permit;
	//   allowed: off, or a program that makes its Manager with tidegate.WithChaos()
	// <nil>
}
