package git

import (
	"regexp"
	"strconv"
	"strings"
)

// A message is what git, ssh or a host says when something goes wrong.
type message struct {
	text   string // in lower case; * stands for anything; quoted names are left out: ''
	kind   Kind
	seen   string // the version of git or ssh that was seen to say it, or where it is known from
	remote bool   // the remote says it, in a line of its own
}

const (
	v2_39 = "2.39.5"
	ssh9  = "OpenSSH 9.2"
	lists = "public lists"
)

// The messages are in two tables, and the first row that any line matches
// decides. What will not change comes before what may pass: a login that failed
// is often followed by a connection that the other side closes. An HTTP status
// stands between the two.
var lasting = []message{
	{text: "'' is not a git command", kind: KindUsage, seen: v2_39},
	{text: "unknown option", kind: KindUsage, seen: v2_39},
	{text: "unknown switch", kind: KindUsage, seen: v2_39},
	{text: "not a git repository (or any", kind: KindNoRepository, seen: v2_39},
	{text: "not a git repository: ''", kind: KindNoRepository, seen: v2_39},
	{text: "this operation must be run in a work tree", kind: KindUsage, seen: v2_39},
	{text: "dubious ownership in repository", kind: KindUsage, seen: v2_39},
	{text: "invalid refspec ''", kind: KindUsage, seen: v2_39},
	{text: "src refspec * does not match any", kind: KindUsage, seen: v2_39},
	{text: "transport '' not allowed", kind: KindUsage, seen: v2_39},
	{text: "strange hostname '' blocked", kind: KindUsage, seen: v2_39},
	{text: "strange pathname '' blocked", kind: KindUsage, seen: v2_39},
	{text: "is not a positive number", kind: KindUsage, seen: v2_39},

	{text: "please tell me who you are", kind: KindUsage, seen: v2_39},
	{text: "empty ident name", kind: KindUsage, seen: v2_39},
	{text: "pathspec '' did not match any file", kind: KindUsage, seen: v2_39},
	{text: "no submodule mapping found", kind: KindUsage, seen: v2_39},
	{text: "no url found for submodule", kind: KindUsage, seen: v2_39},
	{text: "in submodule path '' not to be a symbolic link", kind: KindUsage, seen: v2_39},

	{text: "would be overwritten by", kind: KindDirty, seen: v2_39},
	{text: "you have unstaged changes", kind: KindDirty, seen: v2_39},
	{text: "your index contains uncommitted changes", kind: KindDirty, seen: v2_39},
	{text: "could not apply ", kind: KindConflict, seen: v2_39},
	{text: "conflict (", kind: KindConflict, seen: v2_39},
	{text: "you have not concluded your merge", kind: KindConflict, seen: v2_39},
	{text: "because of an unresolved conflict", kind: KindConflict, seen: v2_39},
	{text: "resolve your current index first", kind: KindConflict, seen: v2_39},
	{text: "already a rebase-* directory", kind: KindConflict, seen: v2_39},

	{text: "already exists and is not an empty directory", kind: KindTargetExists, seen: v2_39},

	{text: "ssh: not found", kind: KindUsage, seen: lists},
	{text: "ssh: command not found", kind: KindUsage, seen: lists},
	{text: "host key verification failed", kind: KindHostKey, seen: ssh9},
	{text: "remote host identification has changed", kind: KindHostKey, seen: ssh9},
	{text: "no matching host key type found", kind: KindHostKey, seen: ssh9},

	{text: "ssh_askpass: exec(", kind: KindDisk, seen: ssh9},
	{text: "authentication failed for ''", kind: KindAuth, seen: v2_39},
	{text: "could not read username for ''", kind: KindAuth, seen: v2_39},
	{text: "could not read password for ''", kind: KindAuth, seen: v2_39},
	{text: "permission denied (", kind: KindAuth, seen: ssh9},
	{text: "too many authentication failures", kind: KindAuth, seen: ssh9},
	{text: "access denied", kind: KindAuth, seen: lists, remote: true},
	{text: "invalid credentials", kind: KindAuth, seen: lists, remote: true},
	{text: "invalid username or password", kind: KindAuth, seen: lists, remote: true},
	{text: "invalid username or token", kind: KindAuth, seen: lists, remote: true},
	{text: "permission to * denied to", kind: KindAuth, seen: lists, remote: true},

	{text: "server certificate verification failed", kind: KindTLS, seen: v2_39},
	{text: "ssl certificate problem", kind: KindTLS, seen: lists},
	{text: "no alternative certificate subject name matches", kind: KindTLS, seen: lists},
	{text: "certificate subject name * does not match", kind: KindTLS, seen: lists},

	{text: "no space left on device", kind: KindDisk, seen: v2_39},
	{text: "disk quota exceeded", kind: KindDisk, seen: lists},
	{text: "file too large", kind: KindDisk, seen: v2_39},
	{text: "read-only file system", kind: KindDisk, seen: lists},
	{text: ": permission denied", kind: KindDisk, seen: v2_39},

	{text: "loose object * is corrupt", kind: KindCorrupt, seen: v2_39},
	{text: "object file * is empty", kind: KindCorrupt, seen: v2_39},
	{text: "object corrupt or missing", kind: KindCorrupt, seen: v2_39},
	{text: "bad object", kind: KindCorrupt, seen: lists},
	{text: "reference broken", kind: KindCorrupt, seen: lists},
	{text: "index file smaller than expected", kind: KindCorrupt, seen: v2_39},
	{text: "index file corrupt", kind: KindCorrupt, seen: v2_39},
	{text: "bad config line * in file .git/config", kind: KindCorrupt, seen: v2_39},

	{text: "repository '' not found", kind: KindNotFound, seen: v2_39},
	{text: "repository '' does not exist", kind: KindNotFound, seen: v2_39},
	{text: "does not appear to be a git repository", kind: KindNotFound, seen: v2_39},
	{text: "not valid: is this a git repository", kind: KindNotFound, seen: v2_39},
	{text: "repository not found", kind: KindNotFound, seen: lists, remote: true},
	{text: "could not be found", kind: KindNotFound, seen: lists, remote: true},

	{text: "couldn't find remote ref", kind: KindRefMissing, seen: v2_39},
	{text: "remote branch * not found in upstream", kind: KindRefMissing, seen: v2_39},
	{text: "remote ref does not exist", kind: KindRefMissing, seen: v2_39},
	{text: "not our ref", kind: KindRefMissing, seen: v2_39, remote: true},

	{text: "pack exceeds maximum allowed size", kind: KindTooLarge, seen: v2_39, remote: true},

	{text: "[rejected]*(non-fast-forward)", kind: KindRejected, seen: v2_39},
	{text: "[rejected]*(fetch first)", kind: KindRejected, seen: v2_39},
	{text: "[rejected]*(stale info)", kind: KindRejected, seen: v2_39},
	{text: "[rejected]*(already exists)", kind: KindRejected, seen: v2_39},
	{text: "[rejected]*(would clobber existing tag)", kind: KindRejected, seen: v2_39},
	{text: "[rejected]", kind: KindRejected, seen: v2_39},
	{text: "not possible to fast-forward", kind: KindRejected, seen: v2_39},

	// Of what the remote rejects, this may pass and the rest will not.
	{text: "[remote rejected]*(failed to update ref)", kind: KindRemoteLock, seen: v2_39},
	{text: "[remote rejected]*cannot lock ref", kind: KindRemoteLock, seen: lists},
	{text: "[remote rejected]*(unpacker error)", kind: KindServer, seen: v2_39},
	{text: "[remote rejected]", kind: KindPolicy, seen: v2_39},
}

