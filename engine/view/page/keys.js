/** Keys of the whole page, and the list of them. */

const KEYS = [
  ["\u2190 \u2192", "previous and next seed, or row of loaded latents"],
  ["r", "random seed"],
  ["/", "type a seed"],
  ["m  s  l", "go to the maps, the surface, the light"],
  ["\u2190 \u2191 \u2192 \u2193", "on a map: move the crosshair; on the surface: turn it; on the ball: move the light"],
  ["Esc", "on a map: let go of the crosshair"],
  ["+  \u2212", "on the surface: zoom"],
  ["?", "this list"],
];

/**
 * Handles keys that are pressed outside of boxes and sliders.
 * @param {{step: (by: number) => void, random: () => void}} actions
 * @param {Object<string, [string, () => void]>} more keys of the view: what they do, for the list, and the action
 */
export function startKeys(actions, more = {}) {
  const list = document.getElementById("keys");
  for (const [keys, meaning] of [...KEYS, ...Object.entries(more).map(([key, [meaning]]) => [key, meaning])]) {
    const term = document.createElement("dt");
    for (const key of keys.split(/\s+/)) {
      term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    }
    list.querySelector("dl").append(term, Object.assign(document.createElement("dd"), { textContent: meaning }));
  }
  const focus = (selector) => {
    const element = document.querySelector(selector);
    element?.scrollIntoView({ block: "nearest" });
    element?.focus();
    element?.select?.();
  };
  const run = {
    ArrowLeft: () => actions.step(-1),
    ArrowRight: () => actions.step(1),
    r: () => actions.random(),
    "/": () => focus("#seed"),
    m: () => focus("#maps canvas"),
    s: () => focus("#surface"),
    l: () => focus("#ball"),
    "?": () => list.showModal(),
    ...Object.fromEntries(Object.entries(more).map(([key, [, action]]) => [key, action])),
  };
  document.getElementById("help").addEventListener("click", () => list.showModal());
  document.addEventListener("keydown", (event) => {
    const own = { Enter: "button, summary, input, select, dialog", Escape: "dialog" }; // what takes these keys itself
    const taken = event.target.closest?.(own[event.key] ?? "input, select, textarea, dialog");
    if (taken || event.ctrlKey || event.altKey || event.metaKey || !run[event.key]) return;
    event.preventDefault();
    run[event.key]();
  });
}
