// Package git runs the git command line inside a chain of policies: calls that
// end, that never leave half a clone, that repeat only what may be repeated and
// that leak no credentials. It needs a git executable, 2.31 or newer, and the
// standard library.
//
//	client, err := git.New(chain, git.Config{})
//	cloned, err := client.Clone(ctx, "https://example.com/team/app.git", "app", git.CloneOptions{Depth: 1})
//
// # Verdicts
//
// Every failure is an [*Error] with a [Kind], found from git's exit status and
// messages. Its verdict is the same for all policies: a host that cannot be
// reached is a failure and may be repeated; a repository that does not exist is
// not, and opens no breaker. [Classify] judges the errors of functions of your
// own, and [Client.Do] runs them.
//
// The key of an operation (see [middleware.Operation]) is the host and port of
// its remote. A remote that is a local path has nothing to protect: its calls do
// not pass the chain.
//
// # Processes
//
// Each git process and its helpers form a process group. When the context ends,
// the group gets SIGTERM, after [Config.Grace] SIGKILL, and the call returns when
// the group is gone. On systems without process groups only git itself is
// killed, and its helpers may live on until their connection ends.
//
// # Safety
//
// Arguments never pass a shell, and no URL, ref or path can become an option or
// name a program to run. Only the allowed schemes are used, also in redirects
// and submodules. Credentials are handed to git in its environment, scoped to
// the host, and stand in no argument, configuration or error.
package git
