package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// A server is git http-backend with one repository, that can be made to answer
// something else.
type server struct {
	*httptest.Server

	root   string
	answer atomic.Pointer[answer]
	calls  atomic.Int32
}

type answer func(w http.ResponseWriter, r *http.Request, git http.Handler)

func up(w http.ResponseWriter, r *http.Request, git http.Handler) { git.ServeHTTP(w, r) }

func busy(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

func down(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// newServer serves a repository with a manifest on main and an empty branch status.
// It keeps it in the directory root.
func newServer(root, text string) (*server, error) {
	s := &server{root: root}
	programs, err := s.git("", "--exec-path")
	if err != nil {
		return nil, err
	}
	bare := filepath.Join(root, "app.git")
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--object-format=sha1", "--initial-branch=main", bare},
		{"-C", bare, "config", "http.receivepack", "true"},
		{"init", "--quiet", "--object-format=sha1", "--initial-branch=status", s.work()},
		{"-C", s.work(), "commit", "--quiet", "--allow-empty", "--message=Begin"},
		{"-C", s.work(), "push", "--quiet", bare, "status"},
		{"-C", s.work(), "checkout", "--quiet", "--orphan", "main"},
	} {
		if _, err := s.git("", args...); err != nil {
			return nil, err
		}
	}
	if err := s.push(text); err != nil {
		return nil, err
	}
	backend := &cgi.Handler{
		Path: filepath.Join(programs, "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		},
		Logger: log.New(io.Discard, "", 0),
		Stderr: io.Discard,
	}
	if _, err := os.Stat(backend.Path); err != nil {
		return nil, fmt.Errorf("this git has no git-http-backend, which the server needs: %w", err)
	}
	s.become(up)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		(*s.answer.Load())(w, r, backend)
	}))
	return s, nil
}

func (s *server) become(a answer) { s.answer.Store(&a) }

func (s *server) repository() string { return s.URL + "/app.git" }

func (s *server) work() string { return filepath.Join(s.root, "work") }

// push is what somebody of the team does, by a way that never fails: a new manifest.
func (s *server) push(text string) error {
	if err := os.WriteFile(filepath.Join(s.work(), "manifest"), []byte(text), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"add", "manifest"},
		{"commit", "--quiet", "--message=Change the manifest"},
		{"push", "--quiet", filepath.Join(s.root, "app.git"), "main"},
	} {
		if _, err := s.git(s.work(), args...); err != nil {
			return err
		}
	}
	return nil
}

// git runs the git program, without the user's settings and with one fixed date, so that
// every machine makes the same commits.
func (s *server) git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...) //nolint:noctx // it is quick and stays on this machine
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=Team", "GIT_AUTHOR_EMAIL=team@example.com", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=Team", "GIT_COMMITTER_EMAIL=team@example.com", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
