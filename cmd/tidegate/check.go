package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/internal/advice"
)

func prepareCheck(flags *flag.FlagSet) func(s streams, args []string) error {
	strict := flags.Bool("strict", false, "let warnings be errors")
	ignore := flags.String("ignore", "", "leave out warnings of these `RULES`, separated by commas")
	return func(s streams, paths []string) error {
		ignored := strings.FieldsFunc(*ignore, func(r rune) bool { return r == ',' || r == ' ' })
		var wrong error
		for _, path := range paths {
			errs, warnings, err := check(s, path, ignored)
			if err != nil {
				fmt.Fprintf(s.err, "tidegate: %v\n", err)
			}
			if err != nil || errs > 0 || *strict && warnings > 0 {
				wrong = errSaid
			}
		}
		return wrong
	}
}

// check says of one file what there is to be said, and how much that was.
func check(s streams, path string, ignored []string) (errs, warnings int, err error) {
	f, err := read(path, s.in)
	if err != nil {
		return 0, 0, err
	}
	config, manager, err := f.load()
	if err != nil {
		all := f.errorsOf(err)
		f.say(s.err, all)
		fmt.Fprintf(s.err, "%s: %s\n", f.name, count(len(all), "error"))
		return len(all), 0, nil
	}
	defer manager.Close()
	var all []diagnostic
	if !slices.Contains(ignored, unknownVariable) {
		if all, err = f.variables(config); err != nil {
			return 0, 0, err
		}
	}
	all = append(all, f.warnings(config, manager, ignored)...)
	f.say(s.err, all)
	switch services := count(len(manager.Services()), "service"); len(all) {
	case 0:
		fmt.Fprintf(s.out, "%s is fine: %s\n", f.name, services)
	default:
		fmt.Fprintf(s.out, "%s has no errors: %s, %s\n", f.name, services, count(len(all), "warning"))
	}
	return 0, len(all), nil
}

// say writes diagnostics, with an empty line after each.
func (f *file) say(w io.Writer, all []diagnostic) {
	var b strings.Builder
	for _, d := range all {
		d.write(&b, f)
		b.WriteByte('\n')
	}
	io.WriteString(w, b.String()) //nolint:errcheck // there is nobody else to tell
}

// warnings returns what is doubtful about the services of a file.
func (f *file) warnings(config tidegate.Config, manager *tidegate.Manager, ignored []string) []diagnostic {
	written := f.outline()
	var all []diagnostic
	for _, service := range manager.Services() {
		layers := layersOf(config, service.Name())
		for _, finding := range service.Chain().Check() {
			if slices.Contains(ignored, finding.Rule) {
				continue
			}
			keys := advice.Settings(finding)
			at := written.first(layers, keys)
			d := diagnostic{
				source: f.name, line: at.line, column: at.column, warning: true,
				key: keyOf("services", service.Name()), says: finding.Problem,
				notes: []note{{"fix", advice.Fix(finding)}, {"keys", strings.Join(keys, ", ")}, {"rule", finding.Rule}},
			}
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b diagnostic) int { return a.line - b.line })
	return all
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
