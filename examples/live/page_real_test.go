//go:build real

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// quietSite serves a page about services that nobody calls but the test.
func quietSite(t *testing.T, names []string, opts ...observability.PageOption) (*tidegate.Manager, *observability.Observer, http.Handler) {
	t.Helper()
	observer := observability.New(observability.WithLive())
	manager, err := tidegate.New(tidegate.Config{}, tidegate.WithObserver(observer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	for _, name := range names {
		_, err := manager.AddChain(name,
			policies.NewRetry(policies.RetryConfig{Attempts: 1}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Hour}),
			policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2}))
		if err != nil {
			t.Fatal(err)
		}
	}
	return manager, observer, observability.Page(manager, opts...)
}

func call(t *testing.T, manager *tidegate.Manager, name string, err error) {
	t.Helper()
	s, missing := manager.Service(name)
	if missing != nil {
		t.Fatal(missing)
	}
	_ = s.Do(t.Context(), func(context.Context) error { return err })
}

const (
	tileNames = `[...document.querySelectorAll("#tiles .name")].map((n) => n.textContent).join(" ")`
	stateWord = `document.querySelector("#tiles .state").textContent`
	focused   = `((e) => e.matches("input, select") ? e.id : e.textContent.trim())(document.activeElement)`
)

func TestRealPageLoads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	site, err := newSite(ctx, options{services: len(dozen)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.close()
	b := openTab(t, 1280, 900)
	origin := serve(t, site.handler)
	done := make(chan struct{})
	go func() {
		defer close(done)
		site.world.run(ctx)
	}()
	defer func() { cancel(); <-done }()
	b.open(origin + "/tidegate/")
	b.wait(`document.querySelectorAll("#tiles .tile").length === 12`)
	b.wait(`document.querySelectorAll("#lines li").length > 3 && document.querySelectorAll("#fall .span").length > 1`)
	b.wait(`document.querySelectorAll("#events tr").length > 3`)
	b.click("#tiles .name")
	b.wait(`document.querySelectorAll("#sheet-chain .layer").length > 1`)
	is(b, `document.querySelector("#sheet-chain .layer b").textContent.length > 0`, true)
	b.quiet(origin)
	if n := len(b.asked()); n < 15 {
		t.Errorf("only %d requests were seen", n)
	}
}

// A breaker that opens must be seen within a second. What takes how long on a machine
// that has other things to do is not for a test to say, so the best of several counts: if
// the page were too slow by itself, all were. The page notes the time itself; both clocks
// are the same. TestStreamSendsAllAndThenWhatChanges says it of the server in virtual time.
func TestRealPageShowsABreakerOpening(t *testing.T) {
	manager, observer, handler := quietSite(t, []string{"billing", "mail"})
	b := openTab(t, 1280, 900)
	b.open(serve(t, handler) + "/")
	is(b, stateWord, "Closed")
	value[bool](b, `new MutationObserver(() => {
		const open = document.querySelector('#tiles [data-state="open"]');
		window.seen = open ? (window.seen ?? Date.now()) : undefined;
	}).observe(document.getElementById("tiles"), {subtree: true, childList: true, attributes: true, attributeFilter: ["data-state"]}), true`)
	const tries = 8
	best := time.Hour
	for range tries {
		call(t, manager, "billing", errors.New("down"))
		opened := observer.History()[len(observer.History())-1]
		for _, r := range observer.History() {
			if r.Kind == middleware.Transition && r.To == "open" {
				opened = r
			}
		}
		b.wait(`window.seen !== undefined`)
		best = min(best, time.UnixMilli(value[int64](b, `window.seen`)).Sub(opened.Last))
		is(b, stateWord, "Open")
		is(b, `document.querySelector("#tiles .name").textContent`, "billing")
		if best <= time.Second {
			break
		}
		if err := manager.Reset("billing"); err != nil {
			t.Fatal(err)
		}
		b.wait(`window.seen === undefined`)
	}
	t.Logf("a breaker that opened was seen after %s", best)
	if best > time.Second {
		t.Errorf("of %d openings the page showed the first one after %s", tries, best)
	}
	// Who listens is told, and not of each number that changes.
	b.wait(`document.getElementById("say").textContent.includes("billing: Open")`)
	b.wait(`document.querySelector("#events .what-state")?.textContent === "open"`)
}

func TestRealPageFiltersAndSorts(t *testing.T) {
	manager, _, handler := quietSite(t, []string{"alpha", "beta", "gamma", "minio-1", "minio-2"})
	b := openTab(t, 1280, 900)
	b.open(serve(t, handler) + "/")
	is(b, tileNames, "alpha beta gamma minio-1 minio-2")

	// Trouble comes first.
	call(t, manager, "minio-1", errors.New("down"))
	b.wait(tileNames + ` === "minio-1 alpha beta gamma minio-2"`)
	is(b, `document.getElementById("n-open").textContent`, "1")
	is(b, `document.getElementById("n-closed").textContent`, "4")

	// By name, and by rate.
	for range 9 {
		call(t, manager, "gamma", nil)
	}
	b.wait(`[...document.querySelectorAll("#tiles .tile")].find((t) => t.textContent.startsWith("gamma")).querySelector(".figures dd").textContent.startsWith("100")`)
	choose := func(sort string) {
		value[bool](b, `document.getElementById("sort").value = "`+sort+`", document.getElementById("sort").dispatchEvent(new Event("input", {bubbles: true}))`)
	}
	choose("name")
	is(b, tileNames, "alpha beta gamma minio-1 minio-2")
	choose("rate")
	is(b, tileNames, "gamma minio-1 alpha beta minio-2")

	// Search.
	b.do(chromedp.SendKeys(chromedp.CSS("#search"), "MINIO"))
	is(b, tileNames, "minio-1 minio-2")
	is(b, `document.getElementById("services-count").textContent`, "2 of 5")
	b.click(`input[value="open"] + span`)
	is(b, tileNames, "minio-1")
	b.click(`input[value="closed"] + span`)
	is(b, tileNames, "minio-2")
	b.do(chromedp.SendKeys(chromedp.CSS("#search"), "x"))
	is(b, tileNames, "")
	is(b, `document.getElementById("tiles-empty").hidden`, false)

	// Events of one kind.
	value[bool](b, `document.getElementById("events-kind").value = "retry", document.getElementById("events-kind").dispatchEvent(new Event("change"))`)
	is(b, `[...document.querySelectorAll("#events tr")].every((r) => !r.textContent.includes("closed to open"))`, true)
	value[bool](b, `document.getElementById("events-kind").value = "transition", document.getElementById("events-kind").dispatchEvent(new Event("change"))`)
	is(b, `document.querySelectorAll("#events tr").length`, 1)
}

func TestRealPageControl(t *testing.T) {
	for _, row := range []struct {
		name    string
		opts    []observability.PageOption
		buttons int
		says    string
		state   string
	}{
		{"not allowed", nil, 0, "", "Closed"},
		{"not authorised", []observability.PageOption{observability.AllowControl(func(*http.Request) bool { return false })},
			3, "Not done: you are not authorised to control services.", "Closed"},
		{"authorised", []observability.PageOption{observability.AllowControl(func(*http.Request) bool { return true })},
			3, "Done: force open.", "Forced open"},
	} {
		t.Run(row.name, func(t *testing.T) {
			manager, _, handler := quietSite(t, []string{"billing"}, row.opts...)
			b := openTab(t, 1280, 900)
			origin := serve(t, handler)
			b.open(origin + "/")
			b.click("#tiles .name")
			b.wait(`document.querySelectorAll("#sheet-chain .layer").length === 4`)
			is(b, `document.querySelectorAll("#sheet-control button").length`, row.buttons)
			if row.buttons == 0 {
				// Nor is there anything behind it.
				value[bool](b, `fetch("control", {method: "POST", body: '{"service":"billing","action":"force_open"}'}).then((r) => { window.answered = r.status }), true`)
				b.wait(`window.answered === 404`)
			} else {
				// It asks before it does anything, and takes no for an answer.
				b.click(`[data-action="force_open"]`)
				is(b, focused, "Cancel")
				b.press(kb.Enter)
				is(b, `document.querySelector(".confirm")`, any(nil))
				is(b, focused, "Force open…")
				if got := manager.States()["billing"]; got != policies.Closed {
					t.Errorf("after Cancel the breaker is %s", got)
				}
				b.click(`[data-action="force_open"]`)
				b.click(`.confirm .danger`)
				b.wait(`document.querySelector(".answer").textContent === ` + fmt.Sprintf("%q", row.says))
			}
			b.wait(stateWord + ` === ` + fmt.Sprintf("%q", row.state))
			if row.state == "Closed" {
				if got := manager.States()["billing"]; got != policies.Closed {
					t.Errorf("the breaker is %s", got)
				}
				return
			}
			// What was done is an event, and can be undone.
			b.wait(`document.querySelector("#events tr").textContent.includes("closed to forced open")`)
			b.click(`[data-action="release"]`)
			b.click(`.confirm .danger`)
			b.wait(stateWord + ` === "Closed"`)
			if got := manager.States()["billing"]; got != policies.Closed {
				t.Errorf("after the release the breaker is %s", got)
			}
			b.quiet(origin)
		})
	}
}

func TestRealPageWith200Services(t *testing.T) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("tenant-%03d", i+1))
	}
	manager, _, handler := quietSite(t, names)
	b := openTab(t, 1280, 900)
	origin := serve(t, handler)
	b.open(origin + "/")
	is(b, `document.querySelectorAll("#tiles .tile").length`, 200)

	// What is in trouble comes to the top, in the element that it had, and the focus stays.
	value[bool](b, `window.tile = document.querySelector("#tiles .tile:nth-child(150)"), tile.querySelector("button").focus(), true`)
	call(t, manager, "tenant-150", errors.New("down"))
	b.wait(`document.querySelector("#tiles .name").textContent === "tenant-150"`)
	is(b, `document.querySelector("#tiles .tile") === window.tile && document.activeElement === window.tile.querySelector("button")`, true)

	// What does not change is not touched.
	value[bool](b, `window.touched = new Set(), new MutationObserver((all) => {
		for (const m of all) {
			const tile = (m.target.closest ? m.target : m.target.parentElement).closest(".tile");
			if (tile) touched.add(tile.querySelector(".name").textContent);
		}
	}).observe(document.getElementById("tiles"), {subtree: true, childList: true, attributes: true, characterData: true}), true`)
	call(t, manager, "tenant-007", errors.New("down"))
	b.wait(`touched.has("tenant-007")`)
	is(b, `[...touched].filter((n) => n !== "tenant-007" && n !== "tenant-150").length`, 0)

	b.do(chromedp.SendKeys(chromedp.CSS("#search"), "19"))
	is(b, `document.querySelectorAll("#tiles .tile").length`, 12) // 019, 119, 190 to 199
	is(b, `document.documentElement.scrollWidth <= innerWidth`, true)
	b.quiet(origin)
}

