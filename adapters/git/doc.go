// Package git runs the git command line inside a chain of policies: calls that
// end, that never leave half a clone, that repeat only what may be repeated and
// that leak no credentials. It needs a git executable, 2.31 or newer, and the
// standard library.
//
//	client, err := git.New(chain, git.Config{})
//	synced, err := client.Sync(ctx, "https://example.com/team/app.git", "app", "main")
//
// # Operations
//
//	method          passes the chain as         again after a failure
//	LsRemote        ls-remote                   yes
//	Clone           clone                       yes, each time into a new directory
//	Fetch           fetch                       yes, after its locks and half packs are removed
//	Push            push                        yes, of the same objects; a lost answer is found out
//	Pull            fetch                       the fetch; what follows only while another git holds a lock
//	Sync            ls-remote, fetch            yes
//	CommitAndPush   push, fetch                 yes, but the commit is made once
//	Submodules      submodules, one for each    yes
//	Checkout, Run   -                           a checkout, while another git holds a lock
//	Do              what you say                if you say so
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
// its remote; to tell repositories of one host apart, give each a client with a
// chain of its own. A remote that is a local path has nothing to protect: its calls
// do not pass the chain.
//
// # Processes
//
// Each git process and its helpers form a process group. When the context ends,
// the group gets SIGTERM, after [Config.Grace] SIGKILL, and the call returns when
// the group is gone. Locks and half packs that a killed git leaves in a repository
// are removed, but none that was there before, or whose owner may be alive on this
// machine. Other systems than Linux do not tell: there locks stay, and half packs
// go even while another git writes them, which then fails. A git in another
// container, or on another machine that shares the disk, is not seen: give each a
// directory of its own. On systems without process groups only git itself is
// killed, and its helpers may live on until their connection ends.
//
// One call of this process writes to a repository at a time, and a function that a
// call waits for, such as [Config.Progress], must not make another that writes to
// the same one. Git's own clean-up, which would go on after the call, is switched
// off: run "gc" with [Client.Run] now and then where a program fetches for a long
// time. Two weeks later that also removes half packs that had to stay.
//
// # Safety
//
// Arguments never pass a shell, and no URL, ref or path can become an option or
// name a program to run. Only the allowed schemes are used, also in redirects
// and submodules. Hooks of repositories and what core.fsmonitor names do not run
// unless [Config.Hooks] is set. Other programs that git's configuration names, such
// as filters, merge drivers and ssh, do: the user's own, and those that .git/config
// of the directory names. No clone brings any, but whoever can write to the
// directory can.
//
// Credentials are handed to git in its environment, scoped to the host, and stand
// in no argument, configuration or error. An SSH key is in a file of its own as
// long as git runs.
package git
