//go:build real

package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A seenTrace is a trace as Jaeger has it.
type seenTrace struct {
	TraceID string
	Spans   []*seenSpan
}

// A seenSpan is a row in Jaeger.
type seenSpan struct {
	SpanID, OperationName string
	StartTime, Duration   int64 // microseconds
	References            []struct{ RefType, TraceID, SpanID string }
	Tags                  []seenTag
	Logs                  []struct {
		Timestamp int64
		Fields    []seenTag
	}
	Warnings []string
}

// A seenTag is an attribute of a span or of an event.
type seenTag struct {
	Key   string
	Value any
}

func (s *seenSpan) tag(key string) any { return valueOf(s.Tags, key) }

func (s *seenSpan) end() int64 { return s.StartTime + s.Duration }

func valueOf(tags []seenTag, key string) any {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return nil
}

// below returns the spans whose parent has the id, in the order of their beginnings, or
// those without a parent.
func (t *seenTrace) below(parent string) []*seenSpan {
	var spans []*seenSpan
	for _, s := range t.Spans {
		of := ""
		for _, r := range s.References {
			if r.RefType == "CHILD_OF" && r.TraceID == t.TraceID {
				of = r.SpanID
			}
		}
		if of == parent {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b *seenSpan) int { return cmp.Compare(a.StartTime, b.StartTime) })
	return spans
}

// picture draws the whole trace: every span with its kind, every attribute and every event.
// What differs from run to run has a sign instead of its value.
func (t *seenTrace) picture() string {
	var b strings.Builder
	t.draw(&b, "", "")
	return b.String()
}

func (t *seenTrace) draw(b *strings.Builder, parent, indent string) {
	for _, s := range t.below(parent) {
		fmt.Fprintf(b, "%s%s (%v)", indent, s.OperationName, s.tag("span.kind"))
		if s.tag("error") == true {
			b.WriteString(" red")
		}
		b.WriteString("\n")
		writeTags(b, indent+"      ", s.Tags)
		for _, l := range s.Logs {
			fmt.Fprintf(b, "%s    * %v\n", indent, valueOf(l.Fields, "event"))
			writeTags(b, indent+"      ", l.Fields)
		}
		for _, w := range s.Warnings {
			fmt.Fprintf(b, "%s    warning: %s\n", indent, w)
		}
		t.draw(b, s.SpanID, indent+"  ")
	}
}

// drawnApart are tags that the picture shows in another way, or that are the same for all.
var drawnApart = []string{"event", "span.kind", "error", "otel.scope.name", "otel.scope.version"}

func writeTags(b *strings.Builder, indent string, tags []seenTag) {
	tags = slices.Clone(tags)
	slices.SortFunc(tags, func(a, b seenTag) int { return cmp.Compare(a.Key, b.Key) })
	for _, t := range tags {
		if !slices.Contains(drawnApart, t.Key) {
			fmt.Fprintf(b, "%s%s = %s\n", indent, t.Key, t.text())
		}
	}
}

var portOfServer = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// text is the value, or a sign for one that differs from run to run.
func (t seenTag) text() string {
	switch v := t.Value.(type) {
	case float64:
		if durationTags[t.Key] && v > 0 && v < 60 {
			return "SECONDS"
		}
		if t.Key == "server.port" {
			return "PORT"
		}
	case string:
		if t.Key == "tidegate.breaker.opened_by" {
			return "TRACE"
		}
		return portOfServer.ReplaceAllString(v, "127.0.0.1:PORT")
	}
	return fmt.Sprint(t.Value)
}

var durationTags = map[string]bool{
	"tidegate.wait.duration": true, "tidegate.retry.delay": true, "tidegate.hedge.delay": true, "tidegate.retry_after": true,
	"tidegate.breaker.open_for": true,
}
