package git

import (
	"strings"
	"testing"
)

// What git writes for programs is read without a surprise, whatever it is.
func FuzzPorcelain(f *testing.F) {
	f.Add("To https://example.com/a\n=\taaaa:refs/heads/x\t[up to date]\nDone\n")
	f.Add("!\tHEAD:refs/heads/k\t[remote rejected] (pre-receive hook declined)\n")
	f.Add("aaaa\tHEAD\nbbbb\trefs/heads/main\n")
	f.Add("git version 2.39.5 (Apple Git-154)")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		pushed := parsePush(text)
		if len(pushed.Refs) > lines {
			t.Errorf("%d refs in %d lines", len(pushed.Refs), lines)
		}
		for _, r := range pushed.Refs {
			if r.Status == "" || strings.ContainsAny(r.Name+r.ID, "\t\n") {
				t.Errorf("got %+v", r)
			}
		}
		refs := parseRefs(text, "\t")
		if len(refs) > lines {
			t.Errorf("%d refs in %d lines", len(refs), lines)
		}
		for _, r := range refs {
			if strings.Contains(r.Name, "\n") || strings.ContainsAny(r.ID, "\t\n") {
				t.Errorf("got %+v", r)
			}
		}
		if major, minor, ok := parseVersion(text); ok && (major < 0 || minor < 0) {
			t.Errorf("version %d.%d", major, minor)
		}
	})
}

// A name that is taken can be no option, no pattern and no range to git.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"", "HEAD", "main", "refs/tags/v1", "-x", "a..b", "a*", "a@{1}", "refs/heads/-x", strings.Repeat("a", 40), "a b", "a/.b", "x.lock"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		got, err := parseTarget(ref)
		if err != nil {
			return
		}
		if (got.id == "") == (len(got.names) == 0) {
			t.Errorf("%q is both or neither: %+v", ref, got)
		}
		for _, name := range append(got.names, got.id) {
			if strings.HasPrefix(name, "-") || strings.ContainsAny(name, " ~^:?*[\\\x00\n\t") || strings.Contains(name, "..") {
				t.Errorf("%q becomes %q", ref, name)
			}
		}
	})
}
