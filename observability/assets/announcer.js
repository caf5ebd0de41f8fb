// Tells those who listen to the page what has changed for better or worse: few words, and not often.

import { alertKey } from "./alerts.js";
import { model } from "./model.js";
import { stateOf } from "./state.js";

const atLeast = 5000; // milliseconds between two announcements
const gather = 200; // milliseconds for what comes together
const most = 3; // things in one of them

let alerts = null;
let states = null;
let waiting = [];
let timer = 0;

export function tell(text) {
  if (!waiting.includes(text)) waiting.push(text);
  if (!timer) timer = setTimeout(speak, gather);
}

function speak() {
  timer = 0;
  if (!waiting.length) return;
  const said = waiting.slice(0, most);
  if (waiting.length > most) said.push(`And ${waiting.length - most} more`);
  waiting = [];
  document.getElementById("say").textContent = `${said.join(". ")}.`;
  timer = setTimeout(speak, atLeast);
}

// listen compares what the page knows with what it knew. The first time it says nothing.
export function listen() {
  const newAlerts = new Map(model.alerts.map((a) => [alertKey(a), a]));
  const newStates = new Map([...model.services.values()].map((s) => [s.name, s.state ?? ""]));
  if (alerts) {
    for (const [key, a] of newAlerts)
      if (!alerts.has(key)) tell(`Alert: ${a.name}${a.chain ? `, ${a.chain}` : ""}`);
    for (const [key, a] of alerts)
      if (!newAlerts.has(key)) tell(`No longer: ${a.name}${a.chain ? `, ${a.chain}` : ""}`);
    for (const [name, state] of newStates) {
      const before = states.get(name);
      if (before === undefined || before === state) continue;
      if (stateOf(state).level === "bad" || state === "closed") tell(`${name}: ${stateOf(state).word}`);
    }
  }
  alerts = newAlerts;
  states = newStates;
}
