package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A manifest says how many of each service are to run.
type manifest map[string]int

// readManifest reads a file with lines such as "web 3".
func readManifest(path string) (manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := manifest{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		count := -1
		if len(fields) == 2 {
			if i, err := strconv.Atoi(fields[1]); err == nil {
				count = i
			}
		}
		if count < 0 {
			return nil, fmt.Errorf("line %d is %q: it must be a name and how many are to run", n, lines.Text())
		}
		m[fields[0]] = count
	}
	return m, lines.Err()
}

// changes says what must be done so that what runs becomes what is wanted.
func changes(runs, wanted manifest) []string {
	names := maps.Clone(runs)
	maps.Copy(names, wanted)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if runs[name] != wanted[name] {
			all = append(all, fmt.Sprintf("%s %d -> %d", name, runs[name], wanted[name]))
		}
	}
	return all
}
