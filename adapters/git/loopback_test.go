package git

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/tidegate-go/tidegate/internal/loopback"
)

// What the git program says of a server that does wrong is understood.
func TestFaultsOfServersHaveTheirKind(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		url  string
		want Kind
	}{
		"refused":              {loopback.Refused(t), KindConnect},
		"closed":               {loopback.New(t, loopback.Script(loopback.Close())).URL, KindTransfer},
		"reset":                {loopback.New(t, loopback.Script(loopback.Reset())).URL, KindTransfer},
		"cut in the answer":    {loopback.New(t, loopback.Script(loopback.OK("").Size(1000).Cut(10, loopback.Close()))).URL, KindTransfer},
		"not trusted":          {loopback.New(t, loopback.HTTPS1).URL, KindTLS},
		"the handshake breaks": {loopback.New(t, loopback.HTTPS1, loopback.Connections(loopback.BreakTLS)).URL, KindTransfer},
		"unavailable":          {loopback.New(t, loopback.Script(loopback.Status(503))).URL, KindServer},
		"throttled":            {loopback.New(t, loopback.Script(loopback.Status(429))).URL, KindThrottled},
		"forbidden":            {loopback.New(t, loopback.Script(loopback.Status(403))).URL, KindAuth},
		"missing":              {loopback.New(t, loopback.Script(loopback.Status(404))).URL, KindNotFound},
	} {
		c, err := New(nil, Config{Schemes: []string{"http", "https"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.LsRemote(t.Context(), row.url+"/repo.git")
		var failed *Error
		if !errors.As(err, &failed) || failed.Kind != row.want {
			t.Errorf("%s: %v, want the kind %s", name, err, row.want)
		}
	}
}
