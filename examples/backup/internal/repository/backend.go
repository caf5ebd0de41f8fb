package repository

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"path/filepath"
	"strings"
)

// Backend returns a handler that serves the repository over git's smart HTTP
// protocol, at /NAME. Git's own git-http-backend does the work.
func (r *Repository) Backend(ctx context.Context) (http.Handler, error) {
	programs, err := git(ctx, r.dir, nil, "--exec-path")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(programs, "git-http-backend")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("this git has no git-http-backend, which the demonstration's git server needs: %w", err)
	}
	handler := &cgi.Handler{
		Path:   program,
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"},
		Logger: log.New(io.Discard, "", 0),
		Stderr: io.Discard,
	}
	for _, v := range environment() {
		if strings.HasPrefix(v, "GIT_CONFIG") || strings.HasPrefix(v, "LC_ALL") {
			handler.Env = append(handler.Env, v)
		}
	}
	return handler, nil
}
