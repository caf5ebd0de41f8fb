package repository

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/examples/backup/internal/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const module = "example.com/project"

// A project is a repository of module with two commits.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "init", "--quiet")
	for _, content := range []string{"module example.com/project\n", "module example.com/project\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, dir, "add", ".")
		run(t, dir, "commit", "--quiet", "-m", "x")
	}
	return dir
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git(t.Context(), dir, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpen(t *testing.T) {
	dir := project(t)
	head := run(t, dir, "rev-parse", "HEAD")
	if err := os.Mkdir(filepath.Join(dir, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, dir, "clone", "--quiet", "--depth=1", "--", "file://"+dir, shallow)
	detached := filepath.Join(t.TempDir(), "detached")
	run(t, dir, "clone", "--quiet", "--", dir, detached)
	run(t, detached, "checkout", "--quiet", "--detach")
	branch := run(t, dir, "symbolic-ref", "--short", "HEAD")
	run(t, detached, "branch", "--quiet", "-D", branch)
	unborn := t.TempDir()
	run(t, unborn, "init", "--quiet")

	for _, row := range []struct {
		name, source, module string
		commits              int
		head                 string // empty: generated
	}{
		{"the project", dir, module, 2, head},
		{"a folder in the project", filepath.Join(dir, "inner"), module, 2, head},
		{"a shallow clone", shallow, module, 1, head},
		{"a detached head without a branch", detached, module, 2, head},
		{"any module", dir, "", 2, head},
		{"another module", dir, "example.com/other", generatedCommits, ""},
		{"no repository", t.TempDir(), module, generatedCommits, ""},
		{"no commit", unborn, module, generatedCommits, ""},
		{"no folder", filepath.Join(dir, "missing"), module, generatedCommits, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := Open(t.Context(), t.TempDir(), "project.git", row.source, row.module)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := r.Commits(t.Context()); n != row.commits || err != nil {
				t.Errorf("%d commits, %v, want %d", n, err, row.commits)
			}
			got, err := r.Head(t.Context())
			if err != nil || row.head != "" && got != row.head {
				t.Errorf("head %s, %v, want %s", got, err, row.head)
			}
			if size, err := r.Size(); size == 0 || err != nil {
				t.Errorf("size %d, %v", size, err)
			}
			served(t, r, got)
		})
	}
}

// served clones r over HTTP and expects its head.
func served(t *testing.T, r *Repository, head string) {
	t.Helper()
	backend, err := r.Backend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err := loopback.Serve(backend, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, t.TempDir(), "clone", "--quiet", "--", "http://"+server.Addr()+"/project.git", clone)
	if got := run(t, clone, "rev-parse", "HEAD"); got != head {
		t.Errorf("the clone is at %s, want %s", got, head)
	}
}

func TestOpenWhatMustBeThere(t *testing.T) {
	unborn := t.TempDir()
	run(t, unborn, "init", "--quiet")
	for _, source := range []string{t.TempDir(), unborn, filepath.Join(unborn, "missing")} {
		if _, err := Open(t.Context(), t.TempDir(), "project.git", source, ""); err == nil || !strings.HasPrefix(err.Error(), source+" is not in a git repository") {
			t.Errorf("%s: got %v, want an error that names it", source, err)
		}
	}
}

func TestGeneratedHistoryIsTheSameEverywhere(t *testing.T) {
	r, err := Open(t.Context(), t.TempDir(), "project.git", t.TempDir(), module)
	if err != nil {
		t.Fatal(err)
	}
	const want = "00c972c0613af06fc7b1fc8905fe5ae441d0910d"
	if got, err := r.Head(t.Context()); got != want || err != nil {
		t.Errorf("head %s, %v, want %s", got, err, want)
	}
}

func TestCommit(t *testing.T) {
	r, err := Open(t.Context(), t.TempDir(), "project.git", project(t), module)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Commit(t.Context(), "one more")
	if err != nil {
		t.Fatal(err)
	}
	if head, err := r.Head(t.Context()); head != id || err != nil {
		t.Errorf("head %s, %v, want %s", head, err, id)
	}
	if n, err := r.Commits(t.Context()); n != 3 || err != nil {
		t.Errorf("%d commits, %v, want 3", n, err)
	}
}

func TestGitReportsWhatWentWrong(t *testing.T) {
	_, err := git(t.Context(), t.TempDir(), nil, "no-such-command")
	if _, ok := err.(interface{ Unwrap() error }); !ok {
		t.Errorf("%v does not wrap the exit status", err)
	}
	t.Setenv("PATH", "")
	if _, err := exec.LookPath("git"); err == nil {
		t.Skip("git is found without PATH")
	}
	if _, err := git(t.Context(), t.TempDir(), nil, "version"); err == nil {
		t.Error("no error without a git program")
	}
}
