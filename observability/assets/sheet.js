// The sheet of one service: its chain, drawn from the outermost policy to the innermost, with settings and readings.

import { drawControl } from "./control.js";
import { el, icon, say } from "./element.js";
import { happened, traceLink } from "./events.js";
import { clock, count, duration, full, percent, period, words } from "./format.js";
import { model, newestEvents, now, traceAddress } from "./model.js";
import { conditionOf, stateOf } from "./state.js";
import { untilText } from "./tiles.js";

const byId = (id) => document.getElementById(id);
const refresh = 2000;
let shown = null;
let timer = 0;
let drawn = "";

export function openSheet(name) {
  if (shown === name) return;
  shown = name;
  drawn = "";
  const sheet = byId("sheet");
  say(byId("sheet-title"), name || "(no name)");
  byId("sheet-chain").replaceChildren(el("p", { class: "empty" }, "Asking…"));
  byId("sheet-control").replaceChildren();
  if (model.hello?.control) drawControl(byId("sheet-control"), name);
  drawSheet();
  if (!sheet.open) sheet.showModal();
  history.replaceState(null, "", `#service=${encodeURIComponent(name)}`);
  ask();
}

export function prepareSheet() {
  const sheet = byId("sheet");
  byId("sheet-close").addEventListener("click", () => sheet.close());
  sheet.addEventListener("click", (e) => {
    if (e.target === sheet && e.offsetX < 0) sheet.close();
  });
  sheet.addEventListener("close", () => {
    shown = null;
    clearTimeout(timer);
    history.replaceState(null, "", location.pathname + location.search);
  });
}

// drawSheet draws what the page knows already.
export function drawSheet() {
  if (shown === null) return;
  const s = model.services.get(shown);
  const state = byId("sheet-state");
  if (!s) {
    state.className = "state none";
    say(state, "This service is no more.");
    return;
  }
  const condition = conditionOf(s);
  const key = `${condition.shape} ${condition.level}`;
  if (state.dataset.key !== key) {
    state.dataset.key = key;
    state.className = `state ${condition.level}`;
    state.replaceChildren(icon(condition.shape), el("span"));
  }
  say(
    state.lastChild,
    [condition.word, s.reason && s.state !== "closed" && words(s.reason), untilText(s)].filter(Boolean).join(", "),
  );
  const list = newestEvents()
    .filter((e) => e.chain === shown)
    .slice(0, 12);
  const events = byId("sheet-events");
  const version = JSON.stringify(list.map((e) => [e.id, e.count])) + shown;
  if (events.dataset.version === version) return;
  events.dataset.version = version;
  events.replaceChildren(
    ...(list.length
      ? list.map((e) => {
          const times = e.count > 1 ? ` ×${count(e.count)}` : "";
          return el(
            "li",
            {},
            el("time", { datetime: e.time, title: full(e.time), class: "soft" }, clock(e.time)),
            el("span", {}, ...happened(e), times),
            traceLink(e),
          );
        })
      : [el("li", { class: "empty" }, "None yet.")]),
  );
}

async function ask() {
  clearTimeout(timer);
  const name = shown;
  const chain = await answerOf(`chain?service=${encodeURIComponent(name)}`);
  if (shown !== name) return;
  timer = setTimeout(ask, refresh);
  if (!chain) return; // the top of the page says that the connection is lost
  if (chain.error === undefined) drawChain(chain);
  else byId("sheet-chain").replaceChildren(el("p", { class: "empty" }, chain.error));
}

async function answerOf(address) {
  try {
    return await (await fetch(address)).json();
  } catch {
    return null;
  }
}

// drawChain draws the policies anew when they have changed, and otherwise only the numbers.
function drawChain(chain) {
  const shape = JSON.stringify(chain.policies.map((p) => [p.type, p.name, p.settings, p.keys?.map((k) => k.key)]));
  const into = byId("sheet-chain");
  if (shape !== drawn) {
    drawn = shape;
    into.replaceChildren(
      el("p", { class: "end" }, "↓ a call comes in"),
      el("ol", { class: "layers" }, ...layers(chain.policies)),
      el(
        "p",
        { class: "end" },
        chain.policies.length
          ? "↓ the call goes out to the service"
          : "No policy: calls go straight to the service.",
      ),
    );
  }
  const nodes = into.querySelectorAll(".layers > .layer");
  chain.policies.forEach((p, i) => nodes[i]?.update(p));
}

// layers draws each policy inside the one before it. A budget is no policy but a part of one.
function layers(policies) {
  let depth = -1;
  return policies.map((p) => {
    if (p.type !== "budget") depth++;
    return layer(p, Math.min(Math.max(depth, 0), 8));
  });
}

const kinds = {
  breaker: "Circuit breaker",
  retry: "Retry",
  hedge: "Hedge",
  budget: "Retry budget",
  timeout: "Time limit",
  rate_limit: "Rate limit",
  bulkhead: "Bulkhead",
  adaptive_limit: "Adaptive limit",
  throttle: "Throttle",
  deadline: "Deadline",
  fallback: "Fallback",
  chaos: "Chaos",
  keyed: "One for each key",
  function: "A function",
};

