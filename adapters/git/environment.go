package git

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inherited reports whether git gets the variable of this process. What belongs
// to another repository, as when this process is run by a hook, would redirect
// the command; traces show credentials and fill the output.
func inherited(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return !slices.Contains(foreign, name) && !strings.HasPrefix(name, "GIT_TRACE")
}

var foreign = []string{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CURL_VERBOSE",
	"GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
	"GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
	"GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
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
	env = append(env, c.config.Env...)
	if cmd.remote != nil && cmd.remote.scheme == "ssh" && !c.hasSSH(ctx, cmd.dir, env) {
		env = append(env, "GIT_SSH_COMMAND="+c.ssh())
	}
	env = append(env,
		"LC_ALL=C", "LANGUAGE=", // the messages are read
		"GIT_ALLOW_PROTOCOL="+strings.Join(c.config.Schemes, ":"),
	)
	return append(env, login...)
}

// hasSSH reports whether the user has chosen how git runs ssh.
func (c *Client) hasSSH(ctx context.Context, dir string, env []string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, "GIT_SSH_COMMAND=") || strings.HasPrefix(v, "GIT_SSH=") {
			return true
		}
	}
	out, err := c.run(ctx, command{dir: dir, args: []string{"config", "--get", "core.sshCommand"}})
	return err == nil && len(bytes.TrimSpace(out)) > 0
}

// ssh returns an ssh that asks nothing and notices a silent peer. How it checks
// host keys is left to the user's own configuration.
func (c *Client) ssh() string {
	command := "ssh -o BatchMode=yes"
	if s := c.stallSeconds(); s > 0 {
		command += fmt.Sprintf(" -o ConnectTimeout=%d -o ServerAliveInterval=%d -o ServerAliveCountMax=3", s, max(1, s/3))
	}
	return command
}
