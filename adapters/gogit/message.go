package gogit

import (
	"errors"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// A message is a text of which go-git makes an error, or passes on, without a
// type or value to tell it by. All are of v5.19.3.
type message struct {
	text string // in lower case; * stands for anything
	kind Kind
}

// The first row that matches decides. What will not change comes before what may
// pass.
var messages = []message{
	{"invalid endpoint", KindUsage},
	{"unsupported scheme", KindUsage},
	{"expected underlying client transport to be of type", KindUsage},
	{"malformed refspec", KindUsage},
	{"wildcards not supported in requireremoterefs", KindUsage},

	{"ssh: host key mismatch", KindHostKey},
	{"knownhosts: ", KindHostKey},

	{"unable to authenticate", KindAuth},
	{"error creating ssh agent", KindAuth},
	{"permission denied", KindAuth},

	{"not our ref", KindRefMissing},
	{"couldn't find remote ref", KindRefMissing},

	{"non-fast-forward update", KindRejected},
	{"remote ref * required to be", KindRejected},
	{"could not resolve ref * in requireremoterefs", KindRejected},

	// Of what the remote rejects, this may pass and the rest will not.
	{"command error on *: failed to update ref", KindRemoteLock},
	{"command error on *cannot lock", KindRemoteLock},
	{"command error on *: unpacker error", KindServer},
	{"command error on *: non-fast-forward", KindRejected},
	{"command error on *: fetch first", KindRejected},
	{"command error on *: stale info", KindRejected},
	{"command error on *: atomic", KindRejected},
	{"command error", KindPolicy},
	{"unpack error: *exceeds", KindTooLarge},
	{"unpack error", KindServer},

	{"cannot lock", KindLock},
	{"reference has changed concurrently", KindLock},

	{"rate limit", KindThrottled},
	{"too many requests", KindThrottled},

	{"internal server error", KindServer},
	{"unexpected eof", KindTransfer},
	{"ssh: handshake failed: eof", KindTransfer},
	{"ssh: handshake failed: read", KindTransfer},
	{"connection reset", KindTransfer},
	{"connection lost", KindTransfer},
	{"missing flush", KindTransfer},
	{"malformed unpack status", KindTransfer},
	{"premature flush", KindTransfer},
	{"invalid pkt-len found", KindTransfer},
	{"empty input", KindTransfer},
	{"zlib: ", KindTransfer},
	{"error decoding upload-pack response", KindTransfer},
	{"sending upload-req message", KindTransfer},
	{"sending haves message", KindTransfer},
	{"sending done message", KindTransfer},
	{"http2: server sent goaway", KindTransfer},
	{"stream error: stream id", KindTransfer},
	{"server closed idle connection", KindTransfer},
	{"timeout exceeded", KindSlow},
}

func kindOfText(err error) Kind {
	text := said(err)
	for _, m := range messages {
		if m.matches(text) {
			return m.kind
		}
	}
	return KindUnknown
}

// said returns the text of err in lower case, as it was before it was made ready
// to be shown.
func said(err error) string {
	if shown, ok := errors.AsType[*cleaned](err); ok {
		err = shown.error
	}
	return strings.ToLower(textOf(err))
}

func (m message) matches(text string) bool {
	for part := range strings.SplitSeq(m.text, "*") {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// busy reports whether a host says with its 403 that there were too many
// requests. What follows go-git's own words is the page of the host.
func busy(err error) bool {
	_, page, _ := strings.Cut(said(err), transport.ErrAuthorizationFailed.Error())
	return strings.Contains(page, "rate limit") || strings.Contains(page, "too many requests")
}
