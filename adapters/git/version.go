package git

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

// The oldest git that knows all that the client asks of it: --config-env and
// --path-format are of 2.31.
const oldestMajor, oldestMinor = 2, 31

// checkVersion asks git for its version until it has answered well: calls that
// begin after that do not ask, those that begin together may each.
func (c *Client) checkVersion(ctx context.Context, op string) error {
	if c.checked.Load() {
		return nil
	}
	out, err := c.execute(ctx, command{op: op, args: []string{"version"}})
	if err != nil {
		return err
	}
	said := strings.TrimSpace(string(out))
	major, minor, ok := parseVersion(said)
	if !ok || major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return &Error{Op: op, Kind: KindNoGit, Attempt: middleware.Attempt(ctx), Err: fmt.Errorf("%q says that it is %q: it must be git %d.%d or newer", c.config.Path, shorten(redact(printable(said))), oldestMajor, oldestMinor)}
	}
	c.checked.Store(true)
	return nil
}

// versionLine matches "git version 2.39.5 (Apple Git-154)".
var versionLine = regexp.MustCompile(`^git version (\d{1,9})\.(\d{1,9})`)

func parseVersion(s string) (major, minor int, ok bool) {
	m := versionLine.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, false
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor, true
}
