package git

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestG15Key(t *testing.T) {
	for _, row := range []struct{ raw, url, key string }{
		{"https://Example.com/a.git", "https://Example.com/a.git", "example.com:443"},
		{"HTTPS://example.com:443/a%20b", "https://example.com:443/a%20b", "example.com:443"},
		{"https://ann:x%40y@example.com:8443/a", "https://example.com:8443/a", "example.com:8443"},
		{"http://example.com/a", "http://example.com/a", "example.com:80"},
		{"https://[::1]/a", "https://[::1]/a", "[::1]:443"},
		{"https://u:a::b@example.com/a::b", "https://example.com/a::b", "example.com:443"},
		{"git://example.com/a", "git://example.com/a", "example.com:9418"},
		{"ssh://git@example.com/~ann/a", "ssh://git@example.com/~ann/a", "example.com:22"},
		{"ssh://example.com:2222/a", "ssh://example.com:2222/a", "example.com:2222"},
		{"git@example.com:team/a.git", "git@example.com:team/a.git", "example.com:22"},
		{"alias:a", "alias:a", "alias:22"},
		{"git@[::1]:a", "git@[::1]:a", "[::1]:22"},
		{"git@[example.com:2222]:a", "git@[example.com:2222]:a", "example.com:2222"},
		{"git@example.com:a@b", "git@example.com:a@b", "example.com:22"},
		{"file:///srv/a", "file:///srv/a", ""},
		{"/srv/a:b", "/srv/a:b", ""},
		{"./a:b", "", ""},
		{"a", "", ""},
	} {
		r, err := parseRemote(row.raw, knownSchemes)
		if err != nil {
			t.Errorf("%s: %v", row.raw, err)
			continue
		}
		if row.url == "" {
			row.url, _ = filepath.Abs(row.raw)
		}
		if runtime.GOOS != "windows" && r.url != row.url || r.key != row.key || r.local() != (row.key == "") {
			t.Errorf("%s: got %q, %q, want %q, %q", row.raw, r.url, r.key, row.url, row.key)
		}
	}
}

func FuzzRemote(f *testing.F) {
	for _, s := range []string{"https://ann:x@example.com/a", "git@example.com:a", "ext::sh", "-x", "[::1]:a", "ssh://-x/a", "a:b@c:d", "https://a?x#y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := parseRemote(raw, []string{"https", "ssh", "http", "git"})
		if err != nil {
			return
		}
		// What is accepted is no option, no helper, names a host, and stays what it is.
		if strings.HasPrefix(r.arg, "-") || helperAddress.MatchString(r.arg) || r.key == "" || strings.HasPrefix(r.key, "-") {
			t.Errorf("%q gives %+v", raw, r)
		}
		again, err := parseRemote(r.arg, []string{r.scheme})
		if err != nil || again.arg != r.arg || again.key != r.key || again.login != (Credentials{}) {
			t.Errorf("%q gives %q, and that %q, %v", raw, r.arg, again.arg, err)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	bad := Config{
		Path: "-git", Env: []string{"TOKEN" + canary}, Settings: []string{"x=" + canary}, Schemes: []string{"ext"},
		Credentials: Credentials{Password: canary + "\x00"}, Grace: -time.Second,
	}
	client, err := New(nil, bad)
	if client != nil || err == nil {
		t.Fatalf("got %v, %v", client, err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		`git: Config.Path is "-git": it must be the name or path of an executable`,
		`git: Config.Env is wrong at index 0: it must be KEY=value`,
		`git: Config.Settings is wrong at index 0: it must be section.name=value`,
		`git: Config.Schemes is "ext": it must be of https, ssh, http, git, file`,
		`git: Config.Credentials is not printable: it must be without control characters`,
		`git: Config.Grace is -1s: it must be a positive duration, or 0 for the default`,
	} {
		if i >= len(lines) || lines[i] != want {
			t.Errorf("line %d of %q, want %q", i, lines, want)
		}
	}
}
