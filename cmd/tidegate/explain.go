package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/tidegate-go/tidegate"
)

func prepareExplain(flags *flag.FlagSet) func(s streams, args []string) error {
	mermaid := flags.Bool("mermaid", false, "draw the policies instead, in Markdown with a Mermaid flowchart for each service")
	variables := flags.Bool("variables", false, "list the settings instead: what each is, where that comes from, and its environment variable")
	return func(s streams, args []string) error {
		if *mermaid && *variables {
			return &misuse{"explain: -mermaid and -variables exclude each other", explainUsage()}
		}
		f, err := read(args[0], s.in)
		if err != nil {
			return err
		}
		config, manager, err := f.load()
		if err != nil {
			f.say(s.err, f.errorsOf(err))
			return errSaid
		}
		defer manager.Close()
		services, err := choose(manager, args[1:])
		if err != nil {
			return err
		}
		if len(services) == 0 {
			return fmt.Errorf("%s has no services to explain", f.name)
		}
		switch {
		case *variables:
			return f.writeSettings(s.out, config, services)
		case *mermaid:
			return drawAll(s, services)
		default:
			return explainAll(s, services)
		}
	}
}

func explainUsage() string {
	c, _ := find("explain")
	return c.usage()
}

// choose returns the named services, or all.
func choose(manager *tidegate.Manager, names []string) ([]*tidegate.Service, error) {
	if len(names) == 0 {
		return manager.Services(), nil
	}
	var chosen []*tidegate.Service
	for _, name := range names {
		s, err := manager.Service(name)
		if err != nil {
			return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "tidegate: "))
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func explainAll(s streams, services []*tidegate.Service) error {
	for i, service := range services {
		if i > 0 {
			fmt.Fprint(s.out, "\n\n")
		}
		fmt.Fprint(s.out, service.Chain().Explain())
	}
	return nil
}

func drawAll(s streams, services []*tidegate.Service) error {
	for i, service := range services {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		fmt.Fprintf(s.out, "## %s\n\n```mermaid\n%s```\n", service.Name(), service.Chain().Explain().Mermaid())
	}
	return nil
}
