// The alerts that last.

import { arrange, el, icon, say, set, webAddress } from "./element.js";
import { clock, full, period, words } from "./format.js";
import { model, now, traceAddress } from "./model.js";

const byId = (id) => document.getElementById(id);
const made = new Map();

// repository is where the runbook is, a file of it.
const repository = "https://github.com/tidegate-go/tidegate/blob/main/";

export function alertKey(a) {
  return JSON.stringify([a.name, a.chain, a.policy, a.key]);
}

function makeAlert(open) {
  const severity = el("span");
  const what = el("b");
  const text = el("span", { class: "text" });
  const since = el("time");
  const more = el("span", { class: "more" }, since);
  const node = el(
    "li",
    { class: "alert" },
    el("span", { class: "state" }, icon("triangle"), severity),
    what,
    text,
    more,
  );
  const service = el("button", { type: "button", class: "plain" });
  let links = "";
  let data;
  service.addEventListener("click", () => open(data.chain));
  return {
    node,
    update(a) {
      data = a;
      const critical = a.severity === "critical";
      node.classList.toggle("critical", critical);
      severity.className = "severity";
      node.firstChild.className = `state ${critical ? "bad" : "warn"}`;
      say(severity, a.severity);
      say(what, a.name);
      say(text, a.text || words(a.name));
      say(since, `since ${clock(a.since)}, ${period((now() - Date.parse(a.since)) / 1000)}`);
      set(since, "datetime", a.since);
      set(since, "title", full(a.since));
      const key = JSON.stringify([a.runbook, a.trace_id, a.chain]);
      if (key === links) return;
      links = key;
      more.replaceChildren(since);
      const runbook = webAddress(a.runbook, repository);
      if (a.runbook && runbook)
        more.append(el("a", { href: runbook, "aria-label": `Runbook of ${a.name}` }, "Runbook"));
      const trace = traceAddress(a.trace_id);
      if (trace) more.append(el("a", { href: trace, "aria-label": `Trace of ${a.name}, ${a.chain}` }, "Trace"));
      if (a.chain && model.services.has(a.chain)) {
        say(service, a.chain);
        more.append(service);
      }
    },
  };
}

export function drawAlerts(open) {
  const keys = model.alerts.map(alertKey);
  model.alerts.forEach((a, i) => {
    if (!made.has(keys[i])) made.set(keys[i], makeAlert(open));
    made.get(keys[i]).update(a);
  });
  for (const key of made.keys()) if (!keys.includes(key)) made.delete(key);
  arrange(
    byId("alerts"),
    keys.map((key) => made.get(key).node),
  );
  say(byId("alerts-count"), keys.length ? String(keys.length) : "");
  const empty = byId("alerts-empty");
  empty.hidden = keys.length > 0;
  const looks = model.hello?.monitor ? "" : " Without a monitor the page looks for alerts only while it is open.";
  say(empty, `Nothing to report.${looks}`);
}
