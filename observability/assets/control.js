// The buttons that change a service. The server has them only where the program allows it.

import { el, say } from "./element.js";

const orders = [
  { action: "force_open", name: "Force open", asks: "Every call is refused until somebody releases it." },
  { action: "release", name: "Release", asks: "The breaker decides by itself again." },
  { action: "reset", name: "Reset", asks: "The breaker closes and forgets what it has counted." },
];

export function drawControl(into, service) {
  const answer = el("p", { class: "answer", role: "status" });
  const place = el("div");
  const send = async (order) => {
    place.replaceChildren();
    say(answer, "…");
    try {
      const response = await fetch("control", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ service, action: order.action }),
      });
      const text = response.ok ? `Done: ${order.name.toLowerCase()}.` : `Not done: ${await reason(response)}.`;
      answer.className = `answer ${response.ok ? "good" : "bad"}`;
      say(answer, text);
    } catch {
      answer.className = "answer bad";
      say(answer, "Not done: the server does not answer.");
    }
  };
  const ask = (order, from) => {
    const yes = el("button", { type: "button", class: "danger" }, `${order.name} ${service}`);
    const no = el("button", { type: "button" }, "Cancel");
    yes.addEventListener("click", () => {
      from.focus();
      send(order);
    });
    no.addEventListener("click", () => {
      place.replaceChildren();
      from.focus();
    });
    say(answer, "");
    place.replaceChildren(
      el(
        "div",
        { class: "confirm", role: "group", "aria-label": "Confirm" },
        el("p", {}, `${order.name}? ${order.asks}`),
        el("div", { class: "orders" }, yes, no),
      ),
    );
    no.focus();
  };
  const buttons = orders.map((order) => {
    const button = el("button", { type: "button", "data-action": order.action }, `${order.name}…`);
    button.addEventListener("click", () => ask(order, button));
    return button;
  });
  into.replaceChildren(
    el("div", { class: "orders", role: "group", "aria-label": "Control" }, ...buttons),
    place,
    answer,
  );
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return response.status === 403 ? "you are not authorised" : `the server answered ${response.status}`;
  }
}
