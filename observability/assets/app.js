// The page. It draws what the server sends, at most once for each picture of the screen, and only what has changed.

import { listen, tell } from "./announcer.js";
import { drawAlerts } from "./alerts.js";
import { drawCalls } from "./calls.js";
import { connect } from "./connection.js";
import { el, say, set } from "./element.js";
import { drawEvents } from "./events.js";
import * as format from "./format.js";
import { model } from "./model.js";
import { drawSheet, openSheet, prepareSheet } from "./sheet.js";
import { openStates } from "./state.js";
import { arrangeTiles, drawTiles, tickTiles } from "./tiles.js";

const byId = (id) => document.getElementById(id);
const dirty = { services: new Set(), all: true, alerts: true, events: true, traces: true, hello: true };
let planned = false;

function plan() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(draw);
}

function draw() {
  planned = false;
  drawLink();
  if (model.paused || !model.hello) return;
  if (dirty.hello) drawNotices();
  if (dirty.all || dirty.services.size) {
    drawTiles(openSheet, dirty.all ? null : dirty.services);
    drawSummary();
  }
  if (dirty.alerts || dirty.hello) drawAlerts(openSheet);
  if (dirty.events) drawEvents();
  if (dirty.traces || dirty.hello) drawCalls();
  drawSheet();
  dirty.services.clear();
  dirty.all = dirty.alerts = dirty.events = dirty.traces = dirty.hello = false;
}

function take(update, first) {
  if (update) {
    for (const s of update.services ?? []) dirty.services.add(s.name);
    dirty.all ||= first || Boolean(update.removed);
    dirty.alerts ||= first || Boolean(update.alerts);
    dirty.events ||= first || Boolean(update.events);
    dirty.traces ||= first || Boolean(update.traces);
    dirty.hello ||= first || Boolean(update.hello);
    listen();
    if (first) openFromAddress();
  }
  plan();
}

const links = {
  connecting: "Connecting",
  live: "Live",
  lost: "Connection lost, trying again",
};

function drawLink() {
  const node = byId("link");
  if (node.dataset.state !== model.link) {
    if (model.link === "lost") tell("Connection lost");
    else if (node.dataset.state === "lost") tell("Connected again");
    node.dataset.state = model.link;
  }
  say(byId("link-word"), model.paused && model.link === "live" ? "Paused" : links[model.link]);
}

function drawNotices() {
  const notices = [];
  const { observer, live, history } = model.hello;
  if (model.services.size && !observer) {
    notices.push([
      "There is no observer in the chains, so this page shows breakers and queues, but no calls and no events. " +
        "Give the manager one: ",
      "tidegate.WithObserver(observability.New(observability.WithLive()))",
    ]);
  } else if (model.services.size && !live) {
    notices.push([
      "The observer keeps no numbers of calls, so there are no rates, latencies and waterfalls. Make it with ",
      "observability.New(observability.WithLive())",
    ]);
  }
  if (observer && !history)
    notices.push([
      "The observer keeps no history, so there are no events. Leave out ",
      "observability.WithHistory(-1)",
    ]);
  byId("notices").replaceChildren(
    ...notices.map(([text, code]) => el("p", { class: "notice" }, text, el("code", {}, code))),
  );
}

const sums = new Map();

function sum(label, value, level) {
  if (!sums.has(label)) {
    const dd = el("dd");
    sums.set(label, dd);
    byId("summary").append(el("div", {}, el("dt", {}, label), dd));
  }
  const dd = sums.get(label);
  say(dd, value);
  set(dd, "class", level);
}

function drawSummary() {
  const all = [...model.services.values()];
  const add = (f) => all.reduce((n, s) => n + (f(s) ?? 0), 0);
  const open = all.filter((s) => openStates.has(s.state)).length;
  const known = all.some((s) => s.calls !== undefined);
  sum("services", format.count(all.length));
  sum("not closed", String(open), open ? "bad" : undefined);
  if (known) {
    const rate = add((s) => (s.success_rate === undefined ? 0 : s.rate));
    sum("success", rate > 0 ? format.percent(add((s) => (s.success_rate ?? 0) * s.rate) / rate) : format.none);
    sum("calls/s", format.rate(add((s) => s.rate)));
  }
  const chaos = all.filter((s) => s.chaos).length;
  if (chaos || sums.has("chaos")) sum("chaos", String(chaos), chaos ? "bad" : undefined);
  sum("in flight", format.count(add((s) => s.in_flight ?? s.running)));
  sum("waiting", format.count(add((s) => s.waiting)));
}

const themes = ["auto", "light", "dark"];

function prepareTheme() {
  const name = () => document.documentElement.dataset.theme ?? "auto";
  const show = () => say(byId("theme-word"), name()[0].toUpperCase() + name().slice(1));
  byId("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(name()) + 1) % themes.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("tidegate-theme", next);
    } catch {
      // It lasts as long as the page.
    }
    show();
  });
  show();
}

function openFromAddress() {
  const name = new URLSearchParams(location.hash.slice(1)).get("service");
  if (name !== null && model.services.has(name)) openSheet(name);
}

function prepare() {
  say(byId("host"), location.host);
  prepareTheme();
  prepareSheet();
  byId("filters").addEventListener("input", () => arrangeTiles(true));
  byId("filters").addEventListener("submit", (e) => e.preventDefault());
  byId("traces-red").addEventListener("change", () => drawCalls(true));
  byId("events-kind").addEventListener("change", drawEvents);
  byId("lines").addEventListener("pointerleave", () => {
    dirty.traces = true;
    plan();
  });
  byId("pause").addEventListener("click", () => {
    model.paused = !model.paused;
    set(byId("pause"), "aria-pressed", String(model.paused));
    plan();
  });
  addEventListener("hashchange", openFromAddress);
  addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea, dialog"))
      return;
    e.preventDefault();
    byId("search").focus();
  });
  setInterval(() => {
    if (model.paused) return;
    tickTiles();
    if (model.alerts.length) drawAlerts(openSheet);
    drawSheet();
  }, 1000);
  connect(take);
}

prepare();
