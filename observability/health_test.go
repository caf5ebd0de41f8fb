package observability

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// golden compares the answer of a handler, indented, with a file. With the variable
// UPDATE_GOLDEN it writes the file.
func golden(t *testing.T, file string, w *httptest.ResponseRecorder) {
	t.Helper()
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	got := strings.TrimSuffix(indented(t, w.Body.Bytes()), "\n") + "\n"
	path := "testdata/" + file
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func indented(t *testing.T, body []byte) string {
	t.Helper()
	out, err := json.MarshalIndent(json.RawMessage(body), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestHealthAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, all := withCircuits("billing", "git", "mail", "minio")
		began := time.Now()
		time.Sleep(90 * time.Second)
		all["billing"].is("closed", began, time.Time{}, "")
		all["billing"].report.Breaker.Share = 1
		all["git"].is("half_open", began.Add(time.Minute), began, "0102")
		all["git"].report.Breaker.Until = began.Add(time.Minute)
		all["git"].report.Breaker.Reason = "failure_rate"
		all["git"].report.Readings = []middleware.Reading{{Name: "failure_rate", Value: 0.25}}
		all["mail"].report = middleware.Report{
			Type: "bulkhead", Name: "bulkhead", Running: 25, Waiting: 3, Settings: []middleware.Setting{{Name: "MaxQueue", Value: "5"}},
		}
		all["minio"].is("closed", began.Add(time.Minute), time.Time{}, "")
		all["minio"].report.Breaker.Share = 0.4
		w := ask(HealthHandler(m, "minio", "nowhere"), http.MethodGet, "/healthz")
		golden(t, "health.json", w)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/health+json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		golden(t, "health_none.json", ask(HealthHandler(nil), http.MethodGet, "/healthz"))
	})
}

func TestTheStatusOfHealth(t *testing.T) {
	for _, row := range []struct {
		state string
		share float64
		key   string
		want  Status // of any service
		fatal Status // of a critical one
		code  int
	}{
		{"closed", 1, "", Pass, Pass, 200},
		{"closed", 0.5, "", Warn, Warn, 200}, // a ramp
		{"open", 0, "", Warn, Fail, 503},
		{"half_open", 0, "", Warn, Fail, 503},
		{"forced_open", 0, "", Warn, Fail, 503},
		{"open", 0, "eu", Warn, Warn, 200}, // one of several
		{"forced_closed", 1, "", Pass, Pass, 200},
		{"disabled", 1, "", Pass, Pass, 200},
		{"observed_open", 1, "", Pass, Pass, 200},
	} {
		m, all := withCircuits("a", "b")
		for name, c := range all {
			c.is(row.state, noon, time.Time{}, "")
			c.report.Breaker.Share, c.report.Key = row.share, row.key
			if name == "b" {
				c.report.Breaker.State, c.report.Breaker.Share = "closed", 1
			}
		}
		h := Health(m)
		if h.Status != row.want || h.Services[0].Status != row.want || h.Services[1].Status != Pass {
			t.Errorf("%+v: %+v", row, h)
		}
		h = Health(m, "a", "b")
		if h.Status != row.fatal || h.Services[0].Status != row.fatal || h.Services[1].Status != Pass || !h.Services[0].Critical {
			t.Errorf("critical, %+v: %+v", row, h)
		}
		if w := ask(HealthHandler(m, "a"), http.MethodGet, "/"); w.Code != row.code {
			t.Errorf("critical, %+v: %d", row, w.Code)
		}
		if w := ask(HealthHandler(m), http.MethodGet, "/"); w.Code != 200 {
			t.Errorf("%+v: %d", row, w.Code)
		}
	}
}

// What there is to know of a policy that is no circuit, and whether it is well.
func TestTheNotesOfHealth(t *testing.T) {
	observing := func(r middleware.Report) middleware.Report {
		r.Settings = []middleware.Setting{{Name: "K", Value: "2"}, {Name: "ObserveOnly", Value: "on"}}
		return r
	}
	for _, row := range []struct {
		report middleware.Report
		status Status
		note   string
	}{
		{reporting("throttle", "rejection", 0), Pass, ""},
		{reporting("throttle", "rejection", 0.345), Warn, "refuses 34.5 % of the calls, to take load off"},
		{observing(reporting("throttle", "rejection", 0.345)), Pass, "only observes: it would refuse 34.5 % of the calls"},
		{observing(reporting("throttle", "rejection", 0)), Pass, "only observes"},
		{observing(reporting("bulkhead", "leases_expired", 1)), Pass, "only observes"},
		{reporting("chaos", "armed", 0), Pass, ""},
		{reporting("chaos", "armed", 1), Warn, "disturbs calls on purpose"},
		{reporting("adaptive_limit", "limit", 12), Pass, ""},
		{reporting("rate_limit", "rejection", 0.5), Pass, ""}, // of another kind
		{reporting("deadline", "armed", 1), Pass, ""},
	} {
		m, all := withCircuits("a")
		all["a"].report = row.report
		for _, critical := range [][]string{nil, {"a"}} { // it is never Fail
			s := Health(m, critical...).Services[0]
			if s.Status != row.status || len(s.Policies) != 1 || s.Policies[0].Status != row.status || s.Policies[0].Note != row.note {
				t.Errorf("%+v: %+v", row.report, s)
			}
		}
		if got := tileOf(m.chains[0]); got.Status != row.status || got.Chaos != (row.note == "disturbs calls on purpose") ||
			(got.Shedding > 0) != (row.status == Warn && row.report.Type == "throttle") {
			t.Errorf("%+v: the tile is %+v", row.report, got)
		}
		key := row.report
		key.Key = "eu"
		all["a"].report = key // one that is well is not listed
		if s := Health(m).Services[0]; (len(s.Policies) == 1) != (row.status != Pass) {
			t.Errorf("for a key, %+v: %+v", row.report, s)
		}
	}
	m, all := withCircuits("a")
	all["a"].report.Breaker.Share = 1
	all["a"].report.Settings = []middleware.Setting{{Name: "ObserveOnly", Value: "on"}}
	if s := Health(m).Services[0]; s.Policies[0].Note != "" { // its state says so
		t.Errorf("a circuit that observes: %+v", s)
	}
	all["a"].report = middleware.Report{Type: "retry", Name: "retry", Settings: []middleware.Setting{{Name: "ObserveOnly", Value: "on"}}}
	if s := Health(m).Services[0]; len(s.Policies) != 0 {
		t.Errorf("a retry is listed: %+v", s)
	}
}

