package middleware

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// text leaves out what a Duration prints of units that are zero, and digits that nobody
// needs.
func text(d time.Duration) string {
	if d == Unbounded {
		return "unbounded"
	}
	s := round(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// count returns a number with the word for what it counts.
func count(n int, word string) string {
	switch n {
	case 1:
		return "1 " + word
	case math.MaxInt:
		return "unbounded " + word + "s"
	default:
		return strconv.Itoa(n) + " " + word + "s"
	}
}

// number leaves out digits that nobody needs.
func number(f float64) string {
	if f >= 1000 {
		return strconv.FormatFloat(math.Round(f), 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// size returns a number of bytes.
func size(bytes int64) string {
	switch {
	case bytes < 1<<10:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 1<<20:
		return number(float64(bytes)/(1<<10)) + " KiB"
	default:
		return number(float64(bytes)/(1<<20)) + " MiB"
	}
}
