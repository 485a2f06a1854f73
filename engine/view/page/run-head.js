/** The lines above the sheet of a run folder: how far the run is, its settings, and messages. */

export class RunHead {
  /** @param {HTMLElement} root the sheet */
  constructor(root) {
    this.root = root;
  }

  part(name) {
    return this.root.querySelector(`#sheet-${name}`);
  }

  /** One line of text; wrong: it is an error. */
  showLine(text, wrong = false) {
    const note = this.part("note");
    note.textContent = text;
    note.title = text;
    note.classList.toggle("wrong", wrong);
  }

  /** @param {Object} run see `/api/run` */
  show(run) {
    const state = { running: "the run goes on", stopped: "the run is not finished", finished: "" }[run.state];
    const size = `${run.exact ? "" : "about "}${bytes(run.bytes)}`;
    const parts = [`${count(run.done)} of ${count(run.total)} ${run.item}s`, size, state];
    if (run.damaged) parts.push(`${count(run.damaged)} damaged`);
    this.part("count").textContent = parts.filter(Boolean).join(" \u00b7 ");
    this.part("count").dataset.state = run.state;
    this.root.querySelector("label[for=sheet-search]").textContent = run.item === "seed" ? "Seed" : "Latent";
    const list = this.part("settings").querySelector("dl");
    const settings = Object.entries(run.settings);
    list.replaceChildren(...settings.flatMap(([label, text]) => [element("dt", label), element("dd", text)]));
  }
}

/** An element with a text. */
export function element(name, text = "") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/** A number with commas between thousands. */
export function count(number) {
  return number.toLocaleString("en");
}

function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let place = 0;
  while (number >= 1000 && place < units.length - 1) {
    number /= 1000;
    place += 1;
  }
  return `${place && number < 100 ? number.toPrecision(2) : Math.round(number)} ${units[place]}`;
}