// Of policies for keys the page shows those first that there is something to know of.
func TestKeysInTroubleComeFirst(t *testing.T) {
	v := policyView{Keys: []keyView{
		{"well", []policyView{viewPolicy(reporting("throttle", "rejection", 0))}},
		{"waits", []policyView{viewPolicy(middleware.Report{Type: "bulkhead", Waiting: 1})}},
		{"sheds", []policyView{viewPolicy(reporting("throttle", "rejection", 0.5))}},
	}}
	v.cutKeys()
	if got := v.Keys[0].Key + " " + v.Keys[1].Key; got != "sheds waits" {
		t.Errorf("first are %s", got)
	}
}

// Of policies for keys only those are listed that are not well, and not too many.
func TestHealthOfManyKeys(t *testing.T) {
	var policies []middleware.Policy
	for i := range 3 * maxListedKeys {
		c := new(circuit)
		c.is("closed", noon, time.Time{}, "")
		c.report.Breaker.Share = 1
		if i%2 == 0 {
			c.is("open", noon, noon, "")
		}
		c.report.Key = fmt.Sprint(i)
		policies = append(policies, c)
	}
	h := Health(&staff{[]*middleware.Chain{middleware.NewChain("x", policies...)}})
	if s := h.Services[0]; s.Status != Warn || len(s.Policies) != maxListedKeys || s.Omitted != maxListedKeys/2 {
		t.Errorf("%s, %d policies, %d omitted", s.Status, len(s.Policies), s.Omitted)
	}
}

// A leak is an error whose text nobody may see.
var errLeak = errors.New("https://user:secret@host/")

func TestEventsAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New()
		a, b := middleware.NewChain("a", o), middleware.NewChain("b", o, New())
		m := &staff{[]*middleware.Chain{a, b, middleware.NewChain("c")}}
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
		}))
		for i, e := range []middleware.Event{
			{Kind: middleware.RetryScheduled, Policy: "retry", Attempt: 1, Wait: 250 * time.Millisecond, Reason: "backoff", Err: errLeak},
			{Kind: middleware.Transition, Policy: "breaker", Key: "eu", From: "closed", To: "open", Reason: "failure_rate", Wait: 30 * time.Second, Err: errLeak},
			{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open", Wait: 20 * time.Second},
			{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open", Wait: 19 * time.Second},
		} {
			chain := a
			if i == 1 {
				chain = b
			}
			chain.Emit(ctx, e)
			time.Sleep(time.Second)
		}
		w := ask(EventsHandler(m), http.MethodGet, "/events")
		golden(t, "events.json", w)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		for query, want := range map[string]string{
			"service=b":         "transition",
			"service=a":         "rejected retry_scheduled",
			"service=nowhere":   "",
			"service=a&limit=1": "rejected",
			"limit=0":           "",
			"limit=99":          "rejected transition retry_scheduled",
		} {
			w := ask(EventsHandler(m), http.MethodGet, "/events?"+query)
			var got struct {
				Events []struct {
					Kind string `json:"kind"`
				} `json:"events"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Events == nil {
				t.Fatalf("%s: %v in %s", query, err, w.Body)
			}
			var kinds []string
			for _, e := range got.Events {
				kinds = append(kinds, e.Kind)
			}
			if strings.Join(kinds, " ") != want {
				t.Errorf("%s: %v, want %s", query, kinds, want)
			}
		}
		for _, limit := range []string{"", "-1", "x", "1e3", "99999999999999999999"} {
			if w := ask(EventsHandler(m), http.MethodGet, "/events?limit="+limit); w.Code != http.StatusBadRequest {
				t.Errorf("limit %q: %d", limit, w.Code)
			}
		}
		if w := ask(EventsHandler(nil), http.MethodGet, "/"); w.Body.String() != "{\"events\":[]}\n" {
			t.Errorf("of no Manager: %s", w.Body)
		}
	})
}

func TestAlertsAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, all := withCircuits("billing")
		all["billing"].is("open", time.Now().Add(-2*time.Minute), time.Now().Add(-2*time.Minute), "0102")
		monitor := StartMonitoring(t.Context(), m)
		synctest.Wait()
		golden(t, "alerts.json", ask(AlertsHandler(monitor), http.MethodGet, "/alerts"))
		monitor.Close()
	})
}

func TestHandlersOnlyRead(t *testing.T) {
	m, _ := withCircuits("a")
	for name, h := range map[string]http.Handler{
		"health": HealthHandler(m), "events": EventsHandler(m), "alerts": AlertsHandler(nil),
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch} {
			if w := ask(h, method, "/"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d %v", method, name, w.Code, w.Header())
			}
		}
		server := httptest.NewServer(h)
		resp, err := server.Client().Head(server.URL)
		if err != nil || resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 {
			t.Errorf("HEAD %s: %+v, %v", name, resp, err)
		}
		_ = resp.Body.Close()
		server.Close()
	}
}
