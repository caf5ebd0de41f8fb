//go:build unix

package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A key is read by nobody here.
const (
	keyLine = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt"
	testKey = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + keyLine + "\n" + canary + "=\n-----END OPENSSH PRIVATE KEY-----\n"
	hosts   = "example.com ssh-ed25519 AAAA"
)

// hush asserts that s shows nothing of the test's key.
func hush(t *testing.T, what, s string) {
	t.Helper()
	silent(t, what, s)
	if strings.Contains(s, keyLine) {
		t.Errorf("%s shows the key: %s", what, s)
	}
}

// keepIdentity makes a stub keep what ssh finds, in the way that the shell reads
// the command, and what it is answered to questions.
const keepIdentity = `case " $* " in *core.sshCommand*) exit 1;; esac
kept=${STUB%/notes}
eval "set -- $GIT_SSH_COMMAND"
for a; do case $a in
*=/dev/null) ;;
*File=*) eval "file=${a#*=}"; cp -p "$file" "$kept/"; ls -ld "${file%/*}" > "$kept/directory";;
esac; done
[ -z "$TIDEGATE_GIT_SSH_PASSPHRASE" ] || for question in "Enter passphrase for key '$file': " "Enter passphrase for key '/home/ann/.ssh/id': " "Are you sure you want to continue connecting (yes/no/[fingerprint])? "; do
	"$SSH_ASKPASS" "$question" >> "$kept/answers" || echo no >> "$kept/answers"
done
`

func TestG3SSHByValue(t *testing.T) {
	const (
		alone      = "ssh -o ControlMaster=no -o ControlPath=none"
		key        = ` -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey -o 'IdentityFile="DIR/key"'`
		known      = ` -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o 'UserKnownHostsFile="DIR/known_hosts"'`
		batch      = ` -o BatchMode=yes`
		times      = ` -o ConnectTimeout=9 -o ServerAliveInterval=3 -o ServerAliveCountMax=3`
		passphrase = `it's "$(id)" %s ` + canary
	)
	for _, row := range []struct {
		name  string
		ssh   SSH
		want  string
		files map[string]string
	}{
		{"a key", SSH{PrivateKey: testKey}, alone + key + batch + times, map[string]string{"key": testKey}},
		{"a key without its last line break", SSH{PrivateKey: "\n" + strings.TrimSpace(testKey)}, alone + key + batch + times, map[string]string{"key": testKey}},
		{"a key and known hosts", SSH{PrivateKey: testKey, KnownHosts: hosts}, alone + key + known + batch + times, map[string]string{"key": testKey, "known_hosts": hosts + "\n"}},
		{"a passphrase", SSH{PrivateKey: testKey, Passphrase: passphrase}, alone + key + " -o NumberOfPasswordPrompts=1" + times, map[string]string{"key": testKey, "answers": passphrase + strings.Repeat("\nno", 2) + "\n"}},
		{"known hosts alone", SSH{KnownHosts: hosts}, alone + known + batch + times, map[string]string{"known_hosts": hosts + "\n"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, dir := newStub(t, keepIdentity), filepath.Join(t.TempDir(), "it's a")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", dir)
			for _, name := range []string{"GIT_SSH_COMMAND", "GIT_SSH", "GIT_SSH_VARIANT", "SSH_ASKPASS"} {
				t.Setenv(name, "inherited")
			}
			c := s.config()
			c.Stall, c.SSH = 9*time.Second, row.ssh
			if _, err := newClient(t, nil, c).LsRemote(bounded(t), "git@example.com:a"); err != nil {
				t.Fatal(err)
			}
			hush(t, "argv", strings.Join(s.only(t, ".argv"), " ")) // and core.sshCommand is not asked for
			env := s.only(t, ".env")
			for _, v := range env {
				name, value, _ := strings.Cut(v, "=")
				switch name {
				case "GIT_SSH_COMMAND":
					shown := strings.ReplaceAll(value, quoteShell(dir)[1:len(quoteShell(dir))-1], "TMPDIR")
					if shown = regexp.MustCompile(`TMPDIR/tidegate-ssh-\d+`).ReplaceAllString(shown, "DIR"); shown != row.want {
						t.Errorf("ssh is run as\n%s\nwant\n%s", shown, row.want)
					}
				case "TIDEGATE_GIT_SSH_PASSPHRASE":
				default:
					hush(t, "the environment", v)
				}
			}
			if asks := slices.Contains(env, "SSH_ASKPASS_REQUIRE=force"); asks != (row.ssh.Passphrase != "") {
				t.Errorf("ssh asks for a passphrase: %v", asks)
			}
			if !slices.Contains(env, "GIT_SSH_VARIANT=ssh") {
				t.Error("git may take our ssh for another program")
			}
			kept := filepath.Dir(s.path)
			for _, name := range []string{"key", "known_hosts", "answers"} {
				b, err := os.ReadFile(filepath.Join(kept, name))
				if want, ok := row.files[name]; string(b) != want || ok != (err == nil) {
					t.Errorf("%s is %q, %v, want %q", name, b, err, want)
				}
				if info, err := os.Stat(filepath.Join(kept, name)); err == nil && name != "answers" && info.Mode() != 0o600 {
					t.Errorf("%s has the mode %v, want 0600", name, info.Mode())
				}
			}
			if b, _ := os.ReadFile(filepath.Join(kept, "directory")); !strings.HasPrefix(string(b), "drwx------ ") {
				t.Errorf("the directory is %q, want one for the user alone", b)
			}
			equal(t, "left behind", names(t, dir), nil)
		})
	}
}

