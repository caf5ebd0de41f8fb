package gogit

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// A remote is where a call goes to.
type remote struct {
	url    string // without credentials
	scheme string
	key    string // host and port; empty for a local path
	auth   transport.AuthMethod
}

func (r remote) local() bool { return r.scheme == "file" }
func (r remote) http() bool  { return r.scheme == "http" || r.scheme == "https" }

var defaultPorts = map[string]string{"https": "443", "http": "80", "ssh": "22", "git": "9418"}

// remoteAt reads a URL as go-git does. auth, if any, goes before the credentials
// of the URL.
func remoteAt(op, raw string, auth transport.AuthMethod) (remote, error) {
	r, err := parseRemote(raw)
	if err != nil {
		return remote{}, usage(op, fmt.Errorf("the URL %w", err)) // not the URL itself, which may hold a password
	}
	if auth != nil {
		r.auth = auth
	}
	return r, nil
}

// remoteOf finds a remote of a repository, by its URL if that is given.
func remoteOf(op string, repo *git.Repository, name, raw string, auth transport.AuthMethod, push bool) (remote, error) {
	if repo == nil {
		return remote{}, usage(op, errors.New("the repository is nil"))
	}
	if raw == "" {
		if name == "" {
			name = git.DefaultRemoteName
		}
		found, err := repo.Remote(name)
		if err != nil {
			return remote{}, usage(op, fmt.Errorf("the remote %q: %w", name, err))
		}
		urls := found.Config().URLs
		if len(urls) == 0 {
			return remote{}, usage(op, fmt.Errorf("the remote %q: %w", name, git.ErrEmptyUrls))
		}
		raw = urls[0]
		if push {
			raw = urls[len(urls)-1] // go-git puts those to push to last
		}
	}
	return remoteAt(op, raw, auth)
}

// parseRemote leaves the reading to go-git, so that the key is the host which is
// called.
func parseRemote(raw string) (remote, error) {
	if raw == "" {
		return remote{}, errors.New("is empty")
	}
	if strings.IndexFunc(raw, unicode.IsControl) >= 0 || !utf8.ValidString(raw) {
		return remote{}, errors.New("has a control character or is not UTF-8")
	}
	ep, err := transport.NewEndpoint(raw)
	if err != nil {
		return remote{}, errors.New("is malformed") // err may quote a password
	}
	r := remote{url: raw, scheme: ep.Protocol}
	switch {
	case r.http():
		return parseHTTP(raw)
	case ep.Password != "" || strings.Contains(ep.User, ":"):
		return remote{}, errors.New("has a password, which only http and https take: give it as Auth")
	case r.local():
		return r, nil
	}
	host, port := strings.Trim(ep.Host, "[]"), strconv.Itoa(ep.Port)
	if host == "" {
		return remote{}, errors.New("has no host")
	}
	if ep.Port == 0 {
		port = defaultPorts[r.scheme]
	}
	r.key = net.JoinHostPort(strings.ToLower(host), port)
	return r, nil
}

func parseHTTP(raw string) (remote, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return remote{}, errors.New("is malformed")
	}
	if u.Hostname() == "" {
		return remote{}, errors.New("has no host")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return remote{}, errors.New("has a query or a fragment, where secrets hide: give credentials as Auth")
	}
	r := remote{scheme: u.Scheme, key: keyOf(u)}
	if user := u.User; user != nil {
		a := &urlAuth{scheme: r.scheme, key: r.key}
		a.Username = user.Username()
		a.Password, _ = user.Password()
		r.auth = a
	}
	u.User = nil
	r.url = u.String()
	return r, nil
}

// urlAuth are the credentials of a URL. They are for its host only: go-git gives
// the Auth of a call to submodules too, wherever these are.
type urlAuth struct {
	githttp.BasicAuth

	scheme, key string
}

// SetAuth implements [githttp.AuthMethod].
func (a *urlAuth) SetAuth(r *http.Request) {
	same := r.URL.Scheme == a.scheme && keyOf(r.URL) == a.key
	// go-git itself lets them follow a redirect from http to https.
	host, secure := strings.CutSuffix(a.key, ":80")
	if same || secure && a.scheme == "http" && r.URL.Scheme == "https" && keyOf(r.URL) == host+":443" {
		a.BasicAuth.SetAuth(r)
	}
}

// keyOf returns the host and port of u.
func keyOf(u *url.URL) string {
	port := defaultPorts[strings.ToLower(u.Scheme)]
	if number, err := strconv.Atoi(u.Port()); err == nil && number != 0 { // 0 is none to go-git
		port = strconv.Itoa(number) // without leading zeros
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func (r remote) secrets() []string { return secretsOf(r.auth) }
