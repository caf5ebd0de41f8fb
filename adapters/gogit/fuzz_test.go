package gogit

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

func TestG15Key(t *testing.T) {
	for _, row := range []struct{ raw, url, key string }{
		{"https://Example.com/a.git", "https://Example.com/a.git", "example.com:443"},
		{"HTTPS://example.com:0443/a%20b", "https://example.com:0443/a%20b", "example.com:443"},
		{"https://ann:x%40y@example.com:8443/a", "https://example.com:8443/a", "example.com:8443"},
		{"http://example.com/a", "http://example.com/a", "example.com:80"},
		{"https://[::1]/a", "https://[::1]/a", "[::1]:443"},
		{"http://example.com:0/a", "http://example.com:0/a", "example.com:80"},
		{"git://example.com/a", "git://example.com/a", "example.com:9418"},
		{"ssh://git@example.com/~ann/a", "ssh://git@example.com/~ann/a", "example.com:22"},
		{"ssh://example.com:2222/a", "ssh://example.com:2222/a", "example.com:2222"},
		{"git@example.com:team/a.git", "git@example.com:team/a.git", "example.com:22"},
		{"git@example.com:2222:a", "git@example.com:2222:a", "example.com:2222"},
		{"alias:a", "alias:a", "alias:22"},
		{"git@example.com:a@b", "git@example.com:a@b", "example.com:22"},
		{"file:///srv/a", "file:///srv/a", ""},
		{"/srv/a:b", "/srv/a:b", ""},
		{"./a:b", "./a:b", ""},
		{"a", "a", ""},
	} {
		r, err := parseRemote(row.raw)
		if err != nil || r.url != row.url || r.key != row.key || r.local() != (row.key == "") {
			t.Errorf("%s: got %q, %q, %v, want %q, %q", row.raw, r.url, r.key, err, row.key, row.url)
		}
	}
	for _, raw := range []string{
		"", "a\x00", "https://", "https://example.com/a?token=x", "https://example.com/a#x", "ssh:///a", "git://:1/a",
		"ssh://ann:x@example.com/a", "file://ann:x@example.com/a", "ann:x@example.com:a", "ann:x/y@example.com:a",
	} {
		if r, err := parseRemote(raw); err == nil {
			t.Errorf("%q was read as %+v", raw, r)
		}
	}
}

// Whatever is accepted, the key is the host that go-git calls, nothing of the
// credentials is in the URL, and no error shows any of it.
func FuzzRemote(f *testing.F) {
	for _, s := range []string{
		"https://ann:x@example.com/a", "http://t@h:0443/", "git@example.com:a", "ext::sh", "[::1]:a", "ssh://git@[::1]:2/a",
		"a:b@c:d", "a:b/c@d:e", "a@b@c:d", "host:1:x", "file://h/a", "/a://b", "x@y:p://q", "HTTP://a:@b", "c:\\a", "git://h:99999/a", "http://0:0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := parseRemote(raw)
		if err != nil {
			if len(raw) > 12 && strings.Contains(err.Error(), raw) {
				t.Errorf("the error shows %q: %v", raw, err)
			}
			return
		}
		ep, err := transport.NewEndpoint(r.url)
		if err != nil {
			t.Fatalf("%q gives %q, which go-git does not take: %v", raw, r.url, err)
		}
		if ep.Protocol != r.scheme || ep.Password != "" || r.http() && ep.User != "" {
			t.Errorf("%q gives %q, which go-git takes for %+v", raw, r.url, ep)
		}
		if r.local() {
			if r.key != "" {
				t.Errorf("%q is local and has the key %q", raw, r.key)
			}
			return
		}
		port := strconv.Itoa(ep.Port)
		if ep.Port == 0 && defaultPorts[ep.Protocol] != "" {
			port = defaultPorts[ep.Protocol]
		}
		if ep.Port == 0 && defaultPorts[ep.Protocol] == "" {
			return // go-git knows no such scheme
		}
		if want := net.JoinHostPort(strings.ToLower(strings.Trim(ep.Host, "[]")), port); r.key != want {
			t.Errorf("%q has the key %q, but go-git calls %q", raw, r.key, want)
		}
		again, err := parseRemote(r.url)
		if err != nil || again.url != r.url || again.key != r.key || again.auth != nil {
			t.Errorf("%q gives %q, and that %+v, %v", raw, r.url, again, err)
		}
	})
}

// No secret that the call was given is shown, whatever a server puts around it,
// nor the login of any URL.
func FuzzClean(f *testing.F) {
	f.Add("authorization failed: ", " is not welcome", canary)
	f.Add("\x1b[31m\xff", "\x00\u200b", "a\x00b c%d")
	f.Add(strings.Repeat("é", 2047), "@x", "p@ss/w:rd#?")
	f.Add("canary", "-5", "-")
	f.Fuzz(func(t *testing.T, before, after, secret string) {
		auth := &githttp.BasicAuth{Username: "ann", Password: secret}
		for _, shown := range append(forms(secretsOf(auth)), secret) {
			if len(shown) < 4 || strings.Contains(before+after+"://***@ ...", printable(shown)) {
				continue
			}
			said := errors.New(before + shown + after)
			err := clean(said, secretsOf(auth))
			text := err.Error()
			if !errors.Is(err, said) || len(text) > maxText+4 || strings.ContainsAny(text, "\x00\x1b\r") {
				t.Fatalf("%q was made %q", said, text)
			}
			if printable(shown) != "" && strings.Contains(text, printable(shown)) && !strings.Contains(printable(before+mark+after), printable(shown)) {
				t.Errorf("the secret %q is shown: %q", shown, text)
			}
		}
		if text := clean(errors.New(before+" https://ann:"+canary+"@example.com/ "), nil).Error(); strings.Contains(text, canary) && !strings.Contains(before, canary) {
			t.Errorf("the login is shown: %q", text)
		}
	})
}

// Every text has a kind with a rule, and what will not change is not taken for
// what may pass when the connection ends too.
func FuzzKindOf(f *testing.F) {
	for _, m := range messages {
		f.Add(m.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kind := KindOf(errors.New(text))
		r, ok := rules[kind]
		if !ok {
			t.Fatalf("%q has the kind %q", text, kind)
		}
		if more := KindOf(errors.New(text + ": unexpected EOF")); kind != KindUnknown && !r.retry && more != kind {
			t.Errorf("%q is %s, and %s at the end of a connection", text, kind, more)
		}
		if v := Classify(unexpected(errors.New(text))); v.Retry != r.retry {
			t.Errorf("%q: got %+v, want %+v", text, v, r)
		}
	})
}
