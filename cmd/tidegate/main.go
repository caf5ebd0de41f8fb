// Command tidegate looks at the configuration files of package tidegate before a program does.
//
//	tidegate check [-strict] [-ignore RULES] FILE...
//	tidegate explain [-mermaid | -variables] FILE [SERVICE...]
//	tidegate schema
//	tidegate help [COMMAND]
//
// It needs no installation in a module that requires Tidegate:
//
//	go run github.com/tidegate-go/tidegate/cmd/tidegate check tidegate.yaml
//
// check says what is wrong with files, each error with its place, the line and what is allowed
// instead; and of files without errors what is doubtful in how the policies of a service are
// put together and set, and of environment variables that look like those of settings and
// are none (rule unknown_variable). explain says what the settings of each service come to at the worst,
// draws its policies, or lists its settings, where each comes from and the environment
// variable that changes it. schema prints the JSON Schema of the files, for editors.
//
// A FILE that is "-" is standard input. As in a program, the environment wins over the file;
// env -i leaves it out. Results go to standard output, and what is wrong to standard error.
//
// The exit status is 0 when all is well, 1 when something is wrong with a file (with -strict
// a warning is enough) or a file cannot be read, and 2 when the arguments are wrong.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

const (
	statusFine = iota
	statusWrong
	statusMisused
)

// errSaid ends a command that has said what is wrong.
var errSaid = errors.New("it has been said what is wrong")

// run is the program without its process. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(stdout)
	err := dispatch(args, streams{in: stdin, out: out, err: stderr})
	if failed := out.Flush(); err == nil && failed != nil {
		err = fmt.Errorf("cannot write the result: %w", failed)
	}
	var wrong *misuse
	switch {
	case err == nil:
		return statusFine
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "tidegate: %v\n%s", err, wrong.usage)
		return statusMisused
	case !errors.Is(err, errSaid):
		fmt.Fprintf(stderr, "tidegate: %v\n", err)
	}
	return statusWrong
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// A misuse is an error in the arguments.
type misuse struct{ says, usage string }

func (m *misuse) Error() string { return m.says }

func dispatch(args []string, s streams) error {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "":
		return &misuse{"no command is given", usage()}
	case "help", "-h", "-help", "--help":
		return help(args, s)
	}
	c, err := find(name)
	if err != nil {
		return err
	}
	flags, run := c.flags()
	rest, err := parse(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, c.help())
		return nil
	case err != nil:
		return &misuse{c.name + ": " + err.Error(), c.usage()}
	case len(rest) < c.least:
		return &misuse{c.name + ": no file is named", c.usage()}
	case c.most >= 0 && len(rest) > c.most:
		return &misuse{fmt.Sprintf("%s: there is nothing to do with %q", c.name, rest[c.most]), c.usage()}
	}
	return run(s, rest)
}

// parse takes flags behind other arguments too, until a "--".
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		left := flags.Args()
		ended := len(left) < len(args) && args[len(args)-len(left)-1] == "--"
		if len(left) == 0 || ended {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}
