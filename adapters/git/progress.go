package git

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// Progress is how far git has come in one phase of a clone, a fetch or a push.
type Progress struct {
	// Op is what the client was asked for, such as "clone".
	Op string
	// Phase is what git calls it, such as "Receiving objects", "Resolving deltas"
	// or "Updating files".
	Phase string
	// Remote says that the server is at it.
	Remote bool
	// Done of Total things are done. Total is 0, and Percent -1, as long as git
	// does not know it.
	Done, Total int64
	Percent     int
	// Bytes is what has been transferred in this phase, as git rounds it: to a
	// hundredth of the unit that it uses.
	Bytes int64
}

// progressLine matches what git writes, a line over the other: "Receiving objects:
// 12% (3/25), 1.50 MiB | 3.00 MiB/s".
var progressLine = regexp.MustCompile(`^(remote: )?([A-Z][a-z]+(?: [a-z]+){1,3}): +(?:(\d+)% \((\d+)/(\d+)\)|(\d+))(?:, (\d+(?:\.\d+)?) (bytes?|[KMG]iB)(?: \|.*)?)?(?:, done\.)?\s*$`)

var units = map[string]float64{"byte": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// parseProgress reads a line of progress.
func parseProgress(line string) (p Progress, ok bool) {
	m := progressLine.FindStringSubmatch(line)
	if m == nil {
		return Progress{}, false
	}
	p = Progress{Phase: m[2], Remote: m[1] != "", Percent: -1}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		ok = ok && err == nil
		return n
	}
	ok = true
	if m[6] != "" {
		p.Done = number(m[6])
	} else {
		p.Percent, p.Done, p.Total = int(number(m[3])), number(m[4]), number(m[5])
	}
	if m[7] != "" {
		size, err := strconv.ParseFloat(m[7], 64)
		ok = ok && err == nil && size < 1<<32
		p.Bytes = int64(size * units[m[8]])
	}
	return p, ok && p.Percent <= 100 && (p.Percent < 0 || p.Done <= p.Total) // the remote may say anything
}

// A meter reads the progress of one git process. A nil meter reads nothing.
type meter struct {
	ctx  context.Context
	op   string
	tell func(context.Context, Progress) // may be nil
	sent int64                           // what a push has sent, in bytes
}

// meter returns one for an attempt.
func (c *Client) meter(ctx context.Context, op string) *meter {
	return &meter{ctx: ctx, op: op, tell: c.config.Progress}
}

// read reports whether the line is one of progress.
func (m *meter) read(line []byte) bool {
	if m == nil {
		return false
	}
	p, ok := parseProgress(strings.TrimRight(string(line), " \t"))
	if !ok {
		return false
	}
	p.Op = m.op
	if p.Phase == "Writing objects" {
		m.sent = p.Bytes
	}
	if m.tell != nil {
		m.tell(m.ctx, p)
	}
	return true
}
