package git

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// SSH is how a remote is reached by ssh: with which key, and which keys of hosts
// are accepted. It does not show itself when it is printed or logged.
//
// If any field is set, it goes before an inherited GIT_SSH_COMMAND or GIT_SSH and
// before core.sshCommand; ssh still reads the user's own configuration, but
// shares no connection and asks no agent for a key. The zero SSH changes nothing.
type SSH struct {
	// PrivateKey is the text of a private key, in a format that ssh reads. While git
	// runs it is in a file in a directory of its own under [os.TempDir], which only
	// the user can read and which is removed when git has ended, unless this process
	// is killed. Empty means the keys of the user's own.
	PrivateKey string

	// Passphrase decrypts PrivateKey. It needs OpenSSH 8.4 or newer, and a directory
	// for temporary files in which programs may be run.
	Passphrase string

	// KnownHosts are lines as in a known_hosts file. Hosts that do not show one of
	// these keys are refused. Empty leaves it to the user's own configuration.
	KnownHosts string
}

// Format implements [fmt.Formatter].
func (s SSH) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.shown())) }

// MarshalText implements [encoding.TextMarshaler].
func (s SSH) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

func (s SSH) shown() string {
	if s == (SSH{}) {
		return "none"
	}
	return mark
}

// validate calls check for each field that is not usable. It shows no value.
func (s SSH) validate(env []string, check func(ok bool, field string, value any, allowed string)) {
	if s == (SSH{}) {
		return
	}
	control := func(text, but string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(but, r) })
	}
	if s.PrivateKey != "" {
		const allowed = "the text of a private key, and not the name of its file"
		check(strings.HasPrefix(strings.TrimSpace(s.PrivateKey), "-----BEGIN "), "SSH.PrivateKey", "not a key", allowed)
		check(!control(s.PrivateKey, "\n"), "SSH.PrivateKey", "not printable", "without control characters but line breaks (LF)")
	}
	check(s.Passphrase == "" || s.PrivateKey != "", "SSH.Passphrase", "set", "empty without a PrivateKey")
	check(!control(s.Passphrase, ""), "SSH.Passphrase", "not printable", "without control characters")
	check(!control(s.KnownHosts, "\n\t"), "SSH.KnownHosts", "not printable", "without control characters but tabs and line breaks (LF)")
	for _, name := range []string{"GIT_SSH_COMMAND", "GIT_SSH"} {
		set := slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		check(!set, "Env", "with "+name, "without it, or SSH empty")
	}
}

// secrets returns the texts that must not be shown.
func (s SSH) secrets() []string {
	var texts []string
	if s.Passphrase != "" {
		texts = append(texts, s.Passphrase)
	}
	for line := range strings.Lines(s.PrivateKey) {
		// The last line may be a few letters, which stand in many words.
		if line = strings.TrimSpace(line); len(line) >= 16 && !strings.HasPrefix(line, "-----") {
			texts = append(texts, line)
		}
	}
	return texts
}

// An identity is a directory with what one ssh needs of a [Config], and the
// variables by which git and ssh find it. The zero identity is none.
type identity struct {
	dir string
	env []string
}

// identity writes the files for one run of cmd. Whoever calls it removes them.
func (c *Client) identity(cmd command) (identity, error) {
	s := c.config.SSH
	if s == (SSH{}) || cmd.remote == nil || cmd.remote.scheme != "ssh" {
		return identity{}, nil
	}
	temporary, err := filepath.Abs(os.TempDir()) // a relative one would be looked for in the repository
	if err != nil {
		return identity{}, local(cmd.op, err)
	}
	var id identity
	if id.dir, err = os.MkdirTemp(temporary, "tidegate-ssh-"); err != nil {
		return identity{}, local(cmd.op, err)
	}
	if err := id.fill(s, c.sshTimes()); err != nil {
		id.remove()
		return identity{}, local(cmd.op, err)
	}
	return id, nil
}

// Where the askpass script finds the passphrase.
const passphraseVariable = "TIDEGATE_GIT_SSH_PASSPHRASE" //nolint:gosec // the name of a variable

func (id *identity) fill(s SSH, times string) error {
	if strings.Contains(id.dir, "${") || checkText(id.dir) != nil {
		return fmt.Errorf("the directory for temporary files, %q, has characters that ssh does not take in a path", id.dir)
	}
	// A shared connection would have the key of somebody else, or outlive this one.
	command := "ssh -o ControlMaster=no -o ControlPath=none"
	batch := " -o BatchMode=yes"
	if s.PrivateKey != "" {
		key, err := id.write("key", strings.TrimSpace(s.PrivateKey)+"\n", 0o600)
		if err != nil {
			return err
		}
		// What agents and passwords there are is not what was given.
		command += " -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey -o " + sshPath("IdentityFile", key)
		if s.Passphrase != "" {
			askpass, err := id.write("askpass", askpassScript(key), 0o700)
			if err != nil {
				return err
			}
			batch = " -o NumberOfPasswordPrompts=1" // in a batch ssh does not ask
			id.env = append(id.env, "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force", passphraseVariable+"="+s.Passphrase)
		}
	}
	if s.KnownHosts != "" {
		hosts, err := id.write("known_hosts", strings.TrimSpace(s.KnownHosts)+"\n", 0o600)
		if err != nil {
			return err
		}
		command += " -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=" + os.DevNull + " -o " + sshPath("UserKnownHostsFile", hosts)
	}
	id.env = append(id.env, "GIT_SSH_COMMAND="+command+batch+times, "GIT_SSH_VARIANT=ssh")
	return nil
}

func (id *identity) write(name, text string, mode os.FileMode) (string, error) {
	path := filepath.Join(id.dir, name)
	return path, os.WriteFile(path, []byte(text), mode)
}

// remove removes the files. The directory holds nothing but what was written to
// it, so an error leaves nothing to be done.
func (id *identity) remove() {
	if id.dir != "" {
		_ = os.RemoveAll(id.dir)
	}
}

// askpassScript answers with the passphrase if ssh asks for that of the key, and
// with no to all else: ssh may ask too whether to trust a host, or for the
// passphrase of a key in the user's configuration.
func askpassScript(key string) string {
	const shown = 100 // bytes of the path are in the question
	return `#!/bin/sh
case "$1" in
` + quoteShell("Enter passphrase for key '"+key[:min(len(key), shown)]) + `*) printf '%s\n' "$` + passphraseVariable + `" ;;
*) exit 1 ;;
esac
`
}

// sshPath returns an option of ssh whose value is a path, for a shell.
func sshPath(name, path string) string {
	return quoteShell(name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(path) + `"`)
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// hasSSH reports whether the user has chosen how git runs ssh.
func (c *Client) hasSSH(ctx context.Context, dir string, env []string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, "GIT_SSH_COMMAND=") || strings.HasPrefix(v, "GIT_SSH=") {
			return true
		}
	}
	out, err := c.run(ctx, command{dir: dir, args: []string{"config", "--get", "core.sshCommand"}})
	return err == nil && len(bytes.TrimSpace(out)) > 0
}

// ssh returns an ssh that asks nothing and notices a silent peer. How it checks
// host keys is left to the user's own configuration.
func (c *Client) ssh() string { return "ssh -o BatchMode=yes" + c.sshTimes() }

func (c *Client) sshTimes() string {
	s := c.stallSeconds()
	if s <= 0 {
		return ""
	}
	return fmt.Sprintf(" -o ConnectTimeout=%d -o ServerAliveInterval=%d -o ServerAliveCountMax=3", s, max(1, s/3))
}
