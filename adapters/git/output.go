package git

import (
	"bytes"
	"errors"
	"strings"
)

var errOver = errors.New("too much output")

// An output keeps what git writes up to a limit.
type output struct {
	kept  bytes.Buffer // not embedded: io.Copy would use its ReadFrom, without the limit
	limit int
	over  bool
}

func (o *output) Write(b []byte) (int, error) {
	if o.kept.Len()+len(b) > o.limit {
		o.over = true
		return 0, errOver
	}
	return o.kept.Write(b)
}

// Bounds of a transcript.
const (
	maxLine = 4 << 10
	maxEnd  = 16 << 10
)

// A transcript keeps the first and the last lines that git writes for people.
// Lines of progress, which the next one overwrites, are dropped. Lines are kept
// or left out whole, so that no secret is cut in a way that hides it from redact.
type transcript struct {
	line     []byte // being written
	returned bool   // a carriage return was last
	told     bool   // what stands before it is progress
	long     bool   // the line is longer than maxLine

	progress *meter // gets the lines of progress, nil: nobody

	head, tail         []string
	headSize, tailSize int
	left               bool // lines were left out between head and tail
}

func (t *transcript) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '\n':
			t.end()
			continue
		case t.returned:
			if c == '\r' {
				continue
			}
			t.line, t.long, t.returned, t.told = t.line[:0], false, false, false
		}
		switch {
		case c == '\r':
			t.returned, t.told = true, t.progress.read(t.line)
		case len(t.line) < maxLine:
			t.line = append(t.line, c)
		default:
			t.long = true
		}
	}
	return len(b), nil
}

// end ends the line that is being written.
func (t *transcript) end() {
	line := strings.TrimRight(string(t.line), " \t")
	if t.long {
		line = line[:strings.LastIndexAny(line, " \t")+1] + "..."
	}
	if t.told || t.progress.read(t.line) {
		line = ""
	}
	t.line, t.long, t.returned, t.told = t.line[:0], false, false, false
	size := len(line) + 1
	switch {
	case size == 1:
	case t.headSize+size <= maxEnd && len(t.tail) == 0:
		t.head = append(t.head, line)
		t.headSize += size
	default:
		t.tail = append(t.tail, line)
		t.tailSize += size
		for t.tailSize > maxEnd {
			t.tailSize -= len(t.tail[0]) + 1
			t.tail, t.left = t.tail[1:], true
		}
	}
}

func (t *transcript) lines() []string {
	lines := append([]string{}, t.head...)
	if t.left {
		lines = append(lines, "...")
	}
	return append(lines, t.tail...)
}
