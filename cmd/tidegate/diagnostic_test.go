package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func blank(r rune) rune {
	if r == '\t' {
		return r
	}
	return ' '
}

func TestExcerpts(t *testing.T) {
	long := strings.Repeat("abcdefghi ", 20) // 200 characters
	for _, row := range []struct {
		name, text   string
		line, column int
		want         string
	}{
		{"a line", "a: 1\nbc: 2\nd: 3", 2, 5, "  2 | bc: 2\n    |     ^\n"},
		{"its first column", "a: 1", 1, 1, "  1 | a: 1\n    | ^\n"},
		{"behind its end", "a:", 1, 4, "  1 | a:\n    |   ^\n"},
		{"no column", "a: 1", 1, 0, "  1 | a: 1\n"},
		{"no line", "a: 1", 0, 0, ""},
		{"a line that is not there", "a: 1", 7, 1, ""},
		{"an empty line", "a: [\n\n", 2, 1, ""},
		{"two digits", strings.Repeat("\n", 11) + "x: 1", 12, 4, "  12 | x: 1\n     |    ^\n"},
		{"tabs stay", "\ta:\t1", 1, 5, "  1 | \ta:\t1\n    | \t  \t^\n"},
		{"carriage returns do not", "a: 1\r\nb: 2\r\n", 1, 4, "  1 | a: 1\n    |    ^\n"},
		{"characters count, not bytes", "größe: 1", 1, 8, "  1 | größe: 1\n    |        ^\n"},
		{"a byte order mark counts as nothing", "\uFEFFa: 1", 1, 4, "  1 | a: 1\n    |    ^\n"},
		{"what a terminal would obey", "a: \x1b[31m", 1, 4, "  1 | a: \uFFFD[31m\n    |    ^\n"},
		{"what is no text", "a: \xff", 1, 4, "  1 | a: \uFFFD\n    |    ^\n"},
		{"the begin of a long line", long, 1, 3, "  1 | " + long[:42] + "...\n    |   ^\n"},
		{"the middle of a long line", long, 1, 101, "  1 | ..." + long[40:140] + "...\n    | " + strings.Repeat(" ", 63) + "^\n"},
		{"the end of a long line", long + "x", 1, 201, "  1 | ..." + long[140:200] + "x\n    | " + strings.Repeat(" ", 63) + "^\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := (&file{text: []byte(row.text)}).excerpt(row.line, row.column); got != row.want {
				t.Errorf("got\n%q\nwant\n%q", got, row.want)
			}
		})
	}
}

func TestNotesAreWrapped(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("nine-char ", 25))
	var b strings.Builder
	note{"allowed", words}.write(&b)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "  allowed: nine-char") || !strings.HasPrefix(lines[1], "    nine-char") {
		t.Errorf("got\n%s", b.String())
	}
	if strings.Join(strings.Fields(b.String()), " ") != "allowed: "+words {
		t.Errorf("words are missing:\n%s", b.String())
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > noteWidth {
			t.Errorf("too long: %s", line)
		}
	}
}

// An excerpt is at most two lines, of which the second points at a place in the first, and
// nothing in it moves the cursor of a terminal.
func FuzzExcerpt(f *testing.F) {
	f.Add("a: 1\nb: \x1b[0m", 2, 4)
	f.Add(strings.Repeat("é\t", 200), 1, 150)
	f.Fuzz(func(t *testing.T, text string, line, column int) {
		got := (&file{text: []byte(text)}).excerpt(line, column)
		if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		lines := strings.SplitAfter(got, "\n")
		switch {
		case got == "":
		case len(lines) > 3 || lines[len(lines)-1] != "":
			t.Errorf("%q", got)
		case len(lines) == 3 && utf8.RuneCountInString(lines[1]) > utf8.RuneCountInString(lines[0])+1:
			t.Errorf("the caret is outside of the line:\n%s", got)
		}
	})
}
