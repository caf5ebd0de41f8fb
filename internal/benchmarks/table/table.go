package main

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
)

// own is the library that the others are compared with.
const own = "tidegate"

const legend = "ns/op, allocs/op, and the time of " + own + " as a multiple of the library's: below 1x " + own + " is faster.\n" +
	"The number of cpus is GOMAXPROCS, and as many goroutines call at once.\n" +
	"- where a library cannot do the work. Rows of something else than time begin with its unit;\n" +
	"with a + it is what a library adds to the bare work, measured in turns with it.\n"

// render returns the medians of the samples as a table, in the order in which the
// samples come.
func render(samples []sample) string {
	var out strings.Builder
	line := func(format string, args ...any) {
		out.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
	}
	out.WriteString(legend)
	for section, ofSection := range groups(samples, func(s sample) string { return s.section }) {
		libraries := []string{own}
		for library := range groups(ofSection, func(s sample) string { return s.library }) {
			if library != own {
				libraries = append(libraries, library)
			}
		}

		width := 16 // of a column: of the numbers, or of a longer name
		for _, library := range libraries[1:] {
			width = max(width, len(library)+1)
		}

		line("\n%-12s%10s%s", section, own, names(libraries[1:], width))
		for work, ofWork := range groups(ofSection, func(s sample) string { return s.work }) {
			if work != "" {
				line("%s", work)
			}
			for label, ofLabel := range groups(ofWork, func(s sample) string { return s.label }) {
				line("  %-10s%s", label, cells(ofLabel, libraries, width))
			}
		}
	}
	return out.String()
}

func names(libraries []string, width int) string {
	var text strings.Builder
	for _, library := range libraries {
		fmt.Fprintf(&text, "%*s", width, library)
	}
	return text.String()
}

// cells returns the numbers of a row, for each of the libraries.
func cells(samples []sample, libraries []string, width int) string {
	var text strings.Builder
	base := math.NaN()
	for _, library := range libraries {
		var values, allocs []float64
		for _, s := range samples {
			if s.library == library {
				values, allocs = append(values, s.value), append(allocs, s.allocs)
			}
		}
		value := median(values)
		numbers := fmt.Sprintf("%7s%3s", amount(value), count(median(allocs)))
		if library == own {
			base = value
			text.WriteString(numbers)
		} else {
			fmt.Fprintf(&text, "%*s", width, fmt.Sprintf("%s%6s", numbers, ratio(base/value)))
		}
	}
	return text.String()
}

// groups yields the samples that have a name in common, with that name.
func groups(samples []sample, name func(sample) string) iter.Seq2[string, []sample] {
	return func(yield func(string, []sample) bool) {
		var done []string
		for _, first := range samples {
			n := name(first)
			if slices.Contains(done, n) {
				continue
			}
			done = append(done, n)
			others := slices.DeleteFunc(slices.Clone(samples), func(s sample) bool { return name(s) != n })
			if !yield(n, others) {
				return
			}
		}
	}
}

// median returns NaN of nothing.
func median(numbers []float64) float64 {
	if len(numbers) == 0 {
		return math.NaN()
	}
	slices.Sort(numbers)
	middle := len(numbers) / 2
	if len(numbers)%2 == 1 {
		return numbers[middle]
	}
	return (numbers[middle-1] + numbers[middle]) / 2
}

// The numbers have three digits or all before the point.

func amount(n float64) string {
	switch size := math.Abs(n); {
	case math.IsNaN(n):
		return "-"
	case n == 0:
		return "0"
	case size < 9.995:
		return fmt.Sprintf("%.2f", n)
	case size < 99.95:
		return fmt.Sprintf("%.1f", n)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}

// ratio returns nothing for what is no multiple: of nothing, or of less than nothing,
// as what is added may seem to be.
func ratio(n float64) string {
	if math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return ""
	}
	if n < 0.005 {
		return "<.01x"
	}
	return amount(n) + "x"
}

func count(n float64) string {
	if math.IsNaN(n) {
		return ""
	}
	return fmt.Sprintf("%.0f", n)
}
