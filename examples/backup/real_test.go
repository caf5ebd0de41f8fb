//go:build real

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRealJaegerShowsTheDemonstration runs the demonstration into a real Jaeger and looks at
// what that has of it, as a user would: by its query API.
func TestRealJaegerShowsTheDemonstration(t *testing.T) {
	j := startJaeger(t)
	clean(t)
	t.Setenv(endpointVariable, j.endpoint)
	var out console
	if err := run(t.Context(), options{out: &out, source: t.TempDir(), module: project, slack: 2, endpoint: j.endpoint}); err != nil {
		t.Fatalf("%v; output:\n%s", err, &out)
	}
	shown := exhibits(out.String())
	// The root of the restore is the last span that ends, and what is sent later comes later.
	j.await(t, "the traces", func() error {
		traces, err := j.find(t.Context(), "restore", nil)
		if err == nil && (len(traces) != 1 || len(traces[0].below("")) != 1) {
			err = errors.New("the restore is not there")
		}
		return err
	})
	t.Run("services and operations", func(t *testing.T) { checkServices(t, j) })
	for _, row := range []struct {
		name, title string
		operation   string // how docs/jaeger.md finds it
		tags        map[string]string
		check       func(*testing.T, *jaeger, *seenTrace)
	}{
		{"retried", "retried, then successful", "http POST", map[string]string{"tidegate.outcome": "success", "tidegate.attempts": "2"}, checkRetried},
		{"rejected", "rejected by an open breaker", "breaker rejected", map[string]string{"error.type": "circuit_open"}, checkRejected},
		{"waited", "held back by a rate limit", "rate limit wait", nil, checkWaited},
		{"hedged", "hedged", "GET", map[string]string{"tidegate.hedge": "true"}, checkHedged},
		{"git", "git, retried, then successful", "git ls-remote", map[string]string{"tidegate.outcome": "success", "tidegate.attempts": "2"}, checkRetried},
	} {
		t.Run(row.name, func(t *testing.T) {
			id := shown[row.title]
			found, err := j.find(t.Context(), row.operation, row.tags)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(f *seenTrace) bool { return f.TraceID == id }) {
				t.Errorf("%s %v finds %d traces, and not the one that the output names: %q", row.operation, row.tags, len(found), id)
			}
			trace, err := j.one(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "jaeger", row.name+".txt")
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := trace.picture(); got != string(want) {
				t.Fatalf("got\n%s\n%s has\n%s", got, file, want)
			}
			row.check(t, j, trace)
		})
	}
	t.Run("searches", func(t *testing.T) { checkSearches(t, j, shown) })
	t.Run("no secrets", func(t *testing.T) { checkSecrets(t, j) })
}

// operations are all that the demonstration does, sorted: the kind of the spans and their name.
const operations = `
client DELETE
client GET
client HEAD
client POST
client PUT
internal archive
internal backup
internal breaker rejected
internal burst
internal catch up
internal clone attempt
internal fetch attempt
internal git clone
internal git fetch
internal git ls-remote
internal http GET
internal http POST
internal look up
internal ls-remote attempt
internal notify
internal rate limit wait
internal records GET
internal restore
internal s3 FGetObject
internal s3 FPutObject
internal s3 ListObjects
internal s3 MakeBucket
internal s3 StatObject
internal standby FGetObject
internal standby FPutObject
internal standby ListObjects
internal standby MakeBucket
internal standby RemoveObject
internal store
internal update
`

var exhibitLine = regexp.MustCompile(`(?m)^\s*([0-9a-f]{32})  (.*)$`)

// exhibits returns the traces that the output recommends, by title.
func exhibits(text string) map[string]string {
	ids := map[string]string{}
	for _, m := range exhibitLine.FindAllStringSubmatch(text, -1) {
		ids[m[2]] = m[1]
	}
	return ids
}

