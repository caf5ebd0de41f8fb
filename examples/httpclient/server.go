package main

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// target returns the URL among the arguments, or that of a server of its own.
func target(args []string) (url string, stop func()) {
	if len(args) > 0 {
		return args[0], func() {}
	}
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	return server.URL, server.Close
}