func TestRealPageLosesTheConnection(t *testing.T) {
	manager, _, handler := quietSite(t, []string{"billing"})
	b := openTab(t, 1280, 900)
	server := startServer(t, "127.0.0.1:0", handler)
	b.open(server.origin + "/")
	is(b, stateWord, "Closed")
	server.stop()
	b.wait(`document.getElementById("link-word").textContent === "Connection lost, trying again"`)
	b.wait(`document.getElementById("say").textContent === "Connection lost."`)
	is(b, stateWord, "Closed") // what was known stays

	call(t, manager, "billing", errors.New("down"))
	server = startServer(t, server.address, handler)
	t.Cleanup(server.stop)
	b.wait(`document.getElementById("link-word").textContent === "Live"`)
	b.wait(stateWord + ` === "Open"`)
	is(b, `document.querySelectorAll("#tiles .tile").length`, 1)
}

func TestRealPagePauses(t *testing.T) {
	manager, _, handler := quietSite(t, []string{"billing"})
	b := openTab(t, 1280, 900)
	b.open(serve(t, handler) + "/")
	b.click("#pause")
	call(t, manager, "billing", errors.New("down"))
	// The page hears of it, which is told to those who listen, but does not draw it.
	b.wait(`document.getElementById("say").textContent === "billing: Open."`)
	is(b, stateWord, "Closed")
	is(b, `document.getElementById("link-word").textContent`, "Paused")
	b.click("#pause")
	b.wait(stateWord + ` === "Open"`)
}

