// Package waterfall draws a trace as an indented list of bars.
package waterfall

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
)

// A Span is one bar.
type Span struct {
	ID, Parent string // a Parent that is not in the trace makes a root
	Name       string
	Note       string // stands behind the duration
	Failed     bool
	Start, End time.Time
	Marks      []Mark
}

// A Mark is a moment in a span.
type Mark struct {
	At   time.Time
	Name string
	Note string
}

const (
	nameWidth = 27
	barWidth  = 36
)

// Draw writes the spans of one trace, each under its parent, in the order of their
// beginnings. Bars of failed spans are light, and red with colour.
func Draw(w io.Writer, spans []Span, colour bool) error {
	if len(spans) == 0 {
		_, err := io.WriteString(w, "the trace has no spans\n")
		return err
	}
	c := newCanvas(spans, colour)
	c.axis()
	for _, root := range c.children[""] {
		c.span(root, 0)
	}
	_, err := io.WriteString(w, c.out.String())
	return err
}

// A canvas is one drawing.
type canvas struct {
	colour      bool
	children    map[string][]Span // by the parent's ID, "" for roots
	first, last time.Time
	out         strings.Builder
}

func newCanvas(spans []Span, colour bool) *canvas {
	c := &canvas{colour: colour, children: map[string][]Span{}, first: spans[0].Start, last: spans[0].End}
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	for _, s := range spans {
		parent := s.Parent
		if !known[parent] {
			parent = ""
		}
		c.children[parent] = append(c.children[parent], s)
		if s.Start.Before(c.first) {
			c.first = s.Start
		}
		if s.End.After(c.last) {
			c.last = s.End
		}
	}
	for _, siblings := range c.children {
		slices.SortStableFunc(siblings, func(a, b Span) int { return a.Start.Compare(b.Start) })
	}
	return c
}

// axis writes the scale above the bars.
func (c *canvas) axis() {
	total := c.last.Sub(c.first)
	left, middle, right := "0", timeline.Duration(total/2), timeline.Duration(total)
	gap := barWidth/2 - len(left)
	c.row("", left+strings.Repeat(" ", gap)+middle+strings.Repeat(" ", max(1, barWidth-len(left)-gap-len(middle)-len(right)))+right, "", "", "")
}

func (c *canvas) span(s Span, depth int) {
	begin := min(c.column(s.Start), barWidth-1)
	end := max(c.column(s.End), begin+1)
	fill, paint := "█", "36"
	if s.Failed {
		fill, paint = "░", "31"
	}
	bar := strings.Repeat(" ", begin) + strings.Repeat(fill, end-begin) + strings.Repeat(" ", barWidth-end)
	c.row(strings.Repeat("  ", depth)+s.Name, bar, timeline.Duration(s.End.Sub(s.Start)), s.Note, paint)

	// Marks stand between the children, in the order of time.
	marks := slices.SortedStableFunc(slices.Values(s.Marks), func(a, b Mark) int { return a.At.Compare(b.At) })
	for _, child := range c.children[s.ID] {
		for len(marks) > 0 && marks[0].At.Before(child.Start) {
			c.mark(marks[0], depth+1)
			marks = marks[1:]
		}
		c.span(child, depth+1)
	}
	for _, m := range marks {
		c.mark(m, depth+1)
	}
}

func (c *canvas) mark(m Mark, depth int) {
	at := min(c.column(m.At), barWidth-1)
	c.row(strings.Repeat("  ", depth)+"· "+m.Name, strings.Repeat(" ", at)+"◆"+strings.Repeat(" ", barWidth-at-1), "", m.Note, "33")
}

// column returns where a moment stands, between 0 and barWidth.
func (c *canvas) column(at time.Time) int {
	total := c.last.Sub(c.first)
	if total <= 0 {
		return 0
	}
	return min(barWidth, max(0, int(barWidth*float64(at.Sub(c.first))/float64(total))))
}

func (c *canvas) row(name, bar, duration, note, paint string) {
	if n := utf8.RuneCountInString(name); n > nameWidth {
		name = string([]rune(name)[:nameWidth-3]) + "..."
	} else {
		name += strings.Repeat(" ", nameWidth-n)
	}
	if c.colour && paint != "" {
		bar = "\x1b[" + paint + "m" + bar + "\x1b[0m"
	}
	line := fmt.Sprintf("%s %s %8s  %s", name, bar, duration, note)
	c.out.WriteString(strings.TrimRight(line, " ") + "\n")
}
