package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var knownSchemes = []string{"https", "ssh", "http", "git", "file"}

// A remote is where a command goes to.
type remote struct {
	arg    string // what git gets as the repository: a URL, a path or a name
	url    string // the URL or path, without credentials
	scheme string
	base   string // scheme and host, for http and https
	key    string // host and port; empty for a local path
	login  Credentials
	lent   bool   // the login is the client's, not of the URL
	stored string // the URL in the configuration of the repository, when it holds credentials
}

func (r remote) local() bool { return r.scheme == "file" }

// with returns r with another login.
func (r remote) with(login Credentials) *remote {
	r.login = login
	return &r
}

// remote reads a URL given by the user.
func (c *Client) remote(op, raw string) (remote, error) {
	r, err := parseRemote(raw, c.config.Schemes)
	if err != nil {
		return remote{}, usage(op, err)
	}
	own := r.login
	r.login = own.over(c.login())
	r.lent = own == Credentials{}
	return r, nil
}

// standardRemote is the remote that is meant when none is named.
const standardRemote = "origin"

// remoteOf finds the remote called name in the repository at dir; a name that
// the repository does not know is a URL.
func (c *Client) remoteOf(ctx context.Context, op, dir, name string, push bool) (remote, error) {
	implied := name == ""
	if implied {
		name = standardRemote
	}
	if err := checkText(name); err != nil {
		return remote{}, usage(op, fmt.Errorf("the remote %w", err))
	}
	if strings.Contains(name, ":") { // a URL, which may hold a password: git gets it otherwise
		return c.remote(op, name)
	}
	keys := []string{"url"}
	if push {
		keys = []string{"pushurl", "url"}
	}
	for _, key := range keys {
		out, err := c.run(ctx, command{op: op, dir: dir, args: []string{"config", "-z", "--get-all", "remote." + name + "." + key}})
		var e *Error
		if errors.As(err, &e) && e.ExitCode == 1 {
			continue // not set
		} else if err != nil {
			return remote{}, err
		}
		urls := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if push && len(urls) > 1 {
			return remote{}, usage(op, fmt.Errorf("the remote %q has %d URLs to push to: push to each of them by its URL", name, len(urls)))
		}
		r, err := c.remote(op, urls[0])
		if err != nil {
			return remote{}, err
		}
		r.arg = name
		if r.local() && !strings.Contains(urls[0], "://") && !filepath.IsAbs(urls[0]) {
			r.url = filepath.Join(dir, urls[0])
		}
		if r.url != urls[0] && !r.local() {
			r.stored = urls[0]
		}
		return r, nil
	}
	if implied {
		// Git config does not say so when there is no repository, or one that is damaged.
		if err := c.do(ctx, command{op: op, dir: dir, args: []string{"rev-parse", "--git-dir"}}); err != nil {
			return remote{}, err
		}
		return remote{}, usage(op, fmt.Errorf("the repository has no remote %q: name one, or a URL", standardRemote))
	}
	return c.remote(op, name)
}

// helperAddress matches what makes git run a program git-remote-NAME, by git's
// own rule.
var helperAddress = regexp.MustCompile(`^[A-Za-z0-9+.-]*::`)

// parseRemote reads raw as git does, and refuses what git could take for
// something else than a repository.
func parseRemote(raw string, allowed []string) (remote, error) {
	if err := checkText(raw); err != nil {
		return remote{}, fmt.Errorf("the URL %w", err)
	}
	if helperAddress.MatchString(raw) {
		return remote{}, fmt.Errorf("the URL %q names a program to run before its \"::\", which is not allowed", redact(raw))
	}
	var r remote
	var err error
	switch {
	case strings.Contains(raw, "://"):
		r, err = parseURL(raw)
	case isSCP(raw):
		r, err = parseSCP(raw)
	default:
		r.scheme = "file"
		r.url, err = filepath.Abs(raw)
	}
	if err != nil {
		return remote{}, fmt.Errorf("the URL %q %w", redact(raw), err)
	}
	if !slices.Contains(allowed, r.scheme) {
		return remote{}, fmt.Errorf("the URL %q has the scheme %q: allowed are %s (see Config.Schemes)", redact(raw), r.scheme, strings.Join(allowed, ", "))
	}
	r.arg = r.url
	return r, nil
}

