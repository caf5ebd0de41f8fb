package minio

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/internal/injector"
)

// A fault is a row of the table in README.md, and what the matrix has to show for it.
type fault struct {
	name    string
	sees    string // by the user
	breaker breakerSays
	outcome outcome

	// The verdicts of attempts during the fault, besides a success without a reason.
	// The first of them has to occur.
	reasons []string

	strike func(*stage)

	onlyReal bool          // needs a server that checks signatures or can be killed
	workers  int           // 0: 16
	attempts int           // of the retry; 0: 4
	limit    time.Duration // of an attempt; 0: that of the server
	within   time.Duration // the caller's own deadline of an operation; 0: longer than all attempts take
}

type breakerSays string

const (
	opens       breakerSays = "opens"
	staysClosed breakerSays = "stays closed"
	mayOpen     breakerSays = "may open"
)

// An outcome says what became of the operations during the fault.
type outcome uint8

const (
	allFail         outcome = iota
	someFail                // and some succeed
	onlyStreamsFail         // uploads whose reader cannot be rewound
)

// theFaults are the ten. The chain has a retry, a breaker, a bulkhead and an attempt
// timeout below 5 seconds, unless a row says otherwise.
var theFaults = []fault{
	{
		name: "down", breaker: opens, outcome: allFail,
		sees:    "Each attempt ends with the attempt timeout (`ErrTimeout`). After a few the breaker opens, and calls fail at once with `ErrOpen`.",
		reasons: []string{"timeout"},
		strike:  inject(injector.Hang()),
	},
	{
		name: "refused", breaker: opens, outcome: allFail,
		sees:    "Connection refused, after the attempts of the retry; after a few the breaker opens, and calls fail at once with `ErrOpen`. Nothing was carried out.",
		reasons: []string{"connect"},
		strike:  inject(injector.Refuse()),
	},
	{
		name: "reset at byte k", breaker: opens, outcome: allFail,
		sees:    "A network error after the attempts of the retry, then `ErrOpen` at once. The server may have done what it could not answer: a write that failed may be there.",
		reasons: []string{"network"},
		strike:  inject(injector.Reset(100)),
	},
	{
		name: "5 s latency", breaker: opens, outcome: allFail,
		sees:    "As in down when the attempt timeout is below 5 s, but the server may have done what it answered too late.",
		reasons: []string{"timeout"},
		strike:  inject(injector.Late(5 * time.Second)),
	},
	{
		name: "bandwidth 50 KB/s", breaker: mayOpen, outcome: someFail,
		sees:    "Small objects pass. An upload that is longer than the attempt timeout fails with `ErrTimeout`; a download goes on until the caller's own deadline.",
		reasons: []string{"timeout", "canceled"},
		strike:  inject(injector.Slow(50_000)), workers: 64, within: 6 * time.Second,
	},
	{
		name: "cut in mid-download", breaker: mayOpen, outcome: someFail,
		sees:    "Read ends with an error, never with content that only looks whole; with `WithResume` the download goes on where it was. Answers that are cut before the content are asked for again, and most calls succeed.",
		reasons: []string{"", "network"}, // the policies do not see the cut of a content
		strike:  inject(injector.CutAnswer(16 << 10)),
	},
	{
		name: "cut in mid-upload", breaker: mayOpen, outcome: someFail,
		sees:    "An upload whose reader can be rewound is repeated from its start; that of a stream in one request fails with the first cut. The server keeps nothing of what it got in part.",
		reasons: []string{"network", "damaged_body"},
		strike:  inject(injector.CutRequest(256 << 10)),
	},
	{
		name: "503 SlowDown for 3 s", breaker: staysClosed, outcome: onlyStreamsFail,
		sees:    "Calls take up to some seconds longer and succeed, if the waits of the retry add up to more than the 3 s. Only the upload of a stream in one request fails, at once, with SlowDown. A HEAD (StatObject) that is answered 503 with neither `X-Minio-Error-Code` nor the status text `Slow Down` counts as a failure.",
		reasons: []string{"throttled"},
		strike:  inject(injector.SlowDown().For(3 * time.Second)),
		workers: 100, attempts: 12, limit: time.Minute, within: time.Minute,
	},
	{
		name: "restart of the server", breaker: opens, outcome: someFail, onlyReal: true,
		sees:    "Network errors, then `ErrOpen` until the server is back; then the breaker's probes close it and calls succeed. What was acknowledged is still there.",
		reasons: []string{"network", "connect", "unavailable", "timeout", "status_5xx"},
		strike:  (*stage).restart,
	},
	{
		name: "wrong credentials", breaker: staysClosed, outcome: allFail, onlyReal: true,
		sees:    "The server's own error (SignatureDoesNotMatch, AccessDenied) after one attempt. Where a server closes the connection of an upload before it has read it, a network error now and then.",
		reasons: []string{"denied", "network"},
		strike:  (*stage).useWrongSecret,
	},
}

// A faultServer is a server that the matrix runs against.
type faultServer struct {
	address string
	creds   *credentials.Credentials
	options minio.PutObjectOptions
	limit   time.Duration // of an attempt, unless the row has its own
	kill    func()
	start   func()

	// hasty says that the server closes the connection of an upload that it refuses, such
	// as one whose condition does not hold, before it has read it. What the client sees is
	// then a broken connection, if it has not read the answer yet.
	hasty bool
}

// faultMatrix runs the rows, each with operations under its fault. open returns the
// server of a row.
func faultMatrix(t *testing.T, rows []fault, operations int, open func(*testing.T, fault) faultServer) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server := open(t, row)
			inRow(t, func() {
				s := newStage(t, row, server)
				s.prepare(operations)
				s.runUnderFault(operations)
				s.runAfterFault(operations / 5)
				s.verifyModel()
				s.close()
				t.Log(s.summary())
			})
		})
	}
}

// TestFaults is the part of the matrix that needs no server.
func TestFaults(t *testing.T) {
	endpoint := startPlainFake(t)
	rows := slices.DeleteFunc(slices.Clone(theFaults), func(f fault) bool { return f.onlyReal })
	faultMatrix(t, rows, 60, func(*testing.T, fault) faultServer {
		return faultServer{
			address: endpoint,
			creds:   credentials.NewStaticV4("key", "secret", ""),
			options: minio.PutObjectOptions{DisableContentSha256: true}, // gofakes3 keeps the framing of signed chunks
			limit:   3 * time.Second,
		}
	})
}

func TestFaultsAreThoseOfTheTableInTheREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Ten faults\n")
	if !found {
		t.Fatal("README.md has no heading Ten faults")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "|") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{"| fault | what a user sees | breaker |", "|---|---|---|"}
	for _, f := range theFaults {
		want = append(want, fmt.Sprintf("| %s | %s | %s |", f.name, f.sees, f.breaker))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(theFaults) != 10 {
		t.Errorf("%d faults", len(theFaults))
	}
}