var passing = []message{
	{text: "could not resolve host", kind: KindDNS, seen: v2_39},
	{text: "could not resolve proxy", kind: KindDNS, seen: lists},
	{text: "unable to look up", kind: KindDNS, seen: v2_39},
	{text: "name or service not known", kind: KindDNS, seen: v2_39},
	{text: "temporary failure in name resolution", kind: KindDNS, seen: lists},

	{text: "failed to connect to", kind: KindConnect, seen: v2_39},
	{text: "couldn't connect to server", kind: KindConnect, seen: v2_39},
	{text: "unable to connect to", kind: KindConnect, seen: v2_39},
	{text: "connection refused", kind: KindConnect, seen: v2_39},
	{text: "connection timed out", kind: KindConnect, seen: ssh9},
	{text: "no route to host", kind: KindConnect, seen: lists},
	{text: "network is unreachable", kind: KindConnect, seen: lists},
	{text: "kex_exchange_identification", kind: KindConnect, seen: ssh9},

	{text: "operation too slow", kind: KindSlow, seen: v2_39},
	{text: "operation timed out", kind: KindSlow, seen: lists},
	{text: "connection to * port * timed out", kind: KindSlow, seen: ssh9},
	{text: "timeout, server * not responding", kind: KindSlow, seen: ssh9},

	{text: "unable to create ''*file exists", kind: KindLock, seen: v2_39},
	{text: "another git process seems to be running", kind: KindLock, seen: v2_39},
	{text: "cannot lock ref ''*but expected", kind: KindLock, seen: lists},

	{text: "internal server error", kind: KindServer, seen: lists, remote: true},

	{text: "early eof", kind: KindTransfer, seen: v2_39},
	{text: "unexpected disconnect", kind: KindTransfer, seen: v2_39},
	{text: "rpc failed", kind: KindTransfer, seen: v2_39},
	{text: "transfer closed with", kind: KindTransfer, seen: v2_39},
	{text: "empty reply from server", kind: KindTransfer, seen: v2_39},
	{text: "the remote end hung up", kind: KindTransfer, seen: v2_39},
	{text: "invalid index-pack output", kind: KindTransfer, seen: v2_39},
	{text: "bad pack header", kind: KindTransfer, seen: lists},
	{text: "connection reset", kind: KindTransfer, seen: lists},
	{text: "connection was reset", kind: KindTransfer, seen: lists},
	{text: "connection to * closed by remote host", kind: KindTransfer, seen: ssh9},
	{text: "message authentication code incorrect", kind: KindTransfer, seen: ssh9},
	{text: "connection closed by", kind: KindTransfer, seen: ssh9},
	{text: "broken pipe", kind: KindTransfer, seen: ssh9},
	{text: "recv failure", kind: KindTransfer, seen: lists},
	{text: "send failure", kind: KindTransfer, seen: lists},
	{text: "gnutls_handshake() failed", kind: KindTransfer, seen: lists},
	{text: "gnutls recv error", kind: KindTransfer, seen: lists},
	{text: "openssl ssl_", kind: KindTransfer, seen: lists},
	{text: "unexpected eof", kind: KindTransfer, seen: lists},
	{text: "http/2 stream", kind: KindTransfer, seen: lists},
	{text: "http2 framing layer", kind: KindTransfer, seen: lists},
}