var defaultPorts = map[string]string{"https": "443", "http": "80", "ssh": "22", "git": "9418"}

func parseURL(raw string) (remote, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return remote{}, errors.New("is malformed") // err may quote a password
	}
	r := remote{scheme: strings.ToLower(u.Scheme)}
	u.Scheme = r.scheme
	if r.scheme == "file" {
		u.User = nil
		r.url = u.String()
		return r, nil
	}
	if u.Hostname() == "" {
		return remote{}, errors.New("has no host")
	}
	port := u.Port()
	if port == "" {
		port = defaultPorts[r.scheme]
	}
	r.key = net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	switch r.scheme {
	case "ssh":
		if _, ok := u.User.Password(); ok {
			return remote{}, errors.New("has a password, which ssh does not take: use a key")
		}
		if err := checkSSH(u.User.Username(), u.Hostname(), u.Path); err != nil {
			return remote{}, err
		}
	default:
		if strings.HasPrefix(u.Hostname(), "-") {
			return remote{}, errors.New("has a host that begins with \"-\"")
		}
		r.login.Username = u.User.Username()
		r.login.Password, _ = u.User.Password()
		if !r.login.printable() {
			return remote{}, errors.New("has a control character in its user name or password")
		}
		if u.RawQuery != "" || u.Fragment != "" {
			// Git hands the URL to its helpers, where all users of the machine see it.
			return remote{}, errors.New("has a query or a fragment, where secrets hide: give credentials as Credentials")
		}
		u.User = nil
		r.base = r.scheme + "://" + u.Host
	}
	r.url = u.String()
	return r, nil
}

// isSCP reports whether raw is host:path, as git decides it: a colon before the
// first slash.
func isSCP(raw string) bool {
	before, _, ok := strings.Cut(raw, ":")
	return ok && !strings.Contains(before, "/") && filepath.VolumeName(raw) == ""
}

// scp matches user@host:path; the host may be in brackets, with a port.
var scp = regexp.MustCompile(`^(?:([^@:/]*)@)?(\[[^]/]*\]|[^][@:/]*):(.*)$`)

func parseSCP(raw string) (remote, error) {
	m := scp.FindStringSubmatch(raw)
	if m == nil {
		return remote{}, errors.New("is malformed: it must be user@host:path")
	}
	user, host, path := m[1], m[2], m[3]
	port := defaultPorts["ssh"]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
		if h, p, err := net.SplitHostPort(host); err == nil {
			host, port = h, p
		}
	}
	if login, _, ok := strings.Cut(path, "@"); ok && user == "" && !strings.Contains(login, "/") {
		return remote{}, errors.New("has a password, which ssh does not take: use a key")
	}
	if err := checkSSH(user, host, path); err != nil {
		return remote{}, err
	}
	return remote{url: raw, scheme: "ssh", key: net.JoinHostPort(strings.ToLower(host), port)}, nil
}

// checkSSH refuses what ssh, or a command in its configuration, could take for
// something else than a user, a host and a path.
func checkSSH(user, host, path string) error {
	switch {
	case host == "":
		return errors.New("has no host")
	case path == "":
		return errors.New("has no path")
	case strings.HasPrefix(user, "-"), strings.HasPrefix(host, "-"), strings.HasPrefix(path, "-"):
		return errors.New("has a part that begins with \"-\"")
	case strings.ContainsAny(user+host, " '\"`$\\;&<>|(){}*?!~#"):
		return errors.New("has a character in its user or host that is not allowed there")
	}
	return nil
}

// checkText refuses what could be an option or confuse a protocol of lines. It
// does not show the text, which may hold a password.
func checkText(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case strings.HasPrefix(s, "-"):
		return errors.New("begins with \"-\": it could be taken for an option")
	case strings.IndexFunc(s, unicode.IsControl) >= 0 || !utf8.ValidString(s):
		return errors.New("has a control character or is not UTF-8")
	}
	return nil
}

// badRef matches what no name of a ref has, after git check-ref-format.
var badRef = regexp.MustCompile(`[ ~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.$|\.lock(?:/|$)|(?:^|/)\.`)
