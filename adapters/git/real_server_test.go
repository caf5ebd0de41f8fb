//go:build real && unix

package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/internal/pinned"
)

// A sshServer is an sshd with one repository, for the user who runs the tests.
type sshServer struct {
	dir     string
	bare    string
	address string
	key     string // the text of the private key that it lets in
	locked  string // the same with the passphrase canary
	other   string // one that it does not let in
	hosts   string // what its host key looks like in a known_hosts file
	client  string // a directory with an ssh, to go before PATH
}

// newSSHServer runs an sshd, with further lines of configuration, until the test
// ends.
func newSSHServer(t *testing.T, more ...string) *sshServer {
	t.Helper()
	program := pinned.Program(t, "sshd")
	root := t.TempDir()
	s := &sshServer{dir: root, bare: filepath.Join(root, "repo.git"), client: filepath.Join(root, "client")}
	repository := gittest.NewRepository(t)
	// It does not get smaller, so that a pack has a middle.
	noise, err := os.OpenFile("/dev/urandom", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	content, err := io.ReadAll(io.LimitReader(noise, 1<<20))
	s.file(t, filepath.Join(repository, "noise"), string(content), 0o600, err)
	gittest.Git(t, repository, "add", "noise")
	gittest.Commit(t, repository, "noise")
	gittest.Git(t, "", "clone", "-q", "--bare", "file://"+repository, s.bare)

	s.key, s.locked, s.other = s.keygen(t, "key", ""), s.keygen(t, "locked", canary), s.keygen(t, "other", "")
	s.keygen(t, "host", "")
	s.hosts = "[127.0.0.1]:* " + s.read(t, "host.pub")
	// Every session passes a script, which waits at the valve when there is one.
	session := filepath.Join(root, "session")
	gittest.WriteScript(t, session, "#!/bin/sh\nif [ -e "+root+"/valve ]; then echo $$ > "+root+"/valve; read x < "+root+"/valve.go; fi\nexec git shell -c \"$SSH_ORIGINAL_COMMAND\"\n")
	s.file(t, filepath.Join(root, "authorized"), "command=\""+session+"\" "+s.read(t, "key.pub")+"command=\""+session+"\" "+s.read(t, "locked.pub"), 0o600, nil)
	s.file(t, filepath.Join(root, "sshd_config"), strings.Join(append([]string{
		"HostKey " + root + "/host", "AuthorizedKeysFile " + root + "/authorized", "PidFile none",
		"UsePAM no", "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"SetEnv HOME=" + root + " PATH=" + os.Getenv("PATH") + " GIT_CONFIG_NOSYSTEM=1",
	}, more...), "\n")+"\n", 0o600, nil)

	// What follows is the configuration of the user's own, for tests do not read that
	// of whoever runs them. It shares connections as far as it may.
	if err := os.Mkdir(s.client, 0o700); err != nil {
		t.Fatal(err)
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	s.file(t, filepath.Join(s.client, "config"), strings.Join([]string{
		"ControlMaster auto", "ControlPath " + s.client + "/shared", "ControlPersist 30", "AddKeysToAgent yes",
		"IdentityFile " + root + "/other", "UserKnownHostsFile " + s.client + "/known_hosts", "GlobalKnownHostsFile /dev/null",
		"Host choosy", "HostName 127.0.0.1", "HostKeyAlgorithms ecdsa-sha2-nistp256", "",
	}, "\n"), 0o600, nil)
	gittest.WriteScript(t, filepath.Join(s.client, "ssh"), "#!/bin/sh\necho \"$$ $*\" >> "+s.client+"/argv\nexec "+ssh+" -F "+s.client+"/config \"$@\"\n")

	s.address = freeAddress(t)
	host, port, _ := net.SplitHostPort(s.address)
	cmd := exec.Command(program, "-D", "-e", "-f", filepath.Join(root, "sshd_config"), "-o", "ListenAddress="+host, "-p", port)
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, exited := make(chan struct{}), make(chan struct{})
	var log bytes.Buffer
	go func() {
		defer close(exited)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			fmt.Fprintln(&log, lines.Text())
			if strings.HasPrefix(lines.Text(), "Server listening") {
				close(ready)
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		late := time.AfterFunc(20*time.Second, func() { output.Close() })
		<-exited // when the sessions have ended too, which hold its output
		if !late.Stop() {
			t.Error("a session of sshd lives on")
		}
		if t.Failed() {
			t.Logf("sshd said:\n%s", log.Bytes())
		}
		silent(t, "the log of sshd", log.String())
	})
	select {
	case <-ready:
	case <-exited:
		t.Fatalf("sshd ended: %s", log.Bytes())
	case <-bounded(t).Done():
		t.Fatal("sshd is not ready after a minute")
	}
	return s
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *sshServer) file(t *testing.T, path, text string, mode os.FileMode, err error) {
	t.Helper()
	if err := errors.Join(err, os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

func (s *sshServer) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *sshServer) keygen(t *testing.T, name, passphrase string) string {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", filepath.Join(s.dir, name)).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return s.read(t, name)
}

// url returns the URL of the repository behind address.
func (s *sshServer) url(t *testing.T, address string) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return "ssh://" + me.Username + "@" + address + s.bare
}

// config returns settings with which the server is reached.
func (s *sshServer) config() Config {
	return Config{
		Schemes: []string{"ssh"}, Stall: 10 * time.Second,
		SSH: SSH{PrivateKey: s.key, KnownHosts: s.hosts},
		Env: []string{"PATH=" + s.client + ":" + os.Getenv("PATH")},
	}
}

// temporary makes files for the time of a call appear in a directory whose name is
// hard to quote, and asserts at the end of the test that they have gone.
func temporary(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), `it's "odd" 100%h \ $x`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() { equal(t, "left behind", names(t, dir), nil) })
}

// hush asserts that s shows neither the passphrase nor a part of a private key.
func (s *sshServer) hush(t *testing.T, what, text string) {
	t.Helper()
	silent(t, what, text)
	for _, key := range []string{s.key, s.locked, s.other} {
		for _, secret := range (SSH{PrivateKey: key}).secrets() {
			if strings.Contains(text, secret) && len(secret) > 60 {
				t.Errorf("%s shows the private key: %.300s", what, text)
			}
		}
	}
}

// A valve stops the sessions of a server.
type valve struct {
	*witness

	open *os.File
}

func (s *sshServer) valve(t *testing.T) *valve {
	t.Helper()
	g := &valve{witness: newWitness(t)}
	if err := os.Symlink(g.path, filepath.Join(s.dir, "valve")); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mkfifo(filepath.Join(s.dir, "valve.go"), 0o600)
	if err == nil {
		g.open, err = os.OpenFile(filepath.Join(s.dir, "valve.go"), os.O_RDWR, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.pass(t)
		g.open.Close()
	})
	return g
}

func (g *valve) pass(t *testing.T) {
	if _, err := g.open.WriteString("go\n"); err != nil {
		t.Error(err)
	}
}
