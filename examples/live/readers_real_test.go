//go:build real

package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"

	"github.com/tidegate-go/tidegate/observability"
)

func TestRealPageByKeyboard(t *testing.T) {
	_, _, handler := quietSite(t, []string{"alpha", "beta"}, observability.AllowControl(func(*http.Request) bool { return true }))
	b := openTab(t, 1280, 900)
	b.open(serve(t, handler) + "/")
	var order []string
	for range 8 {
		b.press(kb.Tab)
		order = append(order, value[string](b, focused))
		is(b, `document.activeElement.matches(":focus-visible")`, true)
		is(b, `(() => { // it can be seen where the focus is
			const e = document.activeElement, next = e.nextElementSibling;
			const outline = (x, part) => x && getComputedStyle(x, part).outlineStyle !== "none" && parseFloat(getComputedStyle(x, part).outlineWidth) >= 2;
			return Boolean(outline(e) || outline(e, "::after") || outline(next));
		})()`, true)
	}
	want := []string{"Skip to the services", "Pause", "Theme: Auto", "search", "", "sort", "alpha", "beta"}
	want[4] = order[4] // the chosen one of the filters
	if !slices.Equal(order, want) || value[string](b, `document.querySelector('input[name="show"]:checked').value`) != "all" {
		t.Errorf("Tab goes to %q, want %q", order, want)
	}

	// Enter opens the chain of the service, Escape closes it.
	b.press(kb.Enter)
	b.wait(`document.getElementById("sheet").open && document.querySelectorAll("#sheet-chain .layer").length === 4`)
	is(b, `document.getElementById("sheet-title").textContent`, "beta")
	is(b, `[...document.querySelectorAll("#sheet-chain .layer b")].map((b) => b.textContent).join(", ")`,
		"Retry, Retry budget, Circuit breaker, Bulkhead")
	is(b, `document.querySelector("#sheet-chain .layer:last-child").textContent.includes("MaxConcurrent2")`, true)
	is(b, `document.getElementById("sheet").contains(document.activeElement)`, true)
	for range 12 {
		b.press(kb.Tab)
		is(b, `document.activeElement === document.body || document.getElementById("sheet").contains(document.activeElement)`, true)
	}
	b.press(kb.Escape)
	b.wait(`!document.getElementById("sheet").open`)
	is(b, focused, "beta")

	// A key for the search.
	command(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/"})
	is(b, `document.activeElement.id`, "search")
	is(b, `document.activeElement.value`, "")
}

func TestRealPageHasNames(t *testing.T) {
	manager, _, handler := quietSite(t, []string{"alpha", "beta"}, observability.AllowControl(func(*http.Request) bool { return true }))
	call(t, manager, "alpha", errors.New("down"))
	b := openTab(t, 1280, 900)
	b.open(serve(t, handler) + "/")
	b.wait(`document.querySelectorAll("#events tr").length > 0 && document.querySelectorAll("#fall .span").length > 0`)
	need := []string{"button", "link", "searchbox", "combobox", "radio", "checkbox", "image", "region", "dialog", "heading", "search", "group", "table"}
	check := func(nodes [][2]string, wanted ...[2]string) {
		t.Helper()
		for _, n := range nodes {
			if n[1] == "" && slices.Contains(need, n[0]) {
				t.Errorf("a %s has no name", n[0])
			}
		}
		for _, w := range wanted {
			if !slices.ContainsFunc(nodes, func(n [2]string) bool { return n[0] == w[0] && strings.Contains(n[1], w[1]) }) {
				t.Errorf("there is no %s %q in %q", w[0], w[1], nodes)
			}
		}
	}
	check(b.accessible(), [][2]string{
		{"banner", ""}, {"main", ""}, {"search", "Services"}, {"status", ""},
		{"heading", "Tidegate"}, {"heading", "Alerts"}, {"heading", "Services"}, {"heading", "Newest calls"}, {"heading", "Events"},
		{"heading", "alpha"}, {"button", "alpha"}, {"searchbox", "Search by name"}, {"combobox", "Sort"}, {"radio", "All"},
		{"checkbox", "Only those in red"}, {"button", "Pause"}, {"button", "Theme: Auto"}, {"link", "Skip to the services"},
		{"image", "Last 10 minutes: 0 succeeded, 1 failed"}, {"region", "Services"}, {"columnheader", "What happened"},
	}...)
	b.click("#tiles .name")
	b.wait(`document.querySelectorAll("#sheet-chain .layer").length === 4`)
	check(b.accessible(), [][2]string{{"dialog", "alpha"}, {"button", "Close"}, {"group", "Control"}, {"button", "Force open…"}}...)
}

// What is written can be read: in both schemes each text has the contrast of level AA.
func TestRealPageHasContrast(t *testing.T) {
	manager, _, handler := quietSite(t, []string{"alpha", "beta", "gamma"}, observability.AllowControl(func(*http.Request) bool { return true }))
	call(t, manager, "alpha", errors.New("down"))
	if err := manager.ObserveOnly("beta"); err != nil {
		t.Fatal(err)
	}
	b := openTab(t, 1280, 900)
	origin := serve(t, handler)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.open(origin + "/")
		b.wait(`document.querySelectorAll("#events tr").length > 0`)
		for _, open := range []bool{false, true} {
			if open {
				b.click("#tiles .name")
				b.wait(`document.querySelectorAll("#sheet-chain .layer").length === 4`)
				b.click(`[data-action="reset"]`)
			}
			for _, found := range value[[]string](b, lowContrast) {
				t.Errorf("%s: %s", scheme, found)
			}
			if n := value[int](b, `window.compared`); n < 20 {
				t.Errorf("%s: only %d texts were compared", scheme, n)
			}
		}
	}
}

