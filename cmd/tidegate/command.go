package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/tidegate-go/tidegate"
)

// A command is one of the things that the program does.
type command struct {
	name, arguments string
	does            string // in one line
	more            string // for its help, in paragraphs
	least, most     int    // arguments besides flags; a most below 0 is no bound

	// prepare defines the flags and returns what does the work.
	prepare func(flags *flag.FlagSet) func(s streams, args []string) error
}

func commands() []command {
	return []command{
		{
			name: "check", arguments: "[-strict] [-ignore RULES] FILE...",
			does: "say what is wrong, and what is doubtful, in configuration files",
			more: "A FILE that is - is standard input. The environment counts as it does in a program, and\n" +
				"variables that begin as those of settings do but stand for none are warned of.\n" +
				"Errors make the exit status 1, and so do warnings with -strict.",
			least: 1, most: -1, prepare: prepareCheck,
		},
		{
			name: "explain", arguments: "[-mermaid | -variables] FILE [SERVICE...]",
			does: "say what the settings of services come to",
			more: "For each service, or for those that are named: its policies, how long a call may take\n" +
				"at the worst, how often its operation may run, and what that is for a dependency that is\n" +
				"down. With -variables: each setting, its value (- where there is none, or where it follows\n" +
				"from others), what gives it and the environment variable that wins over that.\n" +
				"A FILE that is - is standard input.",
			least: 1, most: -1, prepare: prepareExplain,
		},
		{
			name: "schema", does: "print the JSON Schema of configuration files, for editors",
			more: "Keep it beside the file and name it there in a comment, which many editors know:\n" +
				"  # yaml-language-server: $schema=tidegate.schema.json",
			prepare: func(*flag.FlagSet) func(s streams, args []string) error { return printSchema },
		},
	}
}

func printSchema(s streams, _ []string) error {
	fmt.Fprintf(s.out, "%s", tidegate.Schema())
	return nil
}

// find returns the command of that name.
func find(name string) (command, error) {
	for _, c := range commands() {
		if c.name == name {
			return c, nil
		}
	}
	return command{}, &misuse{fmt.Sprintf("%q is no command", name), usage()}
}

// flags returns the flags of the command, and what does the work when they are parsed.
func (c command) flags() (*flag.FlagSet, func(s streams, args []string) error) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags, c.prepare(flags)
}

func help(args []string, s streams) error {
	if len(args) == 0 {
		fmt.Fprint(s.out, usage())
		return nil
	}
	c, err := find(args[0])
	if err != nil {
		return err
	}
	fmt.Fprint(s.out, c.help())
	return nil
}

// usage returns that of the whole program.
func usage() string {
	var b strings.Builder
	b.WriteString("usage:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  tidegate %s\n        %s\n", strings.TrimSpace(c.name+" "+c.arguments), c.does)
	}
	b.WriteString("  tidegate help [COMMAND]\n        explain a command\n")
	return b.String()
}

func (c command) usage() string {
	return fmt.Sprintf("usage: tidegate %s\n", strings.TrimSpace(c.name+" "+c.arguments))
}

func (c command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n%s\n", strings.TrimSuffix(c.usage(), "\n"), "  "+c.does, c.more)
	flags, _ := c.flags()
	flags.SetOutput(&b)
	first := true
	flags.VisitAll(func(*flag.Flag) {
		if first {
			b.WriteString("\nflags:\n")
		}
		first = false
	})
	flags.PrintDefaults()
	return b.String()
}
