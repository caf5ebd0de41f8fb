package tidegate

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// keyWithoutSpace is what YAML takes for a text and not for a key and its value.
var keyWithoutSpace = regexp.MustCompile(`^[ -]*[A-Za-z_]+:[^ /\\]`)

// syntax reports the error of a text that is not YAML.
func (d *decoder) syntax(text []byte, err error) {
	n, says := &yaml.Node{Line: 1}, err.Error()
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.wrong(n, "", "not YAML: "+says, "")
		return
	}
	n.Line, n.Column, says = e.Mark.Line, e.Mark.Column, e.Message
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	line := func(number int) string {
		if number < 1 || number > len(lines) {
			return ""
		}
		return lines[number-1]
	}
	if at := line(n.Line); strings.Contains(at[:len(at)-len(strings.TrimLeft(at, " \t"))], "\t") {
		d.wrong(n, "", "not YAML: a tab indents this line", "spaces")
		return
	}
	if e.ContextMsg != "" && e.ContextMark.Line > 0 {
		says = fmt.Sprintf("%s, %s that began at line %d", says, e.ContextMsg, e.ContextMark.Line)
		if n.Line > len(lines) { // the end of the file is not where the mistake is
			n.Line, n.Column = e.ContextMark.Line, e.ContextMark.Column
		}
	}
	for _, number := range []int{n.Line, n.Line - 1} {
		if keyWithoutSpace.MatchString(line(number)) {
			says += fmt.Sprintf(" (is there a space missing behind the colon in line %d?)", number)
			break
		}
	}
	d.wrong(n, "", "not YAML: "+says, "")
}

// unreadable returns the position of the first byte that YAML has no place for.
// The YAML package has no position for it.
func unreadable(text []byte) (line, column int, found bool) {
	line, column = 1, 1
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == utf8.RuneError && size == 1, r < ' ' && r != '\t' && r != '\r', r == '\uFFFE', r == '\uFFFF':
			return line, column, true
		}
		column++
		text = text[size:]
	}
	return 0, 0, false
}
