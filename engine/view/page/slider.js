/** A slider with its number: one value, a box to type it, and a button back to the default. */

/**
 * Builds a slider inside a host.
 * @param {Element} host
 * @param {{id: string, label: string, min: number, max: number, step: number, value: number, unit?: string,
 *   hint?: string}} setting value: the default; unit: shown after the number; hint: shown while the pointer rests on it
 * @param {(value: number) => void} onInput called after each change by the user
 * @returns {{min: number, max: number, value: number, disable: (reason: string) => void}} value can be set; onInput is
 *   not called then
 */
export function slider(host, { id, label, min, max, step, value: initial, unit = "", hint = "" }, onInput) {
  const row = document.createElement("div");
  row.className = "slider";
  row.title = hint;
  const name = document.createElement("label");
  name.htmlFor = id;
  name.textContent = label;
  const range = Object.assign(document.createElement("input"), { type: "range", id, min, max, step, value: initial });
  const number = Object.assign(document.createElement("input"), {
    type: "number", id: `${id}-number`, min, max, step: "any", value: initial,
  });
  number.setAttribute("aria-label", `${label}, number`);
  const reset = Object.assign(document.createElement("button"), {
    type: "button", className: "reset", textContent: "\u21ba", title: `Back to ${initial}${unit}`,
  });
  reset.setAttribute("aria-label", `${label} back to ${initial}${unit}`);
  const suffix = Object.assign(document.createElement("span"), { className: "unit", textContent: unit });
  row.append(name, reset, number, suffix, range);
  host.append(row);

  let value = initial;
  const show = (next, source) => {
    value = next;
    if (source !== range) range.value = next;
    if (source !== number) number.value = Number(next.toFixed(4));
    range.style.setProperty("--share", `${(100 * (Number(range.value) - min)) / (max - min)}%`);
    reset.classList.toggle("off", next === initial);
  };
  const change = (next, source) => {
    if (!Number.isFinite(next)) return;
    show(Math.min(max, Math.max(min, next)), source);
    onInput(value);
  };
  range.addEventListener("input", () => change(range.valueAsNumber, range));
  number.addEventListener("input", () => change(number.valueAsNumber, number));
  number.addEventListener("change", () => show(value));
  reset.addEventListener("click", (event) => {
    if (!event.detail) range.focus(); // pressed by a key: the button disappears, and the focus with it
    change(initial);
  });
  show(initial);
  return {
    min,
    max,
    get value() {
      return value;
    },
    set value(next) {
      if (Number.isFinite(next)) show(next);
    },
    /** Switches the slider off; the reason is its hint. */
    disable(reason) {
      row.title = reason;
      row.classList.add("disabled");
      for (const input of [range, number, reset]) input.disabled = true;
    },
  };
}

/**
 * A row of buttons of which one is chosen.
 * @param {Element} host
 * @param {string} id prefix of the ids of the buttons
 * @param {Object<string, string>} names {value: label}
 * @param {(value: string) => void} onChoose
 * @returns {{value: string}}
 */
export function choice(host, id, names, onChoose) {
  let chosen = Object.keys(names)[0];
  const buttons = Object.entries(names).map(([value, label]) => {
    const button = Object.assign(document.createElement("button"), {
      type: "button", id: `${id}-${value}`, textContent: label,
    });
    button.addEventListener("click", () => {
      show(value);
      onChoose(value);
    });
    host.append(button);
    return [value, button];
  });
  const show = (value) => {
    chosen = value;
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === value));
  };
  show(chosen);
  return {
    get value() {
      return chosen;
    },
  };
}
