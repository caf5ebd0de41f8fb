// The connection to the server, which sends what changes. When it is lost, it is made again.

import { apply, model } from "./model.js";

const silence = 12000; // the server is never silent for so long, in milliseconds
const again = 1500;

// connect calls changed with each update, and with null when only the connection has changed.
export function connect(changed) {
  let source;
  let first = true;
  let heard = performance.now();
  let retry = 0;

  const state = (word) => {
    if (model.link === word) return;
    model.link = word;
    changed(null);
  };
  const lost = () => {
    source?.close();
    state("lost");
    clearTimeout(retry);
    retry = setTimeout(open, again);
  };
  const open = () => {
    first = true;
    heard = performance.now();
    source = new EventSource("stream");
    source.addEventListener("update", (message) => {
      heard = performance.now();
      const update = JSON.parse(message.data);
      const all = first;
      first = false;
      apply(update, all);
      model.link = "live";
      changed(update, all);
    });
    source.addEventListener("beat", () => {
      heard = performance.now();
    });
    source.addEventListener("error", lost);
  };
  setInterval(() => {
    if (model.link === "live" && performance.now() - heard > silence) lost();
  }, 1000);
  // A machine that slept, or a page that comes out of the browser's cache, has a dead connection.
  addEventListener("pageshow", (e) => {
    if (e.persisted) lost();
  });
  open();
}
