// Package gogit runs calls of go-git inside a chain of policies: calls that end,
// that never leave half a clone, that repeat only what may be repeated and that
// leak no credentials.
//
//	client := gogit.New(chain, gogit.Config{})
//	repo, err := client.Clone(ctx, "app", false, &git.CloneOptions{URL: "https://example.com/team/app.git"})
//
// Choose it where there is no git executable, as in a distroless image, for
// clones in memory, or for go-git's typed results. It has go-git's limits: no
// LFS, no credential helpers, no partial clone, and its memory grows with the
// size of a pack; a clone that does not end in time is helped by a Depth. Package
// adapters/git, which runs the git command line, has none of them, and has
// operations that are made of several: Sync, CommitAndPush, Submodules.
//
// # Errors
//
// An error is go-git's own value, or a [*middleware.Rejection] when a policy
// refused or ended the call. It is wrapped in two cases only: when the context
// has ended and errors.Is would not find that, and when its text shows a
// credential or is the page of a web server. [KindOf] says what an error means,
// and [Classify] what policies make of it. [Is] and [As] see through go-git's
// errors, of which two have no Unwrap.
//
// # Keys
//
// The key of an operation (see [middleware.Operation]) is the host and port of
// its remote. A remote that is a local path has nothing to protect: its calls do
// not pass the chain.
//
// # Two places for policies
//
// A [Client] has its policies around a whole operation, which it can repeat even
// when a pack was cut in the middle. [NewHTTP] has them around each HTTP request,
// for programs that call go-git directly. One request never passes both: inside
// of a Client that has a chain those of NewHTTP stay out.
//
// # Connections
//
// HTTP and SSH connections end with the context, and SSH ones also when they
// have been silent for [Config.Stall]. go-git gives neither to SSH: its dial
// begins with a context of its own and its handshake has no time limit. Not
// reached are submodules and the connect of a git:// remote, which the operating
// system ends. The file transport of go-git runs the git executable.
package gogit
