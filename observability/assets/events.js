// The history of events. Equal ones in a row are one line with a number.

import { arrange, el, icon, say, set } from "./element.js";
import { clock, count, duration, full, period, words } from "./format.js";
import { model, newestEvents, traceAddress } from "./model.js";
import { stateOf } from "./state.js";

const byId = (id) => document.getElementById(id);
const made = new Map(); // by id

const kinds = {
  transition: (e) => e.kind === "transition" || e.kind.startsWith("health_check") || e.kind === "limit_changed",
  chaos: (e) => e.kind === "injected",
  refusal: (e) => ["rejected", "would_reject", "timed_out", "lease_expired"].includes(e.kind),
  retry: (e) => e.kind.startsWith("retry") || e.kind === "nested_retry" || e.kind.startsWith("hedge") || e.kind === "fallback_used",
};

const after = (e) => (e.error_type ? ` (${words(e.error_type)})` : "");

const lasting = (e) => (e.wait ? ` ${duration(e.wait)}` : "");

// What a policy that only observes would have done to a call, by the reason; to refuse it by any other.
const observed = {
  rate: (e) => `would have held it back for${lasting(e)}`,
  pause: (e) => `would have held it back for${lasting(e)}, in a pause`,
  timeout: (e) => `would have cut it off after${lasting(e)}`,
};

const faults = {
  latency: (e) => `added a latency of${lasting(e)}`,
  error: (e) => `made it fail${after(e)}`,
  outcome: (e) => `changed its outcome${after(e)}`,
  hang: () => "let it hang",
  cut: (e) => (e.wait ? `cut it off after${lasting(e)}` : "cut it off"),
};

const sentences = {
  rejected: (e) => `refused: ${words(e.reason)}${e.wait ? `, come back in ${duration(e.wait)}` : ""}`,
  would_reject: (e) => `only observes: ${(observed[e.reason] ?? ((x) => `would have refused, ${words(x.reason)}`))(e)}`,
  retry_scheduled: (e) => `attempt ${e.attempt} failed${after(e)}, the next one in ${duration(e.wait)}`,
  retry_stopped: (e) => `attempt ${e.attempt} failed${after(e)}, no other: ${words(e.reason)}`,
  waited: (e) => `waited ${duration(e.wait)} for a turn`,
  timed_out: (e) => `timed out after ${duration(e.wait)}`,
  hedge_started: (e) => `attempt ${e.attempt} began beside the others after ${duration(e.wait)}`,
  hedge_won: (e) => `attempt ${e.attempt}, begun beside others, was the first to succeed`,
  hedge_refused: (e) => `no attempt beside the others: ${words(e.reason)}`,
  health_check_failed: (e) => `health check failed${after(e)}`,
  health_check_passed: () => "health check passed",
  limit_changed: (e) => `limit changed from ${e.from} to ${e.to}${e.reason ? ` (${words(e.reason)})` : ""}`,
  fallback_used: (e) => (e.reason === "failed" ? `the fallback failed too${after(e)}` : `fallback used${after(e)}`),
  injected: (e) => `disturbed a call on purpose: ${(faults[e.reason] ?? ((x) => words(x.reason)))(e)}`,
  nested_retry: (e) =>
    `failed${after(e)} and does not repeat: attempt ${e.attempt} of an outer retry` +
    (e.reason === "header" ? " in another process" : ""),
  lease_expired: (e) => `a place was held for${lasting(e)} and not given back: others have it`,
};

// happened tells what an event is about, as nodes.
export function happened(e) {
  const who = [e.policy && words(e.policy), e.key && `“${e.key}”`].filter(Boolean).join(" ");
  const start = who ? `${who}: ` : "";
  if (e.kind !== "transition") return [start + (sentences[e.kind] ?? ((x) => words(x.kind)))(e)];
  const to = stateOf(e.to);
  const details = [
    words(e.reason),
    e.error_type && words(e.error_type),
    e.wait > 0 && `for ${period(e.wait)}`,
  ].filter(Boolean);
  return [
    `${start}${stateOf(e.from).word.toLowerCase()} to `,
    el("span", { class: `what-state ${to.level}` }, icon(to.shape), to.word.toLowerCase()),
    details.length ? ` (${details.join(", ")})` : "",
  ];
}

export function traceLink(e) {
  const address = traceAddress(e.trace_id);
  if (address) return el("a", { href: address, "aria-label": `Trace of ${e.chain} at ${clock(e.time)}` }, "Trace");
  return e.trace_id ? el("span", { title: e.trace_id }, `${e.trace_id.slice(0, 8)}…`) : "";
}

function makeRow(e) {
  const time = el("time");
  const times = el("td", { class: "num" });
  const trace = el("td");
  const node = el("tr", {}, el("td", {}, time), el("td", {}, e.chain), el("td", {}, ...happened(e)), times, trace);
  let link;
  return {
    node,
    event: e,
    update(event) {
      this.event = event;
      say(time, clock(event.time));
      set(time, "datetime", event.time);
      set(time, "title", event.count > 1 ? `${full(event.time)} to ${full(event.last)}` : full(event.time));
      say(times, event.count > 1 ? `×${count(event.count)}` : "");
      const id = `${event.trace_id} ${model.hello?.trace_link}`;
      if (id !== link) {
        link = id;
        trace.replaceChildren(traceLink(event));
      }
    },
  };
}

export function drawEvents() {
  const kind = byId("events-kind").value;
  const list = newestEvents().filter((e) => !kind || kinds[kind](e));
  for (const e of list) {
    if (!made.has(e.id)) made.set(e.id, makeRow(e));
    const row = made.get(e.id);
    if (row.event !== e || !row.node.isConnected) row.update(e);
  }
  for (const id of made.keys()) if (!model.events.has(id)) made.delete(id);
  arrange(
    byId("events"),
    list.map((e) => made.get(e.id).node),
  );
  say(byId("events-count"), list.length ? `newest ${list.length}` : "");
  byId("events-scroll").hidden = list.length === 0;
  const empty = byId("events-empty");
  empty.hidden = list.length > 0;
  say(
    empty,
    model.events.size
      ? "No event is of that kind."
      : "No event yet. Policies tell when they refuse, repeat or change their state.",
  );
}
