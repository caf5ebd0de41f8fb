package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tidegate-go/tidegate"
)

// maxSize is that of package tidegate.
const maxSize = 1 << 20

// A file is a configuration file as somebody has written it.
type file struct {
	name string
	text []byte
}

// read returns the file at path, or standard input for "-".
func read(path string, stdin io.Reader) (*file, error) {
	from, name := stdin, "<stdin>"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from, name = f, path
	}
	text, err := io.ReadAll(io.LimitReader(from, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return &file{name, text}, nil
}

// load returns the configuration in the file and a Manager for it, which the caller closes.
// The error consists of what is wrong.
func (f *file) load() (tidegate.Config, *tidegate.Manager, error) {
	config, err := tidegate.ParseConfig(f.name, f.text, os.LookupEnv)
	if err != nil {
		return config, nil, err
	}
	m, err := tidegate.New(config, tidegate.WithChaos(), tidegate.WithLogger(nil)) // no call is made
	return config, m, err
}

// errorsOf returns the diagnostics for an error of load.
func (f *file) errorsOf(err error) []diagnostic {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []diagnostic
		for _, e := range joined.Unwrap() {
			all = append(all, f.errorsOf(e)...)
		}
		return all
	}
	e, ok := errors.AsType[*tidegate.ConfigError](err)
	if !ok {
		return []diagnostic{{source: f.name, says: err.Error()}}
	}
	d := diagnostic{source: cmp.Or(e.Source, f.name), line: e.Line, column: e.Column, key: e.Key, says: e.Problem}
	for _, n := range []note{{"allowed", e.Allowed}, {"fix", e.Fix}, {"keys", strings.Join(e.Settings, ", ")}, {"rule", e.Rule}} {
		if n.text != "" {
			d.notes = append(d.notes, n)
		}
	}
	return []diagnostic{d}
}
