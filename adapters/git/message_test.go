package git

import (
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// What was said, and what it means. Each row of the tables has one here.
var said = []struct {
	kind   Kind
	status int
	text   string
}{
	{KindUsage, 0, "git: 'remote-foo' is not a git command. See 'git --help'.\n\nThe most similar command is\n\tremote-ftp"},
	{KindUsage, 0, "error: unknown option `frob'\nusage: git clone [<options>] [--] <repo> [<dir>]"},
	{KindUsage, 0, "error: unknown switch `9'"},
	{KindNoRepository, 0, "fatal: not a git repository (or any of the parent directories): .git"},
	{KindNoRepository, 0, "fatal: not a git repository: '/nowhere'"},
	{KindUsage, 0, "fatal: this operation must be run in a work tree"},
	{KindUsage, 0, "fatal: detected dubious ownership in repository at '/srv/app'\nTo add an exception for this directory, call:\n\n\tgit config --global --add safe.directory /srv/app"},
	{KindUsage, 0, "fatal: invalid refspec 'a b'"},
	{KindUsage, 0, "error: src refspec nope does not match any\nerror: failed to push some refs to '/srv/b.git'"},
	{KindUsage, 0, "fatal: transport 'ext' not allowed"},
	{KindUsage, 0, "fatal: strange hostname '-oProxyCommand=id' blocked"},
	{KindUsage, 0, "fatal: strange pathname '-x' blocked"},
	{KindUsage, 0, "fatal: depth 0 is not a positive number"},
	{KindUsage, 0, "ssh -o BatchMode=yes: 1: ssh: not found\nfatal: Could not read from remote repository."},
	{KindUsage, 0, "bash: line 1: ssh: command not found\nfatal: Could not read from remote repository."},
	{KindUsage, 0, "Author identity unknown\n\n*** Please tell me who you are.\n\nRun\n\n  git config --global user.email \"you@example.com\""},
	{KindUsage, 0, "fatal: empty ident name (for <a@b>) not allowed"},
	{KindUsage, 0, "error: pathspec 'nope' did not match any file(s) known to git"},
	{KindUsage, 0, "fatal: pathspec 'nope' did not match any files"},
	{KindUsage, 0, "fatal: no submodule mapping found in .gitmodules for path 'sub'"},
	{KindUsage, 0, "fatal: No url found for submodule path 'sub' in .gitmodules"},
	{KindDirty, 0, "error: Your local changes to the following files would be overwritten by checkout:\n\tfile\nPlease commit your changes or stash them before you switch branches.\nAborting"},
	{KindDirty, 0, "error: The following untracked working tree files would be overwritten by checkout:\n\tnew\nPlease move or remove them before you switch branches.\nAborting"},
	{KindDirty, 0, "error: your local changes would be overwritten by cherry-pick.\nhint: commit your changes or stash them to proceed.\nfatal: cherry-pick failed"},
	{KindDirty, 0, "error: cannot rebase: You have unstaged changes.\nerror: Please commit or stash them."},
	{KindDirty, 0, "error: cannot pull with rebase: You have unstaged changes.\nerror: please commit or stash them."},
	{KindDirty, 0, "error: cannot rebase: Your index contains uncommitted changes.\nerror: Please commit or stash them."},
	{KindConflict, 0, "Rebasing (1/1)\rerror: could not apply 6ce82c6... two\nhint: Resolve all conflicts manually, mark them as resolved with\nCould not apply 6ce82c6... two"},
	{KindConflict, 0, "Auto-merging file\nCONFLICT (content): Merge conflict in file"},
	{KindConflict, 0, "fatal: You have not concluded your merge (MERGE_HEAD exists).\nPlease, commit your changes before you merge."},
	{KindConflict, 0, "error: Merging is not possible because you have unmerged files.\nhint: Fix them up in the work tree, and then use 'git add/rm <file>'\nhint: as appropriate to mark resolution and make a commit.\nfatal: Exiting because of an unresolved conflict."},
	{KindConflict, 0, "file: needs merge\nerror: you need to resolve your current index first"},
	{KindConflict, 0, "fatal: It seems that there is already a rebase-merge directory, and\nI wonder if you are in the middle of another rebase.  If that is the\ncase, please try"},
	{KindUsage, 0, "error: expected 'link' in submodule path 'link/lib' not to be a symbolic link"},
	{KindTargetExists, 0, "fatal: destination path 'd' already exists and is not an empty directory."},
	{KindHostKey, 0, "Host key verification failed.\nfatal: Could not read from remote repository."},
	{KindHostKey, 0, "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @"},
	{KindHostKey, 0, "Unable to negotiate with 127.0.0.1 port 22: no matching host key type found. Their offer: ssh-ed25519\nfatal: Could not read from remote repository."},
	{KindHostKey, 0, "No ED25519 host key is known for [127.0.0.1]:22 and you have requested strict checking.\nHost key verification failed.\nfatal: Could not read from remote repository."},
	{KindAuth, 0, "fatal: Authentication failed for 'http://example.com/a/'"},
	{KindAuth, 0, "fatal: could not read Username for 'https://example.com': terminal prompts disabled"},
	{KindAuth, 0, "fatal: could not read Password for 'https://***@example.com': terminal prompts disabled"},
	{KindAuth, 0, "git@example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists."},
	{KindAuth, 0, "Load key \"/tmp/tidegate-ssh-1/key\": error in libcrypto\ngit@example.com: Permission denied (publickey)."},
	{KindAuth, 0, "Received disconnect from 127.0.0.1 port 22:2: Too many authentication failures\nDisconnected from 127.0.0.1 port 22\nfatal: Could not read from remote repository."},
	{KindAuth, 0, "remote: HTTP Basic: Access denied\nfatal: the remote end hung up unexpectedly"},
	{KindAuth, 0, "remote: Invalid credentials"},
	{KindAuth, 0, "remote: Invalid username or password.\nfatal: Authentication failed for 'https://example.com/a/'"},
	{KindAuth, 0, "remote: Invalid username or token. Password authentication is not supported for Git operations."},
	{KindAuth, 403, "remote: Permission to ann/app.git denied to bob.\nfatal: unable to access 'https://example.com/a/': The requested URL returned error: 403"},
	{KindAuth, 403, "fatal: unable to access 'http://example.com/403/': The requested URL returned error: 403"},
	{KindAuth, 407, "fatal: unable to access 'http://example.com/a/': The requested URL returned error: 407"},
	{KindTLS, 0, "fatal: unable to access 'https://example.com/a/': server certificate verification failed. CAfile: none CRLfile: none"},
	{KindTLS, 0, "fatal: unable to access 'https://example.com/a/': SSL certificate problem: self-signed certificate"},
	{KindTLS, 0, "fatal: unable to access 'https://example.com/a/': SSL: no alternative certificate subject name matches target host name 'example.com'"},
	{KindTLS, 0, "fatal: unable to access 'https://example.com/a/': SSL: certificate subject name (x) does not match target host name 'example.com'"},
	{KindDisk, 0, "error: copy-fd: write returned: No space left on device\nfatal: cannot copy '/usr/share/a' to '/srv/b': No space left on device"},
	{KindDisk, 0, "fatal: write error: Disk quota exceeded"},
	{KindDisk, 0, "fatal: write error: File too large"},
	{KindDisk, 0, "fatal: could not create work tree dir 'd': Read-only file system"},
	{KindDisk, 0, "fatal: could not create work tree dir 'e/x': Permission denied"},
	{KindDisk, 0, "ssh_askpass: exec(/tmp/tidegate-ssh-1/askpass): Permission denied\ngit@example.com: Permission denied (publickey)."},
	{KindCorrupt, 0, "error: object file .git/objects/fb/699d is empty\nfatal: loose object fb699d (stored in .git/objects/fb/699d) is corrupt\nerror: remote unpack failed: eof before pack header was fully read\n ! [remote rejected] main -> main (unpacker error)"},
	{KindCorrupt, 0, "error: object file .git/objects/fb/699d is empty"},
	{KindCorrupt, 0, "error: fb699d: object corrupt or missing: .git/objects/fb/699d"},
	{KindCorrupt, 0, "fatal: bad object refs/heads/main"},
	{KindCorrupt, 0, "warning: ignoring broken ref\nerror: reference broken"},
	{KindCorrupt, 0, "fatal: .git/index: index file smaller than expected"},
	{KindCorrupt, 0, "error: bad index file sha1 signature\nfatal: index file corrupt"},
	{KindCorrupt, 0, "fatal: bad config line 2 in file .git/config"},
	{KindNotFound, 0, "fatal: repository 'http://example.com/a.git/' not found"},
	{KindNotFound, 0, "fatal: repository '/srv/none.git' does not exist"},
	{KindNotFound, 0, "fatal: '/nope/x' does not appear to be a git repository\nfatal: Could not read from remote repository."},
	{KindNotFound, 0, "fatal: https://example.com/a/info/refs not valid: is this a git repository?"},
	{KindNotFound, 0, "ERROR: Repository not found.\nfatal: Could not read from remote repository."},
	{KindNotFound, 0, "remote: The project you were looking for could not be found or you don't have permission to view it.\nfatal: Could not read from remote repository."},
	{KindNotFound, 410, "fatal: unable to access 'http://example.com/a/': The requested URL returned error: 410"},
	{KindRefMissing, 0, "fatal: couldn't find remote ref nope"},
	{KindRefMissing, 0, "fatal: Remote branch nope not found in upstream origin"},
	{KindRefMissing, 0, "error: unable to delete 'nope': remote ref does not exist\nerror: failed to push some refs to '/srv/b.git'"},
	{KindRefMissing, 0, "fatal: remote error: upload-pack: not our ref 1111\nfatal: the remote end hung up unexpectedly"},
	{KindTooLarge, 0, "remote: fatal: pack exceeds maximum allowed size        \nerror: remote unpack failed: unpack-objects abnormal exit\n ! [remote rejected] HEAD -> w (unpacker error)"},
	{KindTooLarge, 413, "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\nsend-pack: unexpected disconnect while reading sideband packet\nfatal: the remote end hung up unexpectedly"},
	{KindTooLarge, 400, "error: RPC failed; HTTP 400 curl 22 The requested URL returned error: 400"},
	{KindUnknown, 400, "fatal: unable to access 'http://example.com/a/': The requested URL returned error: 400"},
	{KindRejected, 0, " ! [rejected]        HEAD~1 -> main (non-fast-forward)\nerror: failed to push some refs to 'file:///srv/b.git'"},
	{KindRejected, 0, "!\tHEAD:refs/heads/main\t[rejected] (fetch first)\nDone"},
	{KindRejected, 0, "!\trefs/heads/main:refs/heads/new\t[rejected] (stale info)\n!\trefs/heads/main:refs/heads/q\t[rejected] (atomic push failed)\nDone\nfatal: the remote end hung up unexpectedly"},
	{KindRejected, 0, " ! [rejected]        HEAD -> v1 (already exists)"},
	{KindRejected, 0, " ! [rejected]        v1         -> v1  (would clobber existing tag)"},
	{KindRejected, 0, " ! [rejected]        main -> main (atomic push failed)"},
	{KindRejected, 0, "fatal: Not possible to fast-forward, aborting."},
	{KindRemoteLock, 0, "remote: error: cannot lock ref 'refs/heads/k': Unable to create '/srv/k.lock': File exists.        \n!\tHEAD:refs/heads/k\t[remote rejected] (failed to update ref)"},
	{KindRemoteLock, 0, " ! [remote rejected] main -> main (cannot lock ref 'refs/heads/main': is at 11 but expected 22)"},
	{KindServer, 0, "error: remote unpack failed: unpack-objects abnormal exit\n ! [remote rejected] HEAD -> w (unpacker error)"},
	{KindPolicy, 0, "remote: no thanks        \n!\tHEAD:refs/heads/k\t[remote rejected] (pre-receive hook declined)"},
	{KindPolicy, 0, " ! [remote rejected] main -> main (protected branch hook declined)"},
	{KindPolicy, 0, " ! [remote rejected] HEAD -> refs/hidden/x (deny updating a hidden ref)"},

	{KindDNS, 0, "fatal: unable to access 'http://nohost.invalid/x/': Could not resolve host: nohost.invalid"},
	{KindDNS, 0, "ssh: Could not resolve hostname nohost.invalid: Name or service not known\nfatal: Could not read from remote repository."},
	{KindDNS, 0, "fatal: unable to access 'http://example.com/x/': Could not resolve proxy: nohost.invalid"},
	{KindDNS, 0, "fatal: unable to look up nohost.invalid (port 9418) (Name or service not known)"},
	{KindDNS, 0, "getaddrinfo: Name or service not known"},
	{KindDNS, 0, "ssh: getaddrinfo example.com: Temporary failure in name resolution"},
	{KindConnect, 0, "fatal: unable to access 'http://127.0.0.1:1/x/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server"},
	{KindConnect, 0, "fatal: unable to access 'http://127.0.0.1:1/x/': Couldn't connect to server"},
	{KindConnect, 0, "fatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused"},
	{KindConnect, 0, "ssh: connect to host 127.0.0.1 port 1: Connection refused\nfatal: Could not read from remote repository."},
	{KindConnect, 0, "ssh: connect to host example.com port 22: Connection timed out"},
	{KindConnect, 0, "ssh: connect to host example.com port 22: No route to host"},
	{KindConnect, 0, "ssh: connect to host example.com port 22: Network is unreachable"},
	{KindConnect, 0, "kex_exchange_identification: Connection closed by remote host"},
	{KindConnect, 0, "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 127.0.0.1 port 22\nfatal: Could not read from remote repository."},
	{KindConnect, 0, "Connection timed out during banner exchange\nConnection to 127.0.0.1 port 22 timed out\nfatal: Could not read from remote repository."},
	{KindSlow, 0, "fatal: unable to access 'http://example.com/x/': Operation too slow. Less than 1 bytes/sec transferred the last 1 seconds"},
	{KindSlow, 0, "fatal: unable to access 'http://example.com/x/': Operation timed out after 300 milliseconds with 0 bytes received"},
	{KindSlow, 0, "Timeout, server example.com not responding.\nfatal: the remote end hung up unexpectedly"},
	{KindSlow, 0, "Connection to 127.0.0.1 port 22 timed out\nfatal: Could not read from remote repository."},
	{KindLock, 0, "fatal: Unable to create '/srv/c1/.git/index.lock': File exists.\n\nAnother git process seems to be running in this repository, e.g."},
	{KindLock, 0, "error: cannot lock ref 'refs/remotes/origin/main': Unable to create '/srv/main.lock': File exists.\n ! 4f..75  main       -> origin/main  (unable to update local ref)"},
	{KindLock, 0, "Another git process seems to be running in this repository, e.g."},
	{KindLock, 0, "error: cannot lock ref 'refs/remotes/origin/main': is at 11 but expected 22"},
	{KindServer, 0, "fatal: remote error: Internal Server Error"},
	{KindServer, 500, "fatal: unable to access 'http://example.com/a/': The requested URL returned error: 500"},
	{KindServer, 408, "fatal: unable to access 'http://example.com/a/': The requested URL returned error: 408"},
	{KindServer, 503, "error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503\nfatal: the remote end hung up unexpectedly"},
	{KindThrottled, 429, "fatal: unable to access 'http://example.com/a/': The requested URL returned error: 429"},
	{KindThrottled, 403, "remote: You have exceeded a secondary rate limit\nfatal: unable to access 'http://example.com/a/': The requested URL returned error: 403"},
	{KindThrottled, 0, "fatal: remote error: Too many requests, try again later"},
	{KindTransfer, 0, "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\nfatal: fetch-pack: invalid index-pack output"},
	{KindTransfer, 0, "send-pack: unexpected disconnect while reading sideband packet"},
	{KindTransfer, 0, "error: RPC failed; curl 18 transfer closed with outstanding read data remaining"},
	{KindTransfer, 0, "fatal: unable to access 'http://example.com/x/': transfer closed with 966 bytes remaining to read"},
	{KindTransfer, 0, "fatal: unable to access 'http://example.com/x/': Empty reply from server"},
	{KindTransfer, 0, "fatal: the remote end hung up unexpectedly"},
	{KindTransfer, 0, "fatal: fetch-pack: invalid index-pack output"},
	{KindTransfer, 0, "fatal: protocol error: bad pack header"},
	{KindTransfer, 0, "fatal: read error: Connection reset by peer"},
	{KindTransfer, 0, "fatal: unable to access 'http://example.com/x/': Connection was reset"},
	{KindTransfer, 0, "Connection closed by 192.0.2.1 port 22\nfatal: Could not read from remote repository."},
	{KindTransfer, 0, "Connection to 127.0.0.1 closed by remote host.\nfatal: Could not read from remote repository."},
	{KindTransfer, 0, "ssh_dispatch_run_fatal: Connection to 127.0.0.1 port 22: message authentication code incorrect\nfatal: Could not read from remote repository."},
	{KindTransfer, 0, "ssh_dispatch_run_fatal: Connection to 127.0.0.1 port 22: Broken pipe\nfatal: Could not read from remote repository."},
	{KindTransfer, 0, "fatal: write error: Broken pipe"},
	{KindTransfer, 0, "fatal: unable to access 'http://example.com/x/': Recv failure: Operation not permitted"},
	{KindTransfer, 0, "fatal: unable to access 'http://example.com/x/': Send failure: Operation not permitted"},
	{KindTransfer, 0, "fatal: unable to access 'https://example.com/x/': gnutls_handshake() failed: Error in the pull function."},
	{KindTransfer, 0, "fatal: unable to access 'https://example.com/x/': GnuTLS recv error (-54): Error in the pull function."},
	{KindTransfer, 0, "fatal: unable to access 'https://example.com/x/': OpenSSL SSL_read: SSL_ERROR_SYSCALL, errno 104"},
	{KindTransfer, 0, "fatal: unable to access 'https://example.com/x/': unexpected EOF"},
	{KindTransfer, 0, "fatal: unable to access 'https://example.com/x/': HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)"},
	{KindTransfer, 0, "fatal: unable to access 'https://example.com/x/': Error in the HTTP2 framing layer"},

	// Ambiguous or meant for people.
	{KindUnknown, 0, "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists."},
	{KindUnknown, 0, ""},
	{KindUnknown, 0, "hint: Updates were rejected because of an early EOF"},

	// Names that read like messages, and a remote that says what git would.
	{KindServer, 503, "Cloning into 'early EOF'...\nfatal: unable to access 'http://example.com/repository not found/': The requested URL returned error: 503"},
	{KindTransfer, 0, "Cloning into 'no space left on device'...\nfatal: early EOF"},
	{KindUnknown, 0, "remote: could not resolve host, no space left on device: The requested URL returned error: 503"},
	{KindPolicy, 0, "remote: fatal: could not resolve host, [rejected] (stale info), early eof\n!\tHEAD:refs/heads/k\t[remote rejected] (pre-receive hook declined)"},
}

func TestMessages(t *testing.T) {
	used := map[string]bool{}
	for _, row := range said {
		d := diagnose(128, strings.Split(row.text, "\n"))
		if d.kind != row.kind || d.status != row.status {
			t.Errorf("got %s %d, want %s %d: %s", d.kind, d.status, row.kind, row.status, row.text)
		}
		// What comes along when a connection ends, or begins, changes nothing lasting.
		if r := rules[row.kind]; row.text != "" && !r.retry && row.kind != KindUnknown {
			for _, text := range []string{"fatal: the remote end hung up unexpectedly\n" + row.text, row.text + "\nfatal: early EOF\nssh: connection refused"} {
				if got := diagnose(128, strings.Split(text, "\n")).kind; got != row.kind {
					t.Errorf("got %s, want %s: %s", got, row.kind, text)
				}
			}
		}
		for line := range strings.SplitSeq(row.text, "\n") {
			s := read(line)
			for _, table := range [][]message{lasting, busy, passing} {
				for _, m := range table {
					if m.kind == row.kind && m.matches(s) {
						used[m.text] = true
					}
				}
			}
		}
	}
	for _, table := range [][]message{lasting, busy, passing} {
		for _, m := range table {
			if !used[m.text] {
				t.Errorf("no test says %q", m.text)
			}
			if _, ok := rules[m.kind]; !ok {
				t.Errorf("%q has the kind %q, which has no rule", m.text, m.kind)
			}
			if m.seen != v2_39 && m.seen != ssh9 && m.seen != lists || m.text != strings.ToLower(m.text) {
				t.Errorf("the row %+v is not well formed", m)
			}
		}
	}
	if d := diagnose(129, []string{"usage: git frob"}); d.kind != KindUsage {
		t.Errorf("the exit status 129 is %s", d.kind)
	}
}

// What this git says now, when it can be made to say it without a server.
func TestMessagesOfThisGit(t *testing.T) {
	repository := gittest.NewRepository(t)
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	for _, row := range []struct {
		kind Kind
		args []string
	}{
		{KindConnect, []string{"ls-remote", "http://127.0.0.1:1/x"}},
		{KindConnect, []string{"ls-remote", "git://127.0.0.1:1/x"}},
		{KindTLS, []string{"ls-remote", tls.URL + "/x"}},
		{KindNotFound, []string{"ls-remote", "file:///nope/x"}},
		{KindNotFound, []string{"clone", "/nope/x", filepath.Join(t.TempDir(), "x")}},
		{KindRefMissing, []string{"clone", "-b", "nope", repository, filepath.Join(t.TempDir(), "x")}},
		{KindRefMissing, []string{"fetch", repository, "nope"}},
		{KindTargetExists, []string{"clone", repository, repository}},
		{KindUsage, []string{"ls-remote", "foo://x/y"}},
		{KindUsage, []string{"ls-remote", "ext::id"}},
		{KindUsage, []string{"frob"}},
		{KindUsage, []string{"fetch", "--frob"}},
		{KindUsage, []string{"push", repository, "nope"}},
		{KindUsage, []string{"fetch", repository, "a b"}},
	} {
		cmd := exec.CommandContext(bounded(t), "git", row.args...)
		cmd.Dir = repository
		cmd.Env = append(cmd.Environ(), "LC_ALL=C", "LANGUAGE=")
		_, err := cmd.Output() // which keeps the end of stderr in the error
		if kind := KindOf(err); kind != row.kind {
			t.Errorf("git %q: got %s, want %s: %v", row.args, kind, row.kind, err)
		}
	}
}

// What this git says of a work tree, each time in a repository of its own: main
// and side have changed the same file, and side has a new one.
func TestMessagesOfThisGitInAWorkTree(t *testing.T) {
	for _, row := range []struct {
		name   string
		kind   Kind
		before [][]string // commands of git, which may fail, or a file to write
		args   []string
	}{
		{"no identity", KindUsage, nil, []string{"-c", "user.useConfigOnly=true", "commit", "--allow-empty", "-m", "x"}},
		{"no name", KindUsage, nil, []string{"-c", "user.name=", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "x"}},
		{"no such branch", KindUsage, nil, []string{"checkout", "nope"}},
		{"no such file", KindUsage, nil, []string{"add", "nope"}},
		{"a submodule that nobody described", KindUsage, [][]string{{"clone", "-q", ".", "sub"}, {"add", "sub"}}, []string{"submodule", "status"}},
		{"a submodule without a URL", KindUsage, [][]string{{"clone", "-q", ".", "sub"}, {"add", "sub"}}, []string{"submodule", "update", "--init"}},
		{"a change in the way", KindDirty, [][]string{{"write", "file"}}, []string{"checkout", "side"}},
		{"a new file in the way", KindDirty, [][]string{{"write", "new"}}, []string{"checkout", "side"}},
		{"a change in the way of a rebase", KindDirty, [][]string{{"write", "file"}}, []string{"rebase", "side"}},
		{"a change in the way of a pull", KindDirty, [][]string{{"write", "file"}}, []string{"pull", "--rebase", ".", "side"}},
		{"a change in the index", KindDirty, [][]string{{"write", "file"}, {"add", "file"}}, []string{"rebase", "side"}},
		{"a change in the way of a cherry-pick", KindDirty, [][]string{{"write", "file"}, {"add", "file"}}, []string{"cherry-pick", "side"}},
		{"a rebase", KindConflict, nil, []string{"rebase", "side"}},
		{"a cherry-pick", KindConflict, nil, []string{"cherry-pick", "side"}},
		{"in the middle of a rebase", KindConflict, [][]string{{"rebase", "side"}}, []string{"rebase", "side"}},
		{"in the middle of a merge", KindConflict, [][]string{{"merge", "side"}}, []string{"merge", "side"}},
		{"a checkout in the middle of a merge", KindConflict, [][]string{{"merge", "side"}}, []string{"checkout", "side"}},
		{"at the end of a merge", KindConflict, [][]string{{"merge", "side"}, {"write", "file"}, {"add", "file"}}, []string{"merge", "side"}},
		{"no fast-forward", KindRejected, nil, []string{"merge", "--ff-only", "side"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := gittest.NewRepository(t)
			gittest.Git(t, dir, "checkout", "-q", "-b", "side")
			write := func(name string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(row.name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("new")
			gittest.Git(t, dir, "add", "new")
			gittest.Commit(t, dir, "theirs")
			gittest.Git(t, dir, "checkout", "-q", "main")
			gittest.Commit(t, dir, "ours")
			run := func(args ...string) error {
				cmd := exec.CommandContext(bounded(t), "git", args...)
				cmd.Dir = dir
				cmd.Env = append(cmd.Environ(), "LC_ALL=C", "LANGUAGE=")
				if row.kind == KindUsage && args[0] == "-c" { // the identity of the tests
					cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool {
						return strings.HasPrefix(v, "GIT_AUTHOR_") || strings.HasPrefix(v, "GIT_COMMITTER_")
					})
				}
				_, err := cmd.Output()
				return err
			}
			for _, args := range row.before {
				if args[0] == "write" {
					write(args[1])
					continue
				}
				_ = run(args...)
			}
			err := run(row.args...)
			exit := &exec.ExitError{}
			errors.As(err, &exit)
			if kind := KindOf(err); kind != row.kind {
				t.Errorf("git %q: got %s, want %s: %v\n%s", row.args, kind, row.kind, err, exit.Stderr)
			}
		})
	}
}

func FuzzMessages(f *testing.F) {
	for _, row := range said {
		f.Add(128, row.text)
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		var stderr transcript
		stderr.Write([]byte(text))
		stderr.end()
		lines := stderr.lines()
		d := diagnose(code, lines)
		r, ok := rules[d.kind]
		if !ok {
			t.Fatalf("the kind %q has no rule", d.kind)
		}
		if d.status != 0 && (d.status < 100 || d.status > 999) {
			t.Errorf("the status is %d", d.status)
		}
		if r.retry {
			return
		}
		// What lasts is not taken for what may pass when the connection ends too.
		if more := diagnose(code, append(lines, "fatal: the remote end hung up unexpectedly")); d.kind != KindUnknown && code != 129 && more.kind != d.kind {
			t.Errorf("%s becomes %s", d.kind, more.kind)
		}
	})
}