// panicking panics when git is to be started.
type panicking struct{ context.Context }

func (panicking) Done() <-chan struct{} { panic("done") }

func TestG10IdentityIsRemoved(t *testing.T) {
	gate := newWitness(t)
	for _, row := range []struct {
		name, script string
		change       func(c *Config)
		kind         Kind
	}{
		{"after success", "", nil, ""},
		{"after a failure", "echo '" + keyLine + " '\"$TIDEGATE_GIT_SSH_PASSPHRASE is denied\" >&2; exit 128", nil, KindUnknown},
		{"without a git", "", func(c *Config) { c.Path = "no-such-git-anywhere" }, KindNoGit},
		{"after the end of the context", "echo ready >" + gate.path + "; exec sleep 1000", nil, KindCanceled},
		{"after a panic", "", nil, "panic"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, dir := newStub(t, row.script), t.TempDir()
			t.Setenv("TMPDIR", dir)
			c := s.config()
			c.SSH = SSH{PrivateKey: testKey, Passphrase: canary, KnownHosts: hosts}
			if row.change != nil {
				row.change(&c)
			}
			ctx, cancel := context.WithCancel(bounded(t))
			defer cancel()
			if row.kind == KindCanceled {
				go func() {
					gate.line(t)
					if len(names(t, dir)) != 1 {
						t.Error("there is no directory while git runs")
					}
					cancel()
				}()
			}
			err := func() (err error) {
				defer func() {
					if r := recover(); r != nil {
						err = fmt.Errorf("panic: %v", r)
					}
				}()
				given := ctx
				if row.kind == "panic" {
					given = panicking{ctx}
				}
				_, err = newClient(t, nil, c).LsRemote(given, "git@example.com:a")
				return err
			}()
			switch row.kind {
			case "":
				if err != nil {
					t.Error(err)
				}
			case "panic":
				if err == nil || err.Error() != "panic: done" {
					t.Errorf("got %v, want a panic", err)
				}
			default:
				e := failure(t, err, row.kind)
				hush(t, "the error", e.Error()+e.Stderr)
			}
			equal(t, "left behind", names(t, dir), nil)
		})
	}
}

