package gogit

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// The credentials of a URL do not go to submodules of other hosts.
func TestG10LoginsStayWithTheirHost(t *testing.T) {
	seen := make(chan string, 10)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
		http.NotFound(w, r)
	}))
	defer stranger.Close()
	defer http.DefaultClient.CloseIdleConnections()
	dir := gittest.NewRepository(t)
	if err := os.WriteFile(filepath.Join(dir, ".gitmodules"), []byte("[submodule \"x\"]\n\tpath = x\n\turl = "+stranger.URL+"/x.git\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gittest.Git(t, dir, "add", ".gitmodules")
	gittest.Git(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+gittest.Git(t, dir, "rev-parse", "HEAD")+",x")
	gittest.Git(t, dir, "commit", "-q", "-m", "submodule")
	s := gittest.NewServer(t, dir)
	s.Ask(gittest.Login{Username: "ann", Password: canary})
	url := strings.Replace(s.Repo, "http://", "http://ann:"+canary+"@", 1)
	parent := t.TempDir()
	_, err := New(nil, Config{}).Clone(bounded(t), filepath.Join(parent, "app"), false, &git.CloneOptions{URL: url, RecurseSubmodules: 1})
	if KindOf(err) != KindNotFound {
		t.Errorf("got %v", err)
	}
	if got := <-seen; got != "" {
		t.Errorf("a stranger was sent %q", got)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestLoginOfAURL(t *testing.T) {
	a := &urlAuth{BasicAuth: githttp.BasicAuth{Username: "ann", Password: canary}, scheme: "http", key: "example.com:80"}
	for url, want := range map[string]bool{
		"http://example.com/a":      true,
		"http://EXAMPLE.com:80/a":   true,
		"https://example.com/a":     true, // a redirect to TLS
		"https://example.com:8443/": false,
		"http://example.com:443/":   false,
		"http://sub.example.com/a":  false,
	} {
		r := httptest.NewRequest(http.MethodGet, url, nil)
		if a.SetAuth(r); (r.Header.Get("Authorization") != "") != want {
			t.Errorf("%s: got %v, want %v", url, !want, want)
		}
	}
}

// The password of a proxy is not shown, even if its URL cannot be read.
func TestG10ProxySecrets(t *testing.T) {
	s, repo, dir := cloned(t)
	gittest.Commit(t, dir, "second")
	c := New(nil, Config{})
	for _, url := range []string{
		"http://ann:" + canary + "@\x01", "http://ann:" + canary + "/x@127.0.0.1:1", "http://ann:" + canary + "@127.0.0.1:1",
		"socks5://ann:" + canary + "@127.0.0.1:1", "odd://ann:" + canary + "@127.0.0.1:1",
	} {
		proxy := transport.ProxyOptions{URL: url}
		_, list := c.LsRemote(bounded(t), s.Repo, &git.ListOptions{ProxyOptions: proxy})
		_, fetch := c.Fetch(bounded(t), repo, &git.FetchOptions{ProxyOptions: proxy})
		_, push := c.Push(bounded(t), repo, &git.PushOptions{ProxyOptions: proxy})
		_, clone := c.Clone(bounded(t), filepath.Join(t.TempDir(), "app"), true, &git.CloneOptions{URL: s.Repo, ProxyOptions: proxy})
		_, ssh := c.LsRemote(bounded(t), "ssh://git@127.0.0.1:1/a", &git.ListOptions{ProxyOptions: proxy, Auth: newSSH(t).auth("x")})
		for _, err := range []error{list, fetch, push, clone, ssh} {
			if err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("%q: got %v", url, err)
			}
		}
	}
}

// Nor is it when the proxy repeats it.
func TestG10ProxyEchoes(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Proxy-Authorization")
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(header, "Basic "))
		http.Error(w, fmt.Sprintf("%s %s", header, decoded), http.StatusForbidden)
	}))
	defer proxy.Close()
	header := base64.StdEncoding.EncodeToString([]byte("ann:" + canary))
	for _, o := range []transport.ProxyOptions{
		{URL: strings.Replace(proxy.URL, "://", "://ann:"+canary+"@", 1)},
		{URL: proxy.URL, Username: "ann", Password: canary},
	} {
		_, err := New(nil, Config{}).LsRemote(bounded(t), "http://example.com/a", &git.ListOptions{ProxyOptions: o})
		if KindOf(err) != KindAuth || strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), header) {
			t.Errorf("got %v", err)
		}
	}
}

// A secret is hidden in the forms in which it was sent.
func TestG10FormsOfSecrets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		http.Error(w, strings.Join([]string{user, password, r.Header.Get("Authorization")}, " "), http.StatusForbidden)
	}))
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, login := range []string{"ann:" + canary, canary + ":x-oauth-basic", canary, ":" + canary} {
		_, err := New(nil, Config{}).LsRemote(bounded(t), strings.Replace(s.URL, "://", "://"+login+"@", 1), nil)
		if KindOf(err) != KindAuth {
			t.Errorf("got %v", err)
		}
		user, password, _ := strings.Cut(login, ":")
		header := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		if text := fmt.Sprint(err); strings.Contains(text, canary) || strings.Contains(text, header) {
			t.Errorf("the secret is shown: %s", text)
		}
	}
}
