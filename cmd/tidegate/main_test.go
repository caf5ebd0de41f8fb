package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() { // what is set here is of no concern
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "TIDEGATE_") || strings.HasPrefix(name, "CIRCUIT_BREAKER_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// program runs the program with a standard input.
func program(in string, args ...string) (status int, out, err string) {
	var stdout, stderr bytes.Buffer
	status = run(args, strings.NewReader(in), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestArguments(t *testing.T) {
	const (
		fine    = "services: {http: {}}"
		clash   = "services: {http: {timeout: 12s}}" // too short for the attempts of the preset
		usages  = "usage:\n  tidegate check"
		checks  = "usage: tidegate check [-strict]"
		explain = "usage: tidegate explain"
	)
	for _, row := range []struct {
		name     string
		args     []string
		in       string
		status   int
		out, err string // how they begin, or contain behind "..."
	}{
		{"nothing", nil, "", 2, "", "tidegate: no command is given\nusage:\n"},
		{"an unknown command", []string{"chek", "x"}, "", 2, "", "tidegate: \"chek\" is no command\nusage:\n"},
		{"help", []string{"help"}, "", 0, usages, ""},
		{"-h", []string{"-h"}, "", 0, usages, ""},
		{"--help", []string{"--help"}, "", 0, usages, ""},
		{"help of a command", []string{"help", "check"}, "", 0, checks, ""},
		{"help of an unknown command", []string{"help", "chek"}, "", 2, "", "tidegate: \"chek\" is no command\n"},
		{"-h of a command", []string{"check", "-h"}, "", 0, checks, ""},
		{"--help behind a file", []string{"explain", "x", "--help"}, "", 0, explain, ""},
		{"help names the flags", []string{"help", "check"}, "", 0, "...-strict", ""},

		{"no file", []string{"check"}, "", 2, "", "tidegate: check: no file is named\nusage: tidegate check"},
		{"no file to explain", []string{"explain"}, "", 2, "", "tidegate: explain: no file is named\nusage: tidegate explain"},
		{"an unknown flag", []string{"check", "-colour", "-"}, "", 2, "", "tidegate: check: flag provided but not defined: -colour\nusage:"},
		{"two forms at once", []string{"explain", "-mermaid", "-variables", "-"}, fine, 2, "", "tidegate: explain: -mermaid and -variables exclude each other\nusage:"},
		{"an argument too many", []string{"schema", "x"}, "", 2, "", "tidegate: schema: there is nothing to do with \"x\"\nusage:"},

		{"a file that is not there", []string{"check", "testdata/none.yaml"}, "", 1, "", "tidegate: open testdata/none.yaml:"},
		{"a directory", []string{"check", "testdata"}, "", 1, "", "tidegate: read testdata:"},
		{"no file, to explain", []string{"explain", "testdata/none.yaml"}, "", 1, "", "tidegate: open testdata/none.yaml:"},
		{"too large", []string{"check", "-"}, strings.Repeat("#", 1<<20+1), 1, "", "tidegate: <stdin> is larger than 1 MiB"},
		{"as large as may be", []string{"check", "-"}, strings.Repeat("#", 1<<20), 0, "<stdin> is fine: 0 services\n", ""},

		{"a fine file", []string{"check", "-"}, fine, 0, "<stdin> is fine: 1 service\n", ""},
		{"nothing to be strict about", []string{"check", "-strict", "-"}, fine, 0, "<stdin> is fine: 1 service\n", ""},
		{"an error", []string{"check", "-"}, "servces: {}", 1, "", "<stdin>:1:1: servces: unknown key (did you mean \"services\"?)\n"},
		{"a warning", []string{"check", "-"}, clash, 0, "<stdin> has no errors: 1 service, 1 warning\n", "<stdin>:1:19: warning: services.http: 3 attempts that take up to 10s each"},
		{"a warning, strictly", []string{"check", "-strict", "-"}, clash, 1, "<stdin> has no errors", "<stdin>:1:19: warning"},
		{"a flag behind the file", []string{"check", "-", "-strict"}, clash, 1, "<stdin> has no errors", "<stdin>:1:19: warning"},
		{"a rule that is left out", []string{"check", "-strict", "-ignore", "no_timeout, attempts_do_not_fit", "-"}, clash, 0, "<stdin> is fine: 1 service\n", ""},
		{"another rule", []string{"check", "-strict", "-ignore=no_timeout", "-"}, clash, 1, "<stdin> has no errors", "<stdin>:1:19: warning"},
		{"several files", []string{"check", "testdata/none.yaml", "-"}, fine, 1, "<stdin> is fine: 1 service\n", "tidegate: open testdata/none.yaml:"},
		{"one of several is wrong", []string{"check", "testdata/twice.yaml", "-"}, fine, 1, "<stdin> is fine: 1 service\n", "testdata/twice.yaml:5:3"},
		{"a file that looks like a flag", []string{"check", "--", "-none", "-strict"}, "", 1, "", "...tidegate: open -strict:"},

		{"an explanation", []string{"explain", "-"}, fine, 0, "http\n  fallback ", ""},
		{"of one service", []string{"explain", "-", "git"}, "services: {http: {}, git: {}}", 0, "git\n  fallback ", ""},
		{"of a service that is not there", []string{"explain", "-", "htp"}, fine, 1, "", "tidegate: there is no service \"htp\" (did you mean \"http\"?); there are: http\n"},
		{"of no service", []string{"explain", "-"}, "", 1, "", "tidegate: <stdin> has no services to explain\n"},
		{"of a wrong file", []string{"explain", "-"}, "servces: {}", 1, "", "<stdin>:1:1: servces: unknown key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, out, err := program(row.in, row.args...)
			if status != row.status || !begins(out, row.out) || !begins(err, row.err) {
				t.Errorf("status %d, output\n%s\nerrors\n%s\nwant %d,\n%s\nand\n%s", status, out, err, row.status, row.out, row.err)
			}
		})
	}
}

// begins reports whether text is what a row wants.
func begins(text, want string) bool {
	if inside, ok := strings.CutPrefix(want, "..."); ok {
		return strings.Contains(text, inside)
	}
	return want == "" && text == "" || want != "" && strings.HasPrefix(text, want)
}

// Every command has a help that says what it is called with, and all its flags.
func TestHelpIsComplete(t *testing.T) {
	_, all, _ := program("", "help")
	for _, c := range commands() {
		status, out, _ := program("", "help", c.name)
		if status != 0 || !strings.HasPrefix(out, c.usage()) || !strings.Contains(all, strings.TrimPrefix(strings.TrimSuffix(c.usage(), "\n"), "usage: ")) {
			t.Errorf("%s: the help is\n%s\nand that of the program\n%s", c.name, out, all)
		}
		flags, _ := c.flags()
		flags.VisitAll(func(f *flag.Flag) {
			if !strings.Contains(c.arguments, "-"+f.Name) || !strings.Contains(out, "  -"+f.Name) {
				t.Errorf("%s: -%s is not in its usage or its help", c.name, f.Name)
			}
		})
	}
}

func TestSchemaIsThatOfThePackage(t *testing.T) {
	if status, out, err := program("", "schema"); status != 0 || out != string(tidegate.Schema()) || err != "" {
		t.Errorf("status %d, errors %q, output\n%s", status, err, out)
	}
}

// A full disk does not look like success.
func TestOutputThatCannotBeWritten(t *testing.T) {
	var stderr bytes.Buffer
	status := run([]string{"schema"}, strings.NewReader(""), failingWriter{}, &stderr)
	if want := "tidegate: cannot write the result: full\n"; status != 1 || stderr.String() != want {
		t.Errorf("status %d, errors %q, want %q", status, stderr.String(), want)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("full") }