// Only ssh gets the key.
func TestG10IdentityIsForSSHAlone(t *testing.T) {
	s := newStub(t, `case " $* " in *" config "*) printf 'https://example.com/a\0';; esac`)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none")) // nothing can be made there
	c := s.config()
	c.SSH = SSH{PrivateKey: testKey, Passphrase: canary}
	client, dir := newClient(t, nil, c), t.TempDir()
	if _, err := client.LsRemote(bounded(t), "https://example.com/a"); err != nil {
		t.Error(err)
	}
	if _, err := client.Fetch(bounded(t), dir, FetchOptions{}); err != nil {
		t.Error(err)
	}
	for _, env := range s.runs(t, ".env") {
		hush(t, "the environment", strings.Join(env, "\n"))
	}
	ran := len(s.runs(t, ".env"))
	_, err := client.LsRemote(bounded(t), "ssh://git@example.com/a")
	if e := failure(t, err, KindDisk); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", e)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "${x}"))
	if err := os.Mkdir(os.TempDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = client.LsRemote(bounded(t), "ssh://git@example.com/a")
	failure(t, err, KindDisk)
	equal(t, "left behind", names(t, os.TempDir()), nil)
	if len(s.runs(t, ".env")) != ran {
		t.Error("git ran without its key")
	}
}

func TestG10SSHDoesNotShow(t *testing.T) {
	c := Config{SSH: SSH{PrivateKey: testKey, Passphrase: canary}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "ssh", c.SSH)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c, "ssh", c.SSH)
	b, err := json.Marshal(c) //nolint:musttag // as it is logged by accident
	if err != nil {
		t.Fatal(err)
	}
	hush(t, "printed", fmt.Sprintf("%v %+v %#v %s %q %d %x", c, c, c, c.SSH, c.SSH, c.SSH, c.SSH)+log.String()+string(b))
	equal(t, "secrets", SSH{PrivateKey: "-----BEGIN X-----\n" + keyLine + "\nA=\n-----END X-----", Passphrase: "b"}.secrets(), []string{"b", keyLine})
	if got := fmt.Sprint(SSH{}, c.SSH); got != "none ***" {
		t.Errorf("got %q", got)
	}
}

func TestValidateSSH(t *testing.T) {
	for _, row := range []struct {
		ssh  SSH
		env  []string
		want string
	}{
		{SSH{}, []string{"GIT_SSH_COMMAND=mine", "GIT_SSH=mine"}, ""},
		{SSH{PrivateKey: testKey, Passphrase: "ä b", KnownHosts: "a ssh-rsa\tAAAA\n\n# b\n"}, []string{"GIT_SSH_VARIANT=ssh"}, ""},
		{SSH{PrivateKey: "/home/" + canary}, nil, "Config.SSH.PrivateKey is not a key: it must be the text of a private key, and not the name of its file"},
		{SSH{PrivateKey: testKey + "\x00"}, nil, "Config.SSH.PrivateKey is not printable: it must be without control characters but line breaks (LF)"},
		{SSH{PrivateKey: strings.ReplaceAll(testKey, "\n", "\r\n")}, nil, "Config.SSH.PrivateKey is not printable: it must be without control characters but line breaks (LF)"},
		{SSH{Passphrase: canary}, nil, "Config.SSH.Passphrase is set: it must be empty without a PrivateKey"},
		{SSH{PrivateKey: testKey, Passphrase: canary + "\n"}, nil, "Config.SSH.Passphrase is not printable: it must be without control characters"},
		{SSH{KnownHosts: canary + "\r"}, nil, "Config.SSH.KnownHosts is not printable: it must be without control characters but tabs and line breaks (LF)"},
		{SSH{PrivateKey: testKey}, []string{"GIT_SSH_COMMAND=" + canary}, "Config.Env is with GIT_SSH_COMMAND: it must be without it, or SSH empty"},
		{SSH{KnownHosts: hosts}, []string{"GIT_SSH=" + canary}, "Config.Env is with GIT_SSH: it must be without it, or SSH empty"},
	} {
		got := ""
		if err := (Config{SSH: row.ssh, Env: row.env}).Validate(); err != nil {
			got = strings.TrimPrefix(err.Error(), "git: ")
		}
		if got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}
