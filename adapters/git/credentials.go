package git

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// Credentials are what git presents to a server that asks for them by http or
// https. They are given to the host of the remote alone, not to one that it
// redirects to. They do not show themselves when they are printed or logged.
//
// With a Username alone git's own credential helpers find the password.
type Credentials struct {
	// Username is the name of the user. Empty means "x-access-token", which the
	// hosts that want a token accept.
	Username string
	// Password is a password or a token.
	Password string
}

const defaultUsername = "x-access-token"

// Format implements [fmt.Formatter].
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.shown())) }

// MarshalText implements [encoding.TextMarshaler].
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.shown()), nil }

func (c Credentials) shown() string {
	if c == (Credentials{}) {
		return "none"
	}
	return mark
}

// over returns c with what it lacks taken from other, unless that is a different
// user's.
func (c Credentials) over(other Credentials) Credentials {
	switch {
	case c == Credentials{}:
		return other
	case c.Password == "" && (other.Username == "" || other.Username == c.Username):
		c.Password = other.Password
	}
	return c
}

// printable reports whether the credentials fit git's protocol, which is made of
// lines.
func (c Credentials) printable() bool {
	return strings.IndexFunc(c.Username+c.Password, unicode.IsControl) < 0
}

// secrets returns the texts that must not be shown.
func (c Credentials) secrets() []string {
	var s []string
	if c.Password != "" {
		basic := c.user() + ":" + c.Password
		s = append(s, base64.StdEncoding.EncodeToString([]byte(basic)),
			url.UserPassword("", c.Password).String()[1:], url.QueryEscape(c.Password), c.Password)
	}
	// A long user name without a password, or beside an empty one, is a token.
	if len(c.Username) >= 16 {
		s = append(s, url.User(c.Username).String(), c.Username)
	}
	return s
}

func (c Credentials) user() string {
	if c.Username == "" {
		return defaultUsername
	}
	return c.Username
}

// Where git's children find the credentials.
const (
	usernameVariable = "TIDEGATE_GIT_USERNAME"
	passwordVariable = "TIDEGATE_GIT_PASSWORD" //nolint:gosec // the name of a variable
)

// helper is a credential helper that git runs with sh. It is better than a
// header among the settings, which git would send to whatever host it is
// redirected to. Built into the shell, printf shows nothing in the process list.
const helper = `!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$` + usernameVariable + `" "$` + passwordVariable + `"; }; f`

// arguments returns the options of git that hand over c to the server at base, a
// scheme and a host, and the variables that they refer to.
func (c Credentials) arguments(base string) (args, env []string) {
	switch {
	case c.Password != "":
		args = []string{"-c", "credential.helper=", "-c", "credential." + base + ".helper=" + helper}
		env = []string{usernameVariable + "=" + c.user(), passwordVariable + "=" + c.Password}
	case c.Username != "":
		args = []string{"--config-env=credential." + base + ".username=" + usernameVariable}
		env = []string{usernameVariable + "=" + c.Username}
	}
	return args, env
}