// Names, keys and addresses come from outside. They are shown as they are, and do nothing.
func TestRealPageEscapes(t *testing.T) {
	const evil = `<img src=x onerror="document.title='pwned'">`
	observer := observability.New(observability.WithLive())
	chain := middleware.NewChain(evil, observer, policies.NewBreaker(policies.BreakerConfig{Name: evil, Key: evil, FailureThreshold: 1}))
	ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: evil, Key: evil})
	_ = chain.Do(ctx, func(context.Context) error { return unavailable(evil) })
	b := openTab(t, 1280, 900)
	origin := serve(t, observability.Page(shelf{chain}, observability.WithTraceLink("javascript:document.title='{trace_id}'")))
	b.open(origin + "/")
	b.wait(`document.querySelectorAll("#events tr").length > 0 && document.querySelectorAll("#fall .span").length > 0`)
	is(b, tileNames, evil)
	b.click("#tiles .name")
	b.wait(`document.querySelectorAll("#sheet-chain .layer").length === 1`)
	is(b, `document.getElementById("sheet-title").textContent`, evil)
	is(b, `document.querySelectorAll("img, [onerror], a[href^='javascript']").length`, 0)
	is(b, `document.title`, "Tidegate")
	b.quiet(origin)
}

// A shelf is a manager of one chain.
type shelf struct{ chain *middleware.Chain }