function layer(policy, depth) {
  const node = el("li", { class: "layer" });
  node.style.marginLeft = `${depth * 14}px`;
  const state = el("span", { class: "state" });
  const title = kinds[policy.type] ?? policy.type;
  const head = el("div", { class: "layer-head" }, el("b", {}, title));
  if (policy.name && policy.name !== policy.type) head.append(el("span", { class: "soft" }, policy.name));
  head.append(state);
  const readings = el("dl", { class: "grid readings" });
  const all = policy.settings ?? [];
  const settings = el(
    "dl",
    { class: "grid" },
    ...all.filter((s) => s.value !== "off").map((s) => pair(s.name, s.value)),
  );
  const off = all.filter((s) => s.value === "off").map((s) => s.name);
  const keys = el("div");
  node.append(head, readings, settings);
  if (off.length) node.append(el("p", { class: "off" }, `Off: ${off.join(", ")}`));
  node.append(keys);
  if (policy.type === "budget") node.classList.add("part");
  node.update = (p) => {
    node.dataset.level = p.circuit ? stateOf(p.circuit.state).level : p.note?.warn ? "warn" : "";
    if (p.note) drawNote(state, p.note);
    else drawCircuit(state, p.circuit);
    drawReadings(readings, p);
    drawKeys(keys, p);
  };
  node.update(policy);
  return node;
}

function pair(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

function drawCircuit(node, circuit) {
  if (!circuit) {
    delete node.dataset.text;
    node.replaceChildren();
    return;
  }
  const s = stateOf(circuit.state);
  node.className = `state ${s.level}`;
  const text = [s.word, circuit.reason && circuit.state !== "closed" && words(circuit.reason), untilText(circuit)]
    .filter(Boolean)
    .join(", ");
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(icon(s.shape), text);
}

function drawNote(node, note) {
  const level = note.warn ? "warn" : "none";
  node.className = `state ${level}`;
  if (node.dataset.text === note.text) return;
  node.dataset.text = note.text;
  node.replaceChildren(icon(note.warn ? "triangle" : "eye"), note.text);
}

const seconds = new Set(["rtt", "rtt_long", "usual", "delay", "pause"]);

function reading(name, value) {
  if (name.endsWith("_rate") || name === "ratio" || name.startsWith("rejection")) return percent(value);
  if (name.endsWith("_seconds") || name.endsWith("duration") || seconds.has(name)) return duration(value);
  if (name === "armed") return value > 0 ? "yes" : "no";
  return Number.isInteger(value) ? count(value) : value.toFixed(2);
}

function drawReadings(into, p) {
  const list = (p.readings ?? []).map((r) => [words(r.name), reading(r.name, r.value)]);
  const places = p.type === "bulkhead" || p.type === "adaptive_limit";
  if (places || p.running) list.push(["running", count(p.running ?? 0)]);
  if (places || p.type === "rate_limit" || p.waiting) list.push(["waiting", count(p.waiting ?? 0)]);
  for (const t of p.circuit?.times ?? []) list.push([`${words(t.state)} in all`, period(t.seconds)]);
  const version = JSON.stringify(list) + (p.circuit?.opened_by ?? "");
  if (into.dataset.version === version) return;
  into.dataset.version = version;
  into.replaceChildren(...list.map(([n, v]) => pair(n, v)));
  const opener = p.circuit?.opened_by;
  if (!opener) return;
  const address = traceAddress(opener);
  into.append(
    pair(
      "opened by",
      address ? el("a", { href: address, "aria-label": "Trace of the call that opened it" }, "Trace") : opener,
    ),
  );
}

function drawKeys(into, p) {
  if (!p.keys?.length) {
    into.replaceChildren();
    return;
  }
  const open = into.querySelector("details")?.open ?? true;
  const version = JSON.stringify(p.keys);
  if (into.dataset.version === version) return;
  into.dataset.version = version;
  const box = el(
    "details",
    {},
    el("summary", {}, p.more ? `${p.keys.length} keys, and ${count(p.more)} more` : `${p.keys.length} keys`),
  );
  box.open = open;
  box.append(
    el(
      "dl",
      { class: "grid readings" },
      ...p.keys.map((k) => pair(k.key, k.policies.map(keyText).filter(Boolean).join("; ") || "at rest")),
    ),
  );
  into.replaceChildren(box);
}

function keyText(p) {
  if (p.circuit)
    return [
      stateOf(p.circuit.state).word,
      p.circuit.until && `tries again in ${period((Date.parse(p.circuit.until) - now()) / 1000)}`,
    ]
      .filter(Boolean)
      .join(", ");
  const parts = (p.readings ?? []).map((r) => `${words(r.name)} ${reading(r.name, r.value)}`);
  if (p.running) parts.push(`${p.running} running`);
  if (p.waiting) parts.push(`${p.waiting} waiting`);
  return parts.join(", ");
}
