package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// The README shows this program and no other.
func TestReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(readme), "```go\n")
	shown, _, _ = strings.Cut(shown, "```")
	_, want, _ := strings.Cut(string(program), "\n") // without the package comment
	if shown != want {
		t.Errorf("the first Go block of README.md is not examples/readme/main.go:\n%s", shown)
	}
}

// It gets through two failures.
func TestProgram(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	os.Args = []string{"readme", server.URL}
	main()
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want two failures and a success", n)
	}
}
