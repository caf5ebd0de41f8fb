// One call as a waterfall: a row for each span, its bar where and as long as it lasted, its events as marks.

import { el, set } from "./element.js";
import { clock, duration, full, several } from "./format.js";
import { traceAddress } from "./model.js";

// depthOf says how many spans a span is inside of.
function depths(spans) {
  return spans.map((s) => {
    let depth = 0;
    for (let at = s, left = spans.length; at.parent >= 0 && left > 0; left--) {
      at = spans[at.parent];
      depth++;
    }
    return depth;
  });
}

function pairs(list) {
  return el(
    "dl",
    { class: "pairs" },
    ...list.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

function details(s) {
  const node = el("div", { class: "details" });
  if (s.attributes?.length) node.append(el("div", {}, el("h4", {}, "Attributes"), pairs(s.attributes)));
  for (const e of s.events ?? []) {
    node.append(
      el(
        "div",
        {},
        el("h4", {}, `${e.name}, after ${duration(Math.max(0, e.at - s.start))}`),
        pairs(e.attributes ?? []),
      ),
    );
  }
  if (!node.childElementCount) node.append("This span has neither attributes nor events.");
  return node;
}

const share = (n, of) => `${(of > 0 ? Math.min(Math.max(n / of, 0), 1) : 0) * 100}%`;

function row(s, depth, whole) {
  const bar = el("span", { class: "bar" });
  if (s.kind.toLowerCase() === "client") bar.classList.add("client");
  if (s.name.endsWith(" wait")) bar.classList.add("wait");
  if (s.red) bar.classList.add("red");
  bar.style.left = share(s.start, whole);
  bar.style.width = share(s.took, whole);
  const lane = el("span", { class: "lane", "aria-hidden": "true" }, bar);
  for (const e of s.events ?? []) {
    const tick = el("span", { class: "tick", title: `${e.name} at ${duration(e.at)}` });
    tick.style.left = share(e.at, whole);
    lane.append(tick);
  }
  const label = el("span", { class: "label" }, el("span", { class: "what", title: s.name }, s.name));
  label.style.paddingLeft = `${depth * 14}px`;
  label.append(el("span", { class: "kind" }, s.kind.toUpperCase()));
  if (s.red) label.append(el("span", { class: "error" }, "error"));
  if (s.events?.length) label.append(el("span", { class: "away" }, `, ${several(s.events.length, "event")}`));
  const button = el(
    "button",
    { type: "button", "aria-expanded": "false" },
    label,
    lane,
    el("span", { class: "took" }, duration(s.took)),
  );
  const node = el("div", { class: "span", role: "listitem" }, button);
  let more;
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") === "false";
    set(button, "aria-expanded", String(open));
    if (open) node.append((more ??= details(s)));
    else more.remove();
  });
  return node;
}

export function drawWaterfall(into, trace) {
  const spans = trace.all;
  const whole = Math.max(trace.took, ...spans.map((s) => s.start + s.took), 0.000001);
  const head = el(
    "div",
    { class: "fall-head" },
    el("h3", {}, trace.title),
    el(
      "span",
      { class: "soft", title: full(trace.start) },
      `${clock(trace.start)}, ${duration(trace.took)}, ${several(spans.length, "span")}`,
    ),
  );
  if (trace.red) head.append(el("span", { class: "bad" }, "ended in an error"));
  const address = traceAddress(trace.trace_id);
  if (address) head.append(el("a", { href: address }, "Open the trace"));
  const ticks = el(
    "span",
    { class: "ticks" },
    ...[0, 1, 2, 3, 4].map((i) => el("span", {}, i ? duration((whole * i) / 4) : "0")),
  );
  const depth = depths(spans);
  into.replaceChildren(
    head,
    el("div", { class: "axis", "aria-hidden": "true" }, el("span", {}, "Span"), ticks, el("span")),
    el("div", { role: "list" }, ...spans.map((s, i) => row(s, depth[i], whole))),
  );
}
