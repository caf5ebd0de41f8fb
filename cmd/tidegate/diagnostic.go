package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A diagnostic is something that is wrong, or doubtful, at a place.
type diagnostic struct {
	source       string
	line, column int // 0: no place in the file
	warning      bool
	key, says    string
	notes        []note
}

// A note says more in a line of its own.
type note struct{ title, text string }

// write writes the diagnostic, and the line of the file that it is about.
func (d *diagnostic) write(b *strings.Builder, f *file) {
	b.WriteString(d.source)
	for _, n := range []int{d.line, d.column} {
		if n > 0 {
			b.WriteString(":" + strconv.Itoa(n))
		}
	}
	b.WriteString(": ")
	if d.warning {
		b.WriteString("warning: ")
	}
	if d.key != "" {
		b.WriteString(d.key + ": ")
	}
	b.WriteString(d.says + "\n")
	if d.source == f.name {
		b.WriteString(f.excerpt(d.line, d.column))
	}
	for _, n := range d.notes {
		n.write(b)
	}
}

const noteWidth = 100

// write writes the note, in lines of that width at the most where its words permit.
func (n note) write(b *strings.Builder) {
	at, _ := fmt.Fprintf(b, "  %s:", n.title)
	for word := range strings.FieldsSeq(n.text) {
		if length := utf8.RuneCountInString(word); at+1+length <= noteWidth {
			b.WriteString(" " + word)
			at += 1 + length
		} else {
			b.WriteString("\n    " + word)
			at = 4 + length
		}
	}
	b.WriteByte('\n')
}

// An excerpt has that much of a line to the left and to the right of what it is about.
const excerptLeft, excerptRight = 60, 40

// excerpt returns a line of the file with its number, and a caret below the column, or
// nothing when the file has no such line.
func (f *file) excerpt(line, column int) string {
	lines := strings.Split(string(f.text), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	text := []rune(strings.TrimSuffix(lines[line-1], "\r"))
	if line == 1 && len(text) > 0 && text[0] == '\uFEFF' { // which YAML counts as nothing
		text = text[1:]
	}
	for i, r := range text {
		if r != '\t' && !unicode.IsPrint(r) {
			text[i] = unicode.ReplacementChar // a terminal would obey it
		}
	}
	at := min(max(column, 1)-1, len(text))
	before, after := text[:at], text[at:]
	left, right := "", ""
	if len(before) > excerptLeft {
		before, left = before[len(before)-excerptLeft:], "..."
	}
	if len(after) > excerptRight && len(text) > excerptLeft+excerptRight {
		after, right = after[:excerptRight], "..."
	}
	shown := left + string(before) + string(after) + right
	if strings.TrimSpace(shown) == "" {
		return ""
	}
	number := strconv.Itoa(line)
	var b strings.Builder
	fmt.Fprintf(&b, "  %s | %s\n", number, shown)
	if column > 0 {
		blank := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, left+string(before))
		fmt.Fprintf(&b, "  %s | %s^\n", strings.Repeat(" ", len(number)), blank)
	}
	return b.String()
}
