// Command table reads the output of go test -bench on its standard input, and
// prints it as one table with ratios.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	samples, err := parse(bytes.NewReader(text))
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, machine(text)+render(samples))
	return err
}

var processor = regexp.MustCompile(`(?m)^cpu: *(.+)$`)

// machine says where the output comes from, as far as it tells: numbers of other
// machines are not to be compared.
func machine(text []byte) string {
	found := processor.FindSubmatch(text)
	if found == nil {
		return ""
	}
	return fmt.Sprintf("%s, %d cores, %s. Versions of the libraries: internal/benchmarks/go.mod.\n", found[1], runtime.NumCPU(), runtime.Version())
}
