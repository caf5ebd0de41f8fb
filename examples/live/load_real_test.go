//go:build real

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
)

// A told is a policy that tells one report of itself, and of each call the same events.
type told struct {
	report middleware.Report
	events []middleware.Event
}

func (p *told) Execute(ctx context.Context, next middleware.Next) error {
	for _, e := range p.events {
		e.Policy = p.report.Name
		next.Emit(ctx, e)
	}
	return next.Do(ctx)
}

func (p *told) Reports(yield func(middleware.Report) bool) { yield(p.report) }

func telling(kind, reading string, value float64, events ...middleware.Event) *told {
	return &told{middleware.Report{Type: kind, Name: kind, Readings: []middleware.Reading{{Name: reading, Value: value}}}, events}
}

// Load that is shed, calls that are disturbed and what is only observed are seen at a glance,
// in words, by everybody and on a phone.
func TestRealPageShowsLoadAndChaos(t *testing.T) {
	observing := telling("bulkhead", "leases_expired", 1,
		middleware.Event{Kind: middleware.WouldReject, Reason: "bulkhead_full"},
		middleware.Event{Kind: middleware.WouldReject, Reason: "rate", Wait: 2 * time.Second},
		middleware.Event{Kind: middleware.WouldReject, Reason: "timeout", Wait: 3 * time.Second},
		middleware.Event{Kind: middleware.LeaseExpired, Wait: time.Minute})
	observing.report.Settings = []middleware.Setting{{Name: "ObserveOnly", Value: "on"}}
	chain := middleware.NewChain("billing", observability.New(observability.WithLive()),
		telling("fallback", "used", 1, middleware.Event{Kind: middleware.FallbackUsed}, middleware.Event{Kind: middleware.FallbackUsed, Reason: "failed"}),
		telling("throttle", "rejection", 0.25),
		telling("retry", "calls", 1, middleware.Event{Kind: middleware.NestedRetry, Attempt: 2, Reason: "header"}),
		telling("adaptive_limit", "rtt_long", 0.25, middleware.Event{Kind: middleware.LimitChanged, From: "20", To: "12", Reason: "drop"}),
		observing,
		telling("chaos", "armed", 1,
			middleware.Event{Kind: middleware.Injected, Reason: "latency", Wait: time.Second},
			middleware.Event{Kind: middleware.Injected, Reason: "cut", Wait: time.Second},
			middleware.Event{Kind: middleware.Injected, Reason: "hang"}))
	if err := chain.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	b := openTab(t, 1280, 900)
	origin := serve(t, observability.Page(shelf{chain}))
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.open(origin + "/")
		b.wait(`document.querySelectorAll("#events tr").length === 11`)
		is(b, stateWord, "Sheds 25 %")
		is(b, `document.querySelector(".tile .chaos").checkVisibility()`, true)
		is(b, `document.querySelector(".tile .until").textContent`, "3 only observed")
		is(b, `document.getElementById("n-trouble").textContent`, "1")
		is(b, `[...document.querySelectorAll("#summary dt")].some((e) => e.textContent === "chaos")`, true)
		is(b, `document.querySelector("#alerts b").textContent`, "ChaosActive")
		for _, found := range value[[]string](b, lowContrast) {
			t.Errorf("%s: %s", scheme, found)
		}
		b.click("#tiles .name")
		b.wait(`document.querySelectorAll("#sheet-chain .layer").length === 6`)
		for _, found := range value[[]string](b, lowContrast) {
			t.Errorf("%s, the sheet: %s", scheme, found)
		}
	}
	events, sheet := value[string](b, `document.getElementById("events").innerText`), value[string](b, `document.getElementById("sheet-chain").innerText`)
	for text, want := range map[string][]string{
		events: {
			"chaos: disturbed a call on purpose: added a latency of 1.00\u202fs", "cut it off after 1.00\u202fs", "let it hang",
			"only observes: would have refused, bulkhead full", "only observes: would have held it back for 2.00\u202fs",
			"only observes: would have cut it off after 3.00\u202fs", "a place was held for 60.0\u202fs and not given back",
			"attempt 2 of an outer retry in another process", "fallback used", "the fallback failed too", "limit changed from 20 to 12 (drop)",
		},
		sheet: {
			"Fallback", "Throttle", "refuses 25 % of the calls, to take load off", "25.0\u202f%", "Adaptive limit", "250\u202fms",
			"only observes", "Chaos", "disturbs calls on purpose", "yes",
		},
	} {
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("there is no %q in\n%s", w, text)
			}
		}
	}
	b.click("#sheet-close")
	value[bool](b, `((s) => { s.value = "chaos"; return s.dispatchEvent(new Event("change")); })(document.getElementById("events-kind"))`)
	b.wait(`document.querySelectorAll("#events tr").length === 3`)
	b.size(360, 740)
	b.wait(`innerWidth === 360`)
	b.click("#tiles .name")
	is(b, `document.documentElement.scrollWidth <= 360`, true)
	is(b, `[...document.querySelectorAll("#sheet-chain .layer")].every((e) => e.scrollWidth <= e.clientWidth)`, true)
	b.quiet(origin)
}
