//go:build unix

package git

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRedact(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"fatal: Authentication failed for 'https://ann:pw@example.com/a/'", "fatal: Authentication failed for 'https://***@example.com/a/'"},
		{"fatal: unable to access 'https://ann:p@w/x@example.com/a/': The", "fatal: unable to access 'https://***@example.com/a/': The"},
		{"https://pw@example.com", "https://***@example.com"},
		{"see https://example.com/a?token=x&b=c#d.", "see https://example.com/a?***."},
		{"'http://example.com/a?sig=x': no", "'http://example.com/a?***': no"},
		{"ann:pw@example.com:a", "***@example.com:a"},
		{"git@example.com: Permission denied (publickey).", "git@example.com: Permission denied (publickey)."},
		{"Authorization: Basic YW5uOnB3", "Authorization: ***"},
		{"> authorization: bearer abc", "> authorization: ***"},
		{"token=abc, password: abc; x", "token=***, password: ***; x"},
		{"private-token: abc", "private-token: ***"},
		{"remote: ghp_0123456789abcdefghij is over", "remote: *** is over"},
		{"github_pat_11ABCDEFG0123456789_x", "***"},
		{"glpat-0123456789abcdefghij", "***"},
		{"AKIAIOSFODNN7EXAMPLE", "***"},
		{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_def", "***"},
		{"fatal: repository 'https://example.com/a.git/' not found", "fatal: repository 'https://example.com/a.git/' not found"},
		{"! [rejected] main -> main (non-fast-forward)", "! [rejected] main -> main (non-fast-forward)"},
		{"the given, twice: given", "the ***, twice: ***"},
	} {
		if got := redact(row.in, "", "given"); got != row.want {
			t.Errorf("redact(%q)\n got %q\nwant %q", row.in, got, row.want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("fatal: '", "' not found", "ann")
	f.Add("https://", "@x", "")
	f.Add("\r\x1b[31m", "\n", "a@b/c?")
	f.Fuzz(func(t *testing.T, before, after, user string) {
		if strings.Contains(before+"\n"+after+"\n"+user, canary[:8]) {
			t.Skip()
		}
		given := Credentials{Username: "ann", Password: canary}
		one := strings.Join(strings.Fields(printable(user)), "")
		for _, text := range []string{
			before + canary + after, // exactly what was given
			before + secretForms[1] + after,
		} {
			check(t, text, given.secrets()...)
		}
		for _, text := range []string{ // unknown to the client
			before + " https://" + one + ":" + canary + "@example.com/" + after,
			before + " https://" + canary + "@example.com/" + after,
			before + " https://example.com/" + one + "?" + canary + after,
			before + " http://example.com/?token=" + canary + " " + after,
			before + "\nAuthorization: Basic " + canary + "\n" + after,
			before + "\ntoken=" + canary + "\n" + after,
		} {
			check(t, text)
		}
	})
}

// check asserts that the secret is not in what is made of text.
func check(t *testing.T, text string, secrets ...string) {
	t.Helper()
	var stderr transcript
	stderr.Write([]byte(text))
	stderr.end()
	got := shorten(redact(printable(strings.Join(stderr.lines(), "\n")), secrets...))
	silent(t, "the text", got)
	if strings.Contains(got, canary[:12]) {
		t.Errorf("a part of the secret is in %q", got)
	}
	if len(got) > maxStderr+64 || !utf8.ValidString(got) {
		t.Errorf("%d bytes, valid: %v", len(got), utf8.ValidString(got))
	}
}

func TestG12Transcript(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"", ""},
		{"a\nb", "a\nb"},
		{"a\r\nb\r\n", "a\nb"},
		{"10%\r20%\r\r100%, done.\nend", "100%, done.\nend"},
		{"10%\r", "10%"},
		{"\n\n  \na  \t\n", "a"},
		{strings.Repeat("a ", 3000) + "secret\nend", strings.Repeat("a ", 2047) + "...\nend"},
		{strings.Repeat("a", 5000) + "\nend", "...\nend"},
	} {
		for _, chunk := range []int{1, 7, 1 << 20} {
			var got transcript
			for b := []byte(row.in); len(b) > 0; b = b[min(chunk, len(b)):] {
				got.Write(b[:min(chunk, len(b))])
			}
			got.end()
			if s := strings.Join(got.lines(), "\n"); s != row.want {
				t.Errorf("%.40q: got %.80q, want %.80q", row.in, s, row.want)
			}
		}
	}
}
