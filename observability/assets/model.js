// What the page knows: all that the server has sent, put together.

export const model = {
  hello: null,
  services: new Map(),
  alerts: [],
  events: new Map(),
  traces: [],
  link: "connecting", // or "live", "lost"
  paused: false,
  ahead: 0, // by how many milliseconds the server's clock is ahead of this one
};

const eventsKept = 200;

// now is the time of the server.
export function now() {
  return Date.now() + model.ahead;
}

// apply takes an update. The first one of a connection has everything.
export function apply(update, first) {
  model.ahead = Date.parse(update.now) - Date.now();
  if (first) {
    model.services.clear();
    model.events.clear();
    model.alerts = [];
    model.traces = [];
  }
  if (update.hello) model.hello = update.hello;
  for (const s of update.services ?? []) model.services.set(s.name, s);
  for (const name of update.removed ?? []) model.services.delete(name);
  if (update.alerts) model.alerts = update.alerts;
  for (const e of update.events ?? []) model.events.set(e.id, e);
  if (update.events) forget();
  if (update.traces) model.traces = update.traces;
}

function forget() {
  if (model.events.size <= eventsKept) return;
  const old = newestEvents().slice(eventsKept);
  for (const e of old) model.events.delete(e.id);
}

// newestEvents are the events, the newest first.
export function newestEvents() {
  return [...model.events.values()].sort(
    (a, b) => Date.parse(b.time) - Date.parse(a.time) || number(b.id) - number(a.id),
  );
}

function number(id) {
  return Number(id.slice(id.indexOf("-") + 1));
}

// traceAddress is where a trace can be seen, if anywhere.
export function traceAddress(id) {
  return id && model.hello?.trace_link
    ? model.hello.trace_link.replaceAll("{trace_id}", encodeURIComponent(id))
    : undefined;
}