func checkServices(t *testing.T, j *jaeger) {
	var services []string
	if err := j.ask(t.Context(), "/api/services", nil, &services); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(services, []string{serviceName}) {
		t.Errorf("services: %q", services)
	}
	body, err := j.read(t.Context(), "/api/v3/operations", url.Values{"service": {serviceName}})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Operations []struct {
			Name     string `json:"name"`
			SpanKind string `json:"spanKind"`
		} `json:"operations"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range answer.Operations {
		got = append(got, o.SpanKind+" "+o.Name)
	}
	slices.Sort(got)
	want := strings.Split(strings.TrimSpace(operations), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), operations)
	}
}

// operation returns the span of the call, which is below the one of the demonstration.
func operation(t *seenTrace) *seenSpan { return t.below(t.below("")[0].SpanID)[0] }

func checkRetried(t *testing.T, _ *jaeger, trace *seenTrace) {
	attempts := trace.below(operation(trace).SpanID)
	event := operation(trace).Logs[0]
	if first, second := attempts[0], attempts[1]; first.end() > second.StartTime || event.Timestamp > second.StartTime {
		t.Errorf("the attempts began at %d and %d, the retry was scheduled at %d", first.StartTime, second.StartTime, event.Timestamp)
	}
}

// checkRejected finds the call that opened the breaker: the rejection names its trace.
func checkRejected(t *testing.T, j *jaeger, trace *seenTrace) {
	all, err := j.find(t.Context(), "http POST", nil)
	if err != nil {
		t.Fatal(err)
	}
	var opened []string
	for _, candidate := range all {
		for _, s := range candidate.Spans {
			for _, l := range s.Logs {
				if valueOf(l.Fields, "event") == "tidegate.breaker.state_changed" && valueOf(l.Fields, "tidegate.breaker.state.to") == "open" {
					opened = append(opened, candidate.TraceID)
				}
			}
		}
	}
	rejection := trace.below(operation(trace).SpanID)[0]
	if by := fmt.Sprint(rejection.tag("tidegate.breaker.opened_by")); !slices.Equal(opened, []string{by}) {
		t.Errorf("the breaker was opened by %q, the rejection says by %s", opened, by)
	}
}

func checkWaited(t *testing.T, _ *jaeger, trace *seenTrace) {
	rows := trace.below(operation(trace).SpanID)
	if wait, attempt := rows[0], rows[1]; wait.Duration < 1000 || wait.end() > attempt.StartTime {
		t.Errorf("the wait took %d µs until %d, the attempt began at %d", wait.Duration, wait.end(), attempt.StartTime)
	}
}

func checkHedged(t *testing.T, _ *jaeger, trace *seenTrace) {
	rows := trace.below(operation(trace).SpanID)
	if first, second := rows[0], rows[1]; second.StartTime >= first.end() {
		t.Errorf("the first attempt ended at %d, before the second began at %d", first.end(), second.StartTime)
	}
}

var searchRow = regexp.MustCompile(`(?m)^\| ([^|]+\?) \|([^|]*)\|([^|]*)\|$`)

// checkSearches makes every search that docs/jaeger.md recommends.
func checkSearches(t *testing.T, j *jaeger, shown map[string]string) {
	rejected, err := j.one(t.Context(), shown["rejected by an open breaker"])
	if err != nil {
		t.Fatal(err)
	}
	rows := searchRow.FindAllStringSubmatch(documentation(t), -1)
	if len(rows) < 5 {
		t.Errorf("docs/jaeger.md has %d searches", len(rows))
	}
	for _, row := range rows {
		tags := map[string]string{}
		for tag := range strings.FieldsSeq(strings.Trim(row[3], "` ")) {
			key, value, _ := strings.Cut(tag, "=")
			if value == "ID" {
				value = fmt.Sprint(operation(rejected).tag(key))
			}
			tags[key] = value
		}
		found := 0
		for name := range strings.SplitSeq(row[2], ",") {
			traces, err := j.find(t.Context(), strings.Trim(name, "` "), tags)
			if err != nil {
				t.Fatal(err)
			}
			found += len(traces)
		}
		if found == 0 {
			t.Errorf("nothing is found by %s", row[0])
		}
	}
}

// checkSecrets looks through the text of everything that Jaeger has.
func checkSecrets(t *testing.T, j *jaeger) {
	body, err := j.read(t.Context(), "/api/traces", url.Values{"service": {serviceName}, "limit": {"1000"}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for _, expected := range []string{"/backups/b8?token=REDACTED", "git clone", "s3 FPutObject"} {
		if !strings.Contains(text, expected) {
			t.Errorf("the traces do not contain %q", expected)
		}
	}
	for _, secret := range []string{
		secretKey, token, password, base64.StdEncoding.EncodeToString([]byte("demo:" + password)),
		"AWS4-HMAC-SHA256", "Signature=", "Authorization", "authorization",
	} {
		if strings.Contains(text, secret) {
			t.Errorf("the traces contain %q", secret)
		}
	}
}
