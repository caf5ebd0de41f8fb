// Package timeline prints what happens, when and to whom, in aligned columns.
package timeline

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// A Mood colours a line on a terminal.
type Mood uint8

// The moods of a line.
const (
	Plain  Mood = iota
	Quiet       // by the way
	Good        // it worked
	Bad         // it failed
	Policy      // a policy did something about it
)

// A Timeline writes lines as they happen. It is safe for concurrent use.
type Timeline struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	start  time.Time
}

// New returns a Timeline that begins now.
func New(w io.Writer, colour bool) *Timeline {
	return &Timeline{w: w, colour: colour, start: time.Now()}
}

// Coloured reports whether output to f may have colours: it is a terminal, and
// the environment does not say otherwise.
func Coloured(f *os.File, env func(string) string) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && env("NO_COLOR") == "" && env("TERM") != "dumb"
}

// Elapsed returns the time since the beginning.
func (t *Timeline) Elapsed() time.Duration { return time.Since(t.start) }

// Title prints the title of a part.
func (t *Timeline) Title(format string, args ...any) {
	t.print("\n" + t.paint("1", fmt.Sprintf(format, args...)) + "\n")
}

// Gap prints an empty line.
func (t *Timeline) Gap() { t.print("\n") }

// Text prints lines without columns.
func (t *Timeline) Text(text string) { t.print(strings.TrimRight(text, "\n") + "\n") }

// Line prints what happened now: to which service, by whom.
func (t *Timeline) Line(mood Mood, service, who, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	elapsed := fmt.Sprintf("%7.3fs", t.Elapsed().Seconds())
	t.print(fmt.Sprintf("%s  %-7s  %s\n", t.paint(code(Quiet), elapsed), service, t.paint(code(mood), fmt.Sprintf("%-9s %s", who, text))))
}

func (t *Timeline) print(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = io.WriteString(t.w, text)
}

// code returns the terminal's number for a mood.
func code(m Mood) string {
	switch m {
	case Quiet:
		return "2"
	case Good:
		return "32"
	case Bad:
		return "31"
	case Policy:
		return "33"
	default:
		return ""
	}
}

func (t *Timeline) paint(code, text string) string {
	if !t.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Duration returns d with three digits, for a person.
func Duration(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	default:
		return d.Round(100 * time.Nanosecond).String()
	}
}
