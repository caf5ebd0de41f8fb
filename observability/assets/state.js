// The states of services: each has a word, a shape and a level, so that colour is never all there is.

const states = {
  "": { word: "No breaker", shape: "ring", level: "none", rank: 0 },
  closed: { word: "Closed", shape: "circle", level: "good", rank: 0 },
  open: { word: "Open", shape: "square", level: "bad", rank: 6 },
  forced_open: { word: "Forced open", shape: "lock", level: "bad", rank: 5 },
  half_open: { word: "Half open", shape: "half", level: "warn", rank: 4 },
  observed_open: { word: "Would be open", shape: "eye", level: "warn", rank: 3 },
  observed_half_open: { word: "Would be half open", shape: "eye", level: "warn", rank: 3 },
  observed_closed: { word: "Closed, observing", shape: "eye", level: "good", rank: 0 },
  forced_closed: { word: "Forced closed", shape: "lock", level: "warn", rank: 1 },
  disabled: { word: "Disabled", shape: "eye", level: "warn", rank: 1 },
};

export function stateOf(name) {
  return states[name] ?? { word: name, shape: "triangle", level: "warn", rank: 2 };
}

// failing is the share of successes below which a service that is closed counts as one in trouble.
const failing = 0.95;

// said writes what a throttle refuses.
const said = (share) => `${Math.max(1, Math.round(share * 100))} %`;

// conditionOf says how a service is, from its state and from what becomes of its calls.
export function conditionOf(service) {
  const state = stateOf(service.state ?? "");
  if (state.rank > 0) return state;
  if (service.state && service.share < 1) return { word: "Recovering", shape: "rising", level: "warn", rank: 3 };
  if (service.shedding > 0) {
    return { word: `Sheds ${said(service.shedding)}`, shape: "triangle", level: "warn", rank: 3 };
  }
  if (service.success_rate !== undefined && service.success_rate < failing) {
    return { word: `${state.word}, failing`, shape: "triangle", level: "warn", rank: 2 };
  }
  if (service.chaos) return { ...state, level: "warn", rank: 1 };
  return state;
}

export const openStates = new Set(["open", "forced_open", "half_open", "observed_open", "observed_half_open"]);
