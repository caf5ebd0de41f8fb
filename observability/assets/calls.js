// The list of the newest calls, and the one that was chosen from it.

import { arrange, el, icon, say, set } from "./element.js";
import { clock, duration, several } from "./format.js";
import { model } from "./model.js";
import { drawWaterfall } from "./waterfall.js";

const byId = (id) => document.getElementById(id);
const made = new Map(); // by key
let chosen = null;
let asked = 0;

async function choose(key) {
  chosen = key;
  mark();
  const turn = ++asked;
  const fall = byId("fall");
  try {
    const answer = await fetch(`trace?id=${encodeURIComponent(key)}`);
    const trace = await answer.json();
    if (turn !== asked) return;
    if (answer.ok) drawWaterfall(fall, trace);
    else fall.replaceChildren(el("p", { class: "empty" }, trace.error));
  } catch {
    if (turn === asked) fall.replaceChildren(el("p", { class: "empty" }, "The server does not answer."));
  }
}

function mark() {
  for (const [key, line] of made) set(line.firstChild, "aria-current", key === chosen ? "true" : undefined);
}

function makeLine(t) {
  const shape = icon(t.red ? "triangle" : "circle");
  shape.classList.add(t.red ? "bad" : "good");
  const button = el(
    "button",
    { type: "button" },
    shape,
    el("span", { class: "title", title: t.title }, t.title),
    el("span", {}, duration(t.took)),
    el("span", { class: "sub" }, `${clock(t.start)} · ${several(t.spans, "span")}${t.red ? " · error" : ""}`),
  );
  button.addEventListener("click", () => choose(t.key));
  return el("li", {}, button);
}

// drawCalls leaves the list alone while somebody is about to choose from it.
export function drawCalls(now) {
  const lines = byId("lines");
  const list = model.traces.filter((t) => !byId("traces-red").checked || t.red);
  const empty = byId("traces-empty");
  byId("calls").hidden = model.traces.length === 0;
  empty.hidden = list.length > 0;
  say(
    empty,
    !model.hello?.live
      ? "Calls are kept only by an observer made with WithLive."
      : model.traces.length
        ? "None of these calls is red."
        : "No call yet.",
  );
  if (!now && (lines.matches(":hover") || lines.contains(document.activeElement))) {
    say(byId("traces-count"), "held while you are in the list");
    return;
  }
  for (const t of list) if (!made.has(t.key)) made.set(t.key, makeLine(t));
  arrange(
    lines,
    list.map((t) => made.get(t.key)),
  );
  const keys = new Set(model.traces.map((t) => t.key));
  for (const key of made.keys()) if (!keys.has(key)) made.delete(key);
  say(byId("traces-count"), list.length ? `${list.length}` : "");
  if (chosen === null && list.length) choose(list.reduce((a, b) => (b.spans > a.spans ? b : a)).key);
  mark();
}
