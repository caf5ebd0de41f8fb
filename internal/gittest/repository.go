// Package gittest has what the tests of the Git adapters share: repositories made
// by the git program, a server with faults, and the behaviour that every adapter
// has.
package gittest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Isolate gives this process, and the git programs that it runs, nobody's
// configuration but the tests' own. The caller removes home at the end.
func Isolate() (home string, err error) {
	home, err = os.MkdirTemp("", "tidegate-git-")
	if err != nil {
		return "", fmt.Errorf("gittest: %w", err)
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "GIT_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": home, "GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "Tests", "GIT_AUTHOR_EMAIL": "tests@example.com", "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME": "Tests", "GIT_COMMITTER_EMAIL": "tests@example.com", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
	} {
		os.Setenv(name, value)
	}
	return home, nil
}

// Git runs the git program, not an adapter, and returns what it wrote.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...) //nolint:noctx // it is quick, and the test has its own limit
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// NewRepository returns the path of a repository with one commit on main and an
// annotated tag v1.
func NewRepository(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	made, err := template()
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(made))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// template is where the first repository was made, in the home of Isolate. Git takes
// its time: others are copies.
var template = sync.OnceValues(func() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(home, "template")
	for _, args := range [][]string{
		{"init", "-q", "--template=", "-b", "main", dir},
		{"-C", dir, "add", "file"},
		{"-C", dir, "commit", "-q", "-m", "first"},
		{"-C", dir, "tag", "-a", "-m", "one", "v1"},
	} {
		if args[2] == "add" {
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte(content("first")), 0o600); err != nil {
				return "", err
			}
		}
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("git %q: %w\n%s", args, err, out)
		}
	}
	return dir, nil
})

// content is that of the file "file" of a commit.
func content(what string) string { return strings.Repeat(what+"\n", 1000) }

// copyBare makes a bare copy of the repository at dir without starting git.
func copyBare(t testing.TB, dir, bare string) {
	t.Helper()
	from := filepath.Join(dir, ".git")
	if _, err := os.Stat(from); err != nil {
		from = dir
	}
	err := os.CopyFS(bare, os.DirFS(from))
	for _, name := range []string{"index", "logs", "hooks", "COMMIT_EDITMSG"} { // of the work tree
		if err == nil {
			err = os.RemoveAll(filepath.Join(bare, name))
		}
	}
	if err == nil {
		var config *os.File
		if config, err = os.OpenFile(filepath.Join(bare, "config"), os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			_, err = config.WriteString("[core]\n\tbare = true\n[http]\n\treceivepack = true\n")
			err = errors.Join(err, config.Close())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Commit adds a commit that changes the file "file", and returns its id.
func Commit(t testing.TB, dir, what string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(content(what)), 0o600); err != nil {
		t.Fatal(err)
	}
	Git(t, dir, "add", "file")
	Git(t, dir, "commit", "-q", "-m", what)
	return Git(t, dir, "rev-parse", "HEAD")
}

// Whole fails the test unless dir is a good clone whose HEAD is id.
func Whole(t testing.TB, dir, id string) {
	t.Helper()
	if got := Git(t, dir, "rev-parse", "HEAD"); got != id {
		t.Errorf("HEAD is %s, want %s", got, id)
	}
	Git(t, dir, "fsck", "--full", "--strict")
	if changes := Git(t, dir, "status", "--porcelain"); changes != "" {
		t.Errorf("the work tree differs from HEAD: %s", changes)
	}
}