// busy goes before the status: some hosts say it with a 403.
var busy = []message{
	{text: "rate limit", kind: KindThrottled, seen: lists, remote: true},
	{text: "too many requests", kind: KindThrottled, seen: lists, remote: true},
}

// A diagnosis is what the messages of a failed command mean.
type diagnosis struct {
	kind   Kind
	status int
	line   string // the line that says so
}

// diagnose reads the lines that git wrote before it ended with the exit status
// code.
func diagnose(code int, lines []string) diagnosis {
	said := make([]statement, 0, len(lines))
	var d diagnosis
	var answer statement
	for _, l := range lines {
		s := read(l)
		if s.text == "" {
			continue
		}
		if s.status != 0 {
			d.status, answer = s.status, s
		}
		said = append(said, s)
	}
	if d.find(lasting, said) || d.find(busy, said) {
		return d
	}
	if kind := answer.kind(); kind != "" {
		d.kind, d.line = kind, answer.line
		return d
	}
	if d.find(passing, said) {
		return d
	}
	d.kind = KindUnknown
	if code == 129 {
		d.kind = KindUsage
	}
	return d
}

func (d *diagnosis) find(messages []message, said []statement) bool {
	for _, m := range messages {
		for _, s := range said {
			if m.matches(s) {
				d.kind, d.line = m.kind, s.line
				return true
			}
		}
	}
	return false
}

func (m message) matches(s statement) bool {
	if s.remote && !m.remote {
		return false
	}
	rest := s.text
	for part := range strings.SplitSeq(m.text, "*") {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}

// A statement is one line of git's, made ready to be matched.
type statement struct {
	line   string // as it is
	text   string // in lower case, without what is quoted
	remote bool   // the remote said it, and may say anything
	status int
}

var (
	// A name in quotes, which may read like a message itself; not an apostrophe.
	quoted = regexp.MustCompile(`(^|[\s(=])'[^']*'`)
	status = regexp.MustCompile(`returned error: (\d{3})\b|rpc failed; http (\d{3})\b`)
)

func read(line string) statement {
	line = strings.TrimSpace(line)
	s := statement{line: line, text: strings.ToLower(line)}
	if strings.HasPrefix(s.text, "cloning into") || strings.HasPrefix(s.text, "hint:") {
		return statement{}
	}
	s.text = quoted.ReplaceAllString(s.text, "$1''")
	s.remote = strings.HasPrefix(s.text, "remote:") || strings.HasPrefix(s.text, "fatal: remote error:")
	if m := status.FindStringSubmatch(s.text); m != nil && !s.remote {
		s.status, _ = strconv.Atoi(m[1] + m[2])
	}
	return s
}

// kind returns the kind that the HTTP status says, if any.
func (s statement) kind() Kind {
	switch {
	case s.status == 408, s.status >= 500:
		return KindServer
	case s.status == 429:
		return KindThrottled
	case s.status == 413, s.status == 400 && strings.Contains(s.text, "rpc failed"):
		return KindTooLarge
	case s.status == 401, s.status == 403, s.status == 407:
		return KindAuth
	case s.status == 404, s.status == 410:
		return KindNotFound
	case s.status >= 400:
		return KindUnknown
	default:
		return ""
	}
}
