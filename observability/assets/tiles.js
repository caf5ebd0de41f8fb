// The services as tiles: search, filter, order.

import { arrange, el, icon, say, set } from "./element.js";
import * as format from "./format.js";
import { model, now } from "./model.js";
import { makeSpark } from "./spark.js";
import { conditionOf, openStates } from "./state.js";

const byId = (id) => document.getElementById(id);
const made = new Map(); // by name
let ranked = 0; // when the order by rate was made last
let rates = new Map();

function makeTile(name, open) {
  const button = el("button", { type: "button", class: "name", title: name || "(no name)" }, name || "(no name)");
  button.addEventListener("click", () => open(name));
  const word = el("span");
  const chaos = el("span", { class: "chaos", title: "A chaos policy disturbs calls on purpose" }, "Chaos");
  const shape = el("span", { class: "shape" });
  const state = el("span", { class: "state" }, shape, word);
  const spark = makeSpark();
  const values = {};
  const figure = (key, label) => {
    values[key] = el("dd", {}, format.none);
    return el("div", {}, el("dt", {}, label), values[key]);
  };
  const figures = el(
    "dl",
    { class: "figures" },
    figure("success", "success"),
    figure("rate", "calls/s"),
    figure("p50", "p50"),
    figure("p95", "p95"),
    figure("p99", "p99"),
  );
  const load = el("span");
  const until = el("span", { class: "until" });
  const node = el(
    "li",
    { class: "tile" },
    el("div", { class: "row" }, el("h3", {}, button), chaos, state),
    spark.node,
    figures,
    el("div", { class: "foot" }, load, until),
  );
  const tile = { node, data: null, condition: null };
  let shown = "";
  tile.update = (s) => {
    tile.data = s;
    const condition = conditionOf(s);
    tile.condition = condition;
    set(node, "data-level", condition.level);
    set(node, "data-state", s.state ?? "");
    if (shown !== condition.shape) {
      shown = condition.shape;
      shape.replaceChildren(icon(shown));
    }
    state.className = `state ${condition.level}`;
    say(
      word,
      s.troubled > 0 && s.breakers > 1 ? `${condition.word} (${s.troubled} of ${s.breakers})` : condition.word,
    );
    chaos.hidden = !s.chaos;
    const known = s.calls !== undefined;
    const some = known && s.success_rate !== undefined;
    spark.node.toggleAttribute("hidden", !known);
    figures.hidden = !known;
    if (known) spark.update(s.spark);
    say(values.success, some ? format.percent(s.success_rate) : format.none);
    set(values.success, "class", some && s.success_rate < 0.95 ? "bad" : undefined);
    say(values.rate, known ? format.rate(s.rate) : format.none);
    for (const p of ["p50", "p95", "p99"]) say(values[p], some && s[p] > 0 ? format.duration(s[p]) : format.none);
    say(load, `${format.count(s.in_flight ?? s.running)} in flight, ${format.count(s.waiting)} waiting`);
    tile.tick();
  };
  // tick writes what changes with time alone.
  tile.tick = () => {
    const s = tile.data;
    const observed = s.would_refuse > 0 ? `${format.count(s.would_refuse)} only observed` : "";
    const repeated = s.amplification > 1.005 ? `×${s.amplification.toFixed(2)} attempts` : "";
    say(until, untilText(s) || observed || repeated);
  };
  return tile;
}

// untilText says how long a state lasts or has lasted.
export function untilText(s) {
  if (s.until) {
    const left = (Date.parse(s.until) - now()) / 1000;
    return left > 0 ? `tries again in ${format.period(Math.ceil(left))}` : "tries again now";
  }
  if (s.state === "closed" && s.share < 1) return `lets ${Math.round(s.share * 100)} % through`;
  if (!s.since || s.state === "closed") return "";
  return `for ${format.period((now() - Date.parse(s.since)) / 1000)}`;
}

export function choice() {
  return {
    text: byId("search").value.trim().toLowerCase(),
    show: document.querySelector('input[name="show"]:checked').value,
    sort: byId("sort").value,
  };
}

const shows = {
  all: () => true,
  trouble: (s, condition) => condition.rank > 0,
  open: (s) => openStates.has(s.state),
  closed: (s) => !openStates.has(s.state ?? ""),
};

// The order by rate stands for a while, or the tiles would never come to rest.
const rateStands = 5000;

const orders = {
  name: (a, b) => a.data.name.localeCompare(b.data.name, undefined, { numeric: true }),
  trouble: (a, b) => b.condition.rank - a.condition.rank || orders.name(a, b),
  rate: (a, b) => (rates.get(b.data.name) ?? 0) - (rates.get(a.data.name) ?? 0) || orders.name(a, b),
};

// With more services than this the tiles become smaller.
const many = 48;

// drawTiles draws the services that have changed; with none given, all.
export function drawTiles(open, changed) {
  for (const name of changed ?? model.services.keys()) {
    const s = model.services.get(name);
    if (!s) continue;
    if (!made.has(name)) made.set(name, makeTile(name, open));
    made.get(name).update(s);
  }
  for (const name of made.keys()) if (!model.services.has(name)) made.delete(name);
  arrangeTiles();
}

export function arrangeTiles(anew) {
  const { text, show, sort } = choice();
  if (sort === "rate" && (anew || performance.now() - ranked > rateStands)) {
    ranked = performance.now();
    rates = new Map([...model.services.values()].map((s) => [s.name, s.rate ?? 0]));
  }
  const all = [...made.values()];
  const wanted = all
    .filter((t) => shows[show](t.data, t.condition) && (!text || t.data.name.toLowerCase().includes(text)))
    .sort(orders[sort]);
  byId("services").classList.toggle("many", all.length > many);
  arrange(
    byId("tiles"),
    wanted.map((t) => t.node),
  );
  const amount = (which) => all.filter((t) => shows[which](t.data, t.condition)).length;
  for (const which of ["trouble", "open", "closed"]) say(byId(`n-${which}`), String(amount(which)));
  say(
    byId("services-count"),
    wanted.length === all.length ? format.several(all.length, "service") : `${wanted.length} of ${all.length}`,
  );
  const empty = byId("tiles-empty");
  empty.hidden = wanted.length > 0;
  say(
    empty,
    all.length === 0 ? "There are no services yet." : "No service is like that. Change the search or the filter.",
  );
}

export function tickTiles() {
  for (const t of made.values()) if (t.data.until || t.data.state !== "closed") t.tick();
}
