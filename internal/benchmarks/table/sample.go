package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A sample is a measurement of a library at some work.
type sample struct {
	section, work, library string

	// label says what was measured: the time for a number of CPUs, or something
	// else by its unit.
	label string

	value  float64
	allocs float64 // NaN if they were not counted
}

// benchmark is a section, what was done, the library and the cpus, as in
// BenchmarkBreaker/open/tidegate-8. Nothing need be said of what was done, and there
// are no cpus if it is one.
var benchmark = regexp.MustCompile(`^Benchmark([^/]+)(?:/(.+))?/([^/]+?)(?:-(\d+))?$`)

// parse returns the samples in the lines that are results of benchmarks.
func parse(in io.Reader) ([]sample, error) {
	var samples []sample
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		name := benchmark.FindStringSubmatch(fields[0])
		_, notRun := strconv.Atoi(fields[1]) // how often it ran, or why not
		if name == nil || notRun != nil {
			continue
		}
		s := sample{section: name[1], work: strings.ReplaceAll(name[2], "_", " "), library: name[3]}
		measured, err := s.measured(name[4], fields[2:])
		if err != nil {
			return nil, fmt.Errorf("the line %q: %w", lines.Text(), err)
		}
		samples = append(samples, measured...)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(samples) == 0 {
		return nil, errors.New("no result of a benchmark in the input")
	}
	return samples, nil
}

// measured returns s for each thing that was measured. What is reported beside a
// time belongs to it; without one each unit stands for itself, whatever the CPUs.
func (s sample) measured(cpus string, fields []string) ([]sample, error) {
	numbers := make(map[string]float64)
	var units []string
	for pair := range slices.Chunk(fields, 2) {
		if len(pair) < 2 {
			return nil, fmt.Errorf("the number %s has no unit", pair[0])
		}
		n, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", pair[0])
		}
		numbers[pair[1]] = n
		units = append(units, pair[1])
	}

	if ns, ok := numbers["ns/op"]; ok {
		s.label, s.value, s.allocs = cpus+" cpus", ns, math.NaN()
		if cpus == "" {
			s.label = "1 cpu"
		}
		if n, ok := numbers["allocs/op"]; ok {
			s.allocs = n
		}
		return []sample{s}, nil
	}
	var all []sample
	for _, unit := range units {
		s.label, s.value, s.allocs = unit, numbers[unit], math.NaN()
		all = append(all, s)
	}
	return all, nil
}