// lowContrast finds texts with less contrast than 4.5 against the colour behind them. It
// passes over pictures and gradients behind: it takes the colour under them.
const lowContrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgba = (color) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
	const light = (c) => {
		const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		const all = [];
		for (let at = e; at; at = at.parentElement) all.unshift(rgba(getComputedStyle(at).backgroundColor));
		return all.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
	};
	const root = document.getElementById("sheet").open ? document.getElementById("sheet") : document.body;
	const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
	const found = new Set();
	window.compared = 0;
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest(".away, svg, noscript, script")) continue;
		window.compared++;
		const back = behind(e);
		const front = over(rgba(getComputedStyle(e).color), back);
		const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
		const contrast = (a + 0.05) / (b + 0.05);
		if (contrast < 4.5) found.add(e.tagName + "." + e.className + " “" + e.textContent.slice(0, 30) + "” has " + contrast.toFixed(2));
	}
	return [...found];
})()`

func TestRealPageOnAPhone(t *testing.T) {
	long := strings.Repeat("x", 64)
	manager, _, _ := quietSite(t, []string{"billing", long})
	monitor := observability.StartMonitoring(t.Context(), manager,
		observability.WithInterval(50*time.Millisecond), observability.WithThresholds(observability.Thresholds{BreakerOpen: time.Nanosecond}))
	defer monitor.Close()
	handler := observability.Page(manager, observability.WithMonitor(monitor), observability.AllowControl(func(*http.Request) bool { return true }))
	call(t, manager, long, errors.New("down"))
	b := openTab(t, 390, 800)
	b.open(serve(t, handler) + "/")
	b.wait(`document.querySelectorAll("#events tr").length > 0 && document.querySelectorAll("#fall .span").length > 0`)
	b.wait(`document.querySelectorAll("#alerts .alert a").length > 0`)
	is(b, `document.querySelector("#alerts a").href.startsWith("https://github.com/tidegate-go/tidegate/blob/main/docs/runbook.md#")`, true)
	for _, width := range []int64{320, 360, 390, 600} {
		b.size(width, 800)
		b.wait(fmt.Sprintf(`innerWidth === %d`, width))
		is(b, `document.documentElement.scrollWidth <= innerWidth`, true)
		is(b, `[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".away, .skip, thead, .wide, svg")
			&& e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + "." + e.className).join(" ")`, "")
		b.click("#tiles .name")
		b.wait(`document.querySelectorAll("#sheet-chain .layer").length === 4`)
		is(b, `document.getElementById("sheet").scrollWidth <= innerWidth`, true)
		b.click("#sheet-close")
	}
}

// Who listens hears of much at once in few words, once, and of numbers nothing.
func TestRealPageSpeaksSeldom(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	manager, _, handler := quietSite(t, names)
	b := openTab(t, 1280, 900)
	b.open(serve(t, handler) + "/")
	value[bool](b, `window.said = [], new MutationObserver(() => said.push(document.getElementById("say").textContent))
		.observe(document.getElementById("say"), {childList: true, characterData: true, subtree: true}), true`)
	is(b, `document.getElementById("say").getAttribute("aria-live")`, "polite")
	is(b, `document.querySelectorAll("[aria-live], [role=alert], [role=log]").length`, 1)
	for range 5 {
		call(t, manager, "a", nil)
	}
	b.wait(`document.querySelector("#tiles .figures dd").textContent.startsWith("100")`)
	is(b, `said.length`, 0)
	for _, name := range names {
		call(t, manager, name, errors.New("down"))
	}
	b.wait(`document.querySelectorAll('#tiles [data-state="open"]').length === 6 && said.length > 0`)
	if said := value[[]string](b, `said`); len(said) != 1 || !strings.Contains(said[0], "a: Open. b: Open. c: Open. And 3 more.") {
		// Two updates of the page may have come in between: then there is a second one later.
		if !strings.HasPrefix(said[0], "a: Open") || len(said) > 2 {
			t.Errorf("it says %q", said)
		}
	}
}

// The colours follow the system until the reader chooses.
func TestRealPageTheme(t *testing.T) {
	_, _, handler := quietSite(t, []string{"billing"})
	b := openTab(t, 1280, 900)
	origin := serve(t, handler)
	const ground = `getComputedStyle(document.body).backgroundColor`
	colours := make(map[string]string)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.open(origin + "/")
		colours[scheme] = value[string](b, ground)
	}
	if colours["light"] == colours["dark"] {
		t.Errorf("both schemes have %s", colours["light"])
	}
	b.click("#theme")
	is(b, `document.getElementById("theme").textContent`, "Theme: Light")
	is(b, ground, colours["light"])
	b.open(origin + "/") // it is remembered
	is(b, ground, colours["light"])
	is(b, `document.getElementById("theme").textContent`, "Theme: Light")
	b.click("#theme")
	b.scheme("light")
	is(b, ground, colours["dark"])
}
