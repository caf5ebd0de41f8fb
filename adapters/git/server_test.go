package git

import (
	"bytes"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A server is git http-backend behind net/http, on loopback. Every client starts
// with GET info/refs, which counts as an attempt once its credentials are right.
type server struct {
	*httptest.Server
	bare string // the repository behind url
	url  string

	mu       sync.Mutex
	asked    Credentials // if any are asked for
	seen     func(r *http.Request)
	attempts int
	faults   []fault // of the attempts, in order; nil or none: no fault
	every    fault   // goes before faults
}

// A fault answers in place of git.
type fault func(w http.ResponseWriter, r *http.Request, git http.Handler)

// newServer serves a bare clone of the repository at dir.
func newServer(t *testing.T, dir string) *server {
	t.Helper()
	root := t.TempDir()
	s := &server{bare: filepath.Join(root, "repo.git")}
	git(t, "", "clone", "-q", "--bare", "file://"+dir, s.bare)
	git(t, s.bare, "config", "http.receivepack", "true")
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root,
		},
		Logger: log.New(io.Discard, "", 0),
		Stderr: io.Discard,
	}
	if _, err := os.Stat(backend.Path); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, backend)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	s.url = s.URL + "/repo.git"
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, backend http.Handler) {
	s.mu.Lock()
	seen, asked := s.seen, s.asked
	s.mu.Unlock()
	if seen != nil {
		seen(r)
	}
	if user, password, _ := r.BasicAuth(); asked != (Credentials{}) && asked != (Credentials{user, password}) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/info/refs") {
		s.attempts++
	}
	f := s.every
	if n := s.attempts - 1; f == nil && n >= 0 && n < len(s.faults) {
		f = s.faults[n]
	}
	s.mu.Unlock()
	if f != nil {
		f(w, r, backend)
		return
	}
	backend.ServeHTTP(w, r)
}

// script sets the faults of the attempts to come.
func (s *server) script(faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts, s.faults = 0, faults
}

// always sets the fault of every attempt.
func (s *server) always(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.every = f
}

// ask lets nobody in without the credentials.
func (s *server) ask(c Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = c
}

// look calls f with every request.
func (s *server) look(f func(r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = f
}

func (s *server) served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

func (s *server) head(t *testing.T) string {
	t.Helper()
	return git(t, s.bare, "rev-parse", "main")
}

// answer gives a status and, like many hosts, a page.
func answer(code int) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "<html>no</html>", code)
	}
}

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// cut sends half of what git answers to the command and closes the connection.
func cut(command string) fault {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Method != http.MethodPost || !bytes.Contains(body, []byte(command)) {
			git.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		git.ServeHTTP(recorded, r)
		maps.Copy(w.Header(), recorded.Header())
		w.WriteHeader(recorded.Code)
		w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// lost lets git do a push and loses its answer.
func lost(w http.ResponseWriter, r *http.Request, git http.Handler) {
	if r.Method != http.MethodPost {
		git.ServeHTTP(w, r)
		return
	}
	git.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}
