package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variables are environment variables, as "KEY=value". When they are printed or
// logged they show their names alone.
type Variables []string

// Format implements [fmt.Formatter].
func (v Variables) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.shown())) }

// MarshalText implements [encoding.TextMarshaler].
func (v Variables) MarshalText() ([]byte, error) { return []byte(v.shown()), nil }

func (v Variables) shown() string {
	shown := make([]string, 0, len(v))
	for _, variable := range v {
		name, _, ok := strings.Cut(variable, "=")
		if !ok {
			name = ""
		}
		shown = append(shown, name+"="+mark)
	}
	return strings.Join(shown, " ")
}

// inherited reports whether git gets the variable of this process. What belongs
// to another repository, as when this process is run by a hook, would redirect
// the command; traces show credentials and fill the output.
func inherited(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return !slices.Contains(foreign, name) && !strings.HasPrefix(name, "GIT_TRACE")
}

var foreign = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS",
	"GIT_CURL_VERBOSE", "GIT_DIR", "GIT_GLOB_PATHSPECS", "GIT_GRAFT_FILE", "GIT_ICASE_PATHSPECS",
	"GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_LITERAL_PATHSPECS",
	"GIT_NAMESPACE", "GIT_NOGLOB_PATHSPECS", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
	"GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
}

// environment returns the variables of git; of two with one name the later wins.
func (c *Client) environment(ctx context.Context, cmd command, login []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return !inherited(v) })
	env = append(env,
		// Nobody is there to answer.
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GCM_INTERACTIVE=never",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_PROTOCOL_FROM_USER=0",
	)
	if cmd.dir == "" {
		env = append(env, "GIT_DIR="+os.DevNull) // not the repository that this process is in
	} else {
		env = append(env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(cmd.dir)) // not one that dir is in
	}
	env = append(append(env, c.config.Env...), cmd.env...)
	if cmd.remote != nil && cmd.remote.scheme == "ssh" && c.config.SSH == (SSH{}) && !c.hasSSH(ctx, cmd.dir, env) {
		env = append(env, "GIT_SSH_COMMAND="+c.ssh(), "GIT_SSH_VARIANT=ssh")
	}
	allowed := strings.Join(c.config.Schemes, ":")
	if cmd.offline {
		allowed = "" // for a git that does not know the variable
		env = append(env, "GIT_NO_LAZY_FETCH=1")
	}
	env = append(env,
		"LC_ALL=C", "LANGUAGE=", // the messages are read
		"GIT_ALLOW_PROTOCOL="+allowed,
	)
	return append(env, login...)
}
