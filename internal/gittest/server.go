package gittest

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

// A Server is git http-backend behind net/http, on loopback, with one repository.
// Every client starts with GET info/refs, which counts as an attempt once its
// login is right.
type Server struct {
	*httptest.Server

	Bare string // the directory of the repository
	Repo string // its URL

	mu       sync.Mutex
	asked    Login
	seen     func(r *http.Request)
	attempts int
	faults   []Fault // of the attempts, in order; nil or none: no fault
	every    Fault   // goes before faults
}

// A Login is a user name and a password.
type Login struct{ Username, Password string }

// A Fault answers in place of git.
type Fault func(w http.ResponseWriter, r *http.Request, git http.Handler)

// NewServer serves a bare clone of the repository at dir until the test ends.
func NewServer(t testing.TB, dir string) *Server {
	t.Helper()
	root := t.TempDir()
	s := &Server{Bare: filepath.Join(root, "repo.git")}
	copyBare(t, dir, s.Bare)
	backend := &cgi.Handler{
		Path: backendPath(t),
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
	s.Repo = s.URL + "/repo.git"
	return s
}

// execPath is where git has its programs, which is asked for once.
var execPath = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	return strings.TrimSpace(string(out)), err
})

func backendPath(t testing.TB) string {
	t.Helper()
	dir, err := execPath()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "git-http-backend")
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, backend http.Handler) {
	s.mu.Lock()
	seen, asked := s.seen, s.asked
	s.mu.Unlock()
	if seen != nil {
		seen(r)
	}
	if user, password, _ := r.BasicAuth(); asked != (Login{}) && asked != (Login{user, password}) {
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

// Script sets the faults of the attempts to come, which are counted anew.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts, s.faults = 0, faults
}

// Always sets the fault of every attempt; nil ends it.
func (s *Server) Always(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.every = f
}

// Ask lets nobody in without the login; the zero Login lets everybody in.
func (s *Server) Ask(l Login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = l
}

// Look calls f with every request.
func (s *Server) Look(f func(r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = f
}

// Served returns the number of attempts since the last Script.
func (s *Server) Served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// Head returns the id of the branch main.
func (s *Server) Head(t testing.TB) string {
	t.Helper()
	return Git(t, s.Bare, "rev-parse", "refs/heads/main")
}

// Answer gives a status and, like many hosts, a page. A 429 asks to wait for a
// second.
func Answer(code int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if code == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, "<html>no</html>", code)
	}
}

// Hang never answers.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	// The end of the connection shows only after that of the body.
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// Cut sends half of what git answers to the command of protocol version 2, such
// as "command=fetch", and closes the connection. An empty command stands for any
// POST.
func Cut(command string) Fault {
	return cut(func(r *http.Request, body []byte) bool {
		return r.Method == http.MethodPost && bytes.Contains(body, []byte(command))
	})
}

// CutRefs is Cut in the answer to info/refs, with which every protocol begins.
func CutRefs() Fault {
	return cut(func(r *http.Request, _ []byte) bool { return r.Method == http.MethodGet })
}

// CutPack is Cut in the middle of a pack, whatever the version of the protocol.
func CutPack() Fault {
	return cut(func(r *http.Request, body []byte) bool {
		return r.Method == http.MethodPost && !bytes.Contains(body, []byte("command=ls-refs"))
	})
}

func cut(which func(r *http.Request, body []byte) bool) Fault {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !which(r, body) {
			git.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		git.ServeHTTP(recorded, r)
		maps.Copy(w.Header(), recorded.Header())
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Lost lets git do a push and loses its answer.
func Lost(w http.ResponseWriter, r *http.Request, git http.Handler) {
	if r.Method != http.MethodPost {
		git.ServeHTTP(w, r)
		return
	}
	git.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}
