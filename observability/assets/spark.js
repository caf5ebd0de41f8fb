// A sparkline: ten minutes in bars of ten seconds. What succeeded, failed and was refused stand on each other; a mark
// above says that there were retries.

import { say, set, svg } from "./element.js";
import { count } from "./format.js";

const bars = 60;
const height = 30;
const kinds = ["ok", "failed", "rejected"];

export function makeSpark() {
  const title = svg("title");
  const paths = Object.fromEntries([...kinds, "retried"].map((k) => [k, svg("path", { class: k })]));
  const node = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${bars} ${height}`, preserveAspectRatio: "none", role: "img" },
    title,
    ...Object.values(paths),
  );
  return {
    node,
    update(data) {
      const sums = [0, 0, 0, 0];
      let most = 1;
      for (const bar of data) {
        bar.forEach((n, i) => (sums[i] += n));
        most = Math.max(most, bar[0] + bar[1] + bar[2]);
      }
      const room = height - 4; // for the marks
      const d = { ok: "", failed: "", rejected: "", retried: "" };
      data.forEach((bar, x) => {
        let top = height;
        kinds.forEach((kind, i) => {
          if (!bar[i]) return;
          const h = Math.max((bar[i] / most) * room, 1);
          top -= h;
          d[kind] += `M${x + 0.1} ${top.toFixed(2)}h.8v${h.toFixed(2)}h-.8z`;
        });
        if (bar[3]) d.retried += `M${x + 0.1} ${Math.max(top - 3.5, 0).toFixed(2)}h.8v2h-.8z`;
      });
      for (const [kind, path] of Object.entries(paths)) set(path, "d", d[kind]);
      say(
        title,
        `Last 10 minutes: ${count(sums[0])} succeeded, ${count(sums[1])} failed, ` +
          `${count(sums[2])} refused, ${count(sums[3])} retries`,
      );
    },
  };
}