func (s shelf) Chains() []*middleware.Chain { return []*middleware.Chain{s.chain} }
func (shelf) ForceOpen(string) error        { return nil }
func (shelf) Release(string) error          { return nil }
func (shelf) Reset(string) error            { return nil }

func TestRealPageSaysWhatIsMissing(t *testing.T) {
	for _, row := range []struct {
		name    string
		page    http.Handler
		notice  string
		tiles   string
		traces  string
		figures bool
	}{
		{"no services", observability.Page(nil), "", "There are no services yet.", "", false},
		{"no observer", observability.Page(shelf{middleware.NewChain("x")}), "tidegate.WithObserver", "", "Calls are kept only by an observer", false},
		{"not live", observability.Page(shelf{middleware.NewChain("x", observability.New())}), "observability.WithLive()", "", "Calls are kept only by an observer", false},
		{"nothing yet", observability.Page(shelf{middleware.NewChain("x", observability.New(observability.WithLive()))}), "", "", "No call yet.", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := openTab(t, 1280, 900)
			b.open(serve(t, row.page) + "/")
			has := func(id, want string) {
				t.Helper()
				if got := value[string](b, `document.getElementById("`+id+`").textContent`); !strings.Contains(got, want) || want == "" && id == "notices" && got != "" {
					t.Errorf("%s says %q, want %q", id, got, want)
				}
			}
			b.wait(`document.getElementById("traces-empty").textContent !== ""`)
			has("notices", row.notice)
			has("tiles-empty", row.tiles)
			has("traces-empty", row.traces)
			has("alerts-empty", "only while it is open")
			is(b, `Boolean(document.querySelector(".tile .figures")?.checkVisibility())`, row.figures)
		})
	}
}
