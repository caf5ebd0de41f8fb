package observability_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
)

func TestControl(t *testing.T) {
	yes, no := func(*http.Request) bool { return true }, func(*http.Request) bool { return false }
	sameOrigin, crossSite := []string{"Sec-Fetch-Site", "same-origin"}, []string{"Sec-Fetch-Site", "cross-site"}
	const order = `{"service":"billing","action":"force_open"}`
	for _, row := range []struct {
		name   string
		auth   func(*http.Request) bool
		method string
		header []string
		body   string
		status int
		says   string
	}{
		{"not allowed at all", nil, "POST", sameOrigin, order, 404, ""},
		{"read", yes, "GET", sameOrigin, "", 405, ""},
		{"put", yes, "PUT", sameOrigin, order, 405, ""},
		{"not authorised", no, "POST", sameOrigin, order, 403, "not authorised"},
		{"not authorised, nonsense", no, "POST", sameOrigin, "{", 403, "not authorised"},
		{"from another site", yes, "POST", crossSite, order, 403, ""},
		{"from another site of the same domain", yes, "POST", []string{"Sec-Fetch-Site", "same-site"}, order, 403, ""},
		{"from another origin, old browser", yes, "POST", []string{"Origin", "https://evil.example"}, order, 403, ""},
		{"from the same origin, old browser", yes, "POST", []string{"Origin", "http://example.com"}, order, 200, ""},
		{"no browser", yes, "POST", nil, order, 200, ""},
		{"authorised", yes, "POST", sameOrigin, order, 200, `"force_open"`},
		{"release", yes, "POST", sameOrigin, `{"service":"billing","action":"release"}`, 200, `"release"`},
		{"reset", yes, "POST", sameOrigin, `{"service":"billing","action":"reset"}`, 200, `"reset"`},
		{"wrong action", yes, "POST", sameOrigin, `{"service":"billing","action":"close"}`, 400, "reset, force_open or release"},
		{"no action", yes, "POST", sameOrigin, `{"service":"billing"}`, 400, "reset, force_open or release"},
		{"unknown service", yes, "POST", sameOrigin, `{"service":"nobody","action":"reset"}`, 404, "no such service"},
		{"no breaker", yes, "POST", sameOrigin, `{"service":"plain","action":"reset"}`, 409, "no breaker"},
		{"a form", yes, "POST", append([]string{"Content-Type", "text/plain"}, sameOrigin...), order, 415, "application/json"},
		{"no JSON", yes, "POST", sameOrigin, "service=billing", 400, "an order is"},
		{"a field too many", yes, "POST", sameOrigin, `{"service":"billing","action":"reset","all":true}`, 400, "an order is"},
		{"too long", yes, "POST", sameOrigin, `{"service":"` + strings.Repeat("x", 5000) + `"}`, 400, "an order is"},
	} {
		shelf := newShelf(observability.New(), "billing")
		header := append([]string{"Content-Type", "application/json; charset=utf-8"}, row.header...)
		w := ask(observability.Page(shelf, observability.AllowControl(row.auth)), row.method, "/control", row.body, header...)
		if w.Code != row.status || !strings.Contains(w.Body.String(), row.says) {
			t.Errorf("%s: %d %s, want %d with %q", row.name, w.Code, w.Body, row.status, row.says)
		}
		changed := shelf.breakers["billing"].State().String() != "closed"
		if want := row.status == 200 && strings.Contains(row.body, "force_open"); changed != want {
			t.Errorf("%s: the breaker is %s", row.name, shelf.breakers["billing"].State())
		}
	}
}

// What somebody has ordered stands in the history.
func TestControlIsInTheHistory(t *testing.T) {
	o := observability.New()
	shelf := newShelf(o, "billing")
	page := observability.Page(shelf, observability.AllowControl(func(*http.Request) bool { return true }))
	for _, action := range []string{"force_open", "release"} {
		if w := ask(page, "POST", "/control", `{"service":"billing","action":"`+action+`"}`, "Content-Type", "application/json"); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", action, w.Code, w.Body)
		}
	}
	if got := brief(o.History()); !strings.Contains(got, "forced_open 1x") || strings.Count(got, "\n") != 2 {
		t.Errorf("the history has\n%s", got)
	}
}

func TestControlOfNoManager(t *testing.T) {
	page := observability.Page(nil, observability.AllowControl(func(*http.Request) bool { return true }))
	if w := ask(page, "POST", "/control", `{"service":"x","action":"reset"}`, "Content-Type", "application/json"); w.Code != http.StatusNotFound {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	page = observability.Page(&odd{[]*middleware.Chain{nil}}, observability.AllowControl(func(*http.Request) bool { return true }))
	if w := ask(page, "POST", "/control", `{"service":"","action":"reset"}`, "Content-Type", "application/json"); w.Code != http.StatusNotFound {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// A refusing is a manager whose errors tell secrets.
type refusing struct{ *shelf }

func (refusing) ForceOpen(string) error { return errors.New("dial postgres://u:" + canary + "@h") }

func TestControlTellsNoTextOfErrors(t *testing.T) {
	page := observability.Page(refusing{newShelf(observability.New(), "billing")}, observability.AllowControl(func(*http.Request) bool { return true }))
	w := ask(page, "POST", "/control", `{"service":"billing","action":"force_open"}`, "Content-Type", "application/json")
	if w.Code != http.StatusConflict || strings.Contains(w.Body.String(), canary) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
