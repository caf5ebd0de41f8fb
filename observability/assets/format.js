// How numbers and times are written.

export const none = "–";

// gap stands between a number and its unit, narrow and without a break.
const gap = "\u202f";

export function count(n) {
  if (n < 10000) return String(n);
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e5 ? 1 : 0)}k`;
  return `${(n / 1e6).toFixed(1)}M`;
}

// percent never says 100 % of what is less.
export function percent(share) {
  if (share === undefined || share === null) return none;
  if (share >= 1) return `100${gap}%`;
  return `${(Math.floor(share * 1000) / 10).toFixed(1)}${gap}%`;
}

export function rate(perSecond) {
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return "<0.1";
  return perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}

// duration writes seconds, as of a call.
export function duration(s) {
  if (s === undefined || s === null) return none;
  if (s < 0.000001) return "0";
  if (s < 0.001) return `${Math.round(s * 1e6)}${gap}µs`;
  if (s < 0.01) return `${(s * 1e3).toFixed(1)}${gap}ms`;
  if (s < 1) return `${Math.round(s * 1e3)}${gap}ms`;
  if (s < 10) return `${s.toFixed(2)}${gap}s`;
  return s < 100 ? `${s.toFixed(1)}${gap}s` : period(s);
}

// period writes seconds, as of a state.
export function period(s) {
  s = Math.max(0, Math.round(s));
  if (s < 100) return `${s}${gap}s`;
  if (s < 6000) return `${Math.round(s / 60)}${gap}min`;
  if (s < 172800) return `${Math.round(s / 3600)}${gap}h`;
  return `${Math.round(s / 86400)}${gap}days`;
}

export function clock(time) {
  return new Date(time).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  });
}

export function full(time) {
  return new Date(time).toLocaleString();
}

// words writes a name of the program, such as consecutive_failures, for people.
export function words(name) {
  return name ? name.replaceAll("_", " ") : "";
}

export function several(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
