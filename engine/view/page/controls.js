/**
 * The controls of what the model draws, and the screen that they describe.
 *
 * A screen is the JSON object of `POST /api/maps`: {seed, psi, class, mix, towards, latents, alpha}.
 */

import { slider } from "sgi/slider";

const LARGEST_SEED = 2 ** 32 - 1;
const SEED_RULE = `A seed is a whole number from 0 to ${LARGEST_SEED}.`;
const byId = (id) => document.getElementById(id);

export class Controls {
  /**
   * @param {Object} model see `/api/model`
   * @param {() => void} onChange called after each change by the user
   */
  constructor(model, onChange) {
    this.model = model;
    this.onChange = onChange;
    this.latents = null;
    this.seed = 0;
    this.psi = slider(
      byId("psi-host"),
      {
        id: "psi", label: "Truncation \u03c8", min: -1, max: 1.5, step: 0.01, value: model.psi,
        hint: "0 is the average picture, 1 is no truncation",
      },
      onChange,
    );
    if (model.psi_fixed) this.psi.disable(model.psi_fixed);
    this.share = slider(
      byId("share-host"),
      { id: "towards-share", label: "Share", min: 0, max: 1, step: 0.01, value: 0.5, hint: "0 is the first seed" },
      onChange,
    );
    this.explainClasses();
    this.buildAlphas();
    this.buildSeeds();
    byId("mix-rows").placeholder = `${Math.floor(model.num_ws / 2)}-${model.num_ws - 1}`;
    byId("class").addEventListener("input", () => this.checkClass());
    for (const id of ["class", "mix-seed", "mix-rows", "towards-seed"]) byId(id).addEventListener("input", onChange);
    for (const id of ["mix-seed", "towards-seed"]) {
      const box = byId(id);
      box.addEventListener("input", () => markWrong(box, box.value === "" || parseSeed(box.value) !== null ? "" : SEED_RULE));
    }
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    this.explain();
  }

  buildAlphas() {
    this.alphas = {};
    for (const { name, alpha } of this.model.types) {
      if (!alpha) continue;
      const setting = { id: `alpha-${name}`, label: name, min: -1, max: 2, step: 0.01, value: alpha.default };
      this.alphas[name] = slider(byId("alphas"), setting, this.onChange);
      if (!alpha.live) this.alphas[name].disable(alpha.reason);
    }
    const wide = !matchMedia("(max-width: 760px)").matches; // on narrow screens the maps come sooner
    byId("offsets").open = wide && this.model.types.some(({ alpha }) => alpha?.live);
    byId("offsets").hidden = !Object.keys(this.alphas).length;
    const reasons = new Set(this.model.types.flatMap(({ alpha }) => (alpha && !alpha.live ? [alpha.reason] : [])));
    for (const reason of reasons) {
      byId("alphas").append(Object.assign(document.createElement("p"), { className: "note", textContent: reason }));
    }
  }

  buildSeeds() {
    const box = byId("seed");
    box.addEventListener("input", () => {
      const seed = parseSeed(box.value);
      markWrong(box, seed === null ? SEED_RULE : "");
      note("seed-note", seed === null ? `${SEED_RULE} Shown is seed ${this.seed}.` : "");
      if (seed !== null) this.changeSeed(seed);
    });
    box.addEventListener("blur", () => this.showSeed());
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("next").addEventListener("click", () => this.step(1));
    byId("random").addEventListener("click", () => this.random());
    byId("latents-place").addEventListener("input", () => this.changeRow(byId("latents-place").valueAsNumber));
    byId("latents-close").addEventListener("click", () => {
      this.setLatents(null);
      this.onChange();
    });
  }

  /** Notes of what the model does not take. */
  explain() {
    const { seeds, mixing } = this.model;
    note("seed-note", seeds);
    for (const id of ["seed", "previous", "next", "random"]) byId(id).disabled = Boolean(seeds);
    const rows = `The model has rows 0 to ${this.model.num_ws - 1}; the first set the shapes, the last the colours.`;
    note("mix-note", mixing || rows);
    for (const id of ["mix-seed", "mix-rows", "towards-seed"]) byId(id).disabled = Boolean(mixing);
    if (mixing) this.share.disable(mixing);
  }

  explainClasses() {
    const last = this.model.c_dim - 1;
    byId("class-row").hidden = last < 0;
    const several = `A class from 0 to ${last}, or classes with weights, as 0:0.7,${last}:0.3. Empty is class 0.`;
    note("class-note", last < 0 ? "" : last ? several : "The model has class 0 alone.");
  }

  checkClass() {
    const box = byId("class");
    markWrong(box, isClass(box.value, this.model.c_dim) ? "" : byId("class-note").textContent);
  }

  changeSeed(seed) {
    this.seed = seed;
    this.setLatents(null);
    this.onChange();
  }

  showSeed() {
    byId("seed").value = this.seed;
    markWrong(byId("seed"), "");
    note("seed-note", this.model.seeds);
  }

  /** The seed, or the row of the loaded latents, before or after the shown one. */
  step(by) {
    if (this.latents) {
      this.changeRow(this.latents.row + by);
    } else if (!this.model.seeds) {
      this.changeSeed((this.seed + by + LARGEST_SEED + 1) % (LARGEST_SEED + 1));
      this.showSeed();
    }
  }

  random() {
    if (this.model.seeds) return;
    this.changeSeed(Math.floor(Math.random() * 1e6));
    this.showSeed();
  }

  /**
   * Shows a row of loaded latents in place of the seed.
   * @param {?{id: string, name: string, kind: string, rows: number}} loaded null: back to the seed
   */
  setLatents(loaded) {
    this.latents = loaded && { ...loaded, row: 0 };
    byId("latents-row").hidden = !loaded;
    note("latents-note", loaded ? `${loaded.name}: ${loaded.rows} of ${loaded.kind}, in place of the seed` : "");
    if (!loaded) return;
    byId("latents").open = true;
    byId("latents-place").max = loaded.rows - 1;
    byId("latents-place").value = 0;
  }

  changeRow(row) {
    if (!this.latents || !Number.isInteger(row)) return;
    this.latents.row = Math.min(this.latents.rows - 1, Math.max(0, row));
    byId("latents-place").value = this.latents.row;
    this.onChange();
  }

  /**
   * Sets the controls to a screen, as the item of a run or a saved page has it; `onChange` is not called.
   * @param {Object} screen fields that are missing have their defaults
   */
  set(screen) {
    this.seed = screen.seed ?? 0;
    this.showSeed();
    this.psi.value = screen.psi ?? this.model.psi;
    byId("class").value = screen.class ?? "";
    this.checkClass();
    byId("mix-seed").value = screen.mix?.seed ?? "";
    byId("mix-rows").value = screen.mix?.rows ?? "";
    byId("towards-seed").value = screen.towards?.seed ?? "";
    this.share.value = screen.towards?.share ?? 0.5;
    for (const { name, alpha } of this.model.types) {
      if (alpha) this.alphas[name].value = screen.alpha?.[name] ?? alpha.default;
    }
  }

  /** What is shown, in words. */
  get name() {
    return this.latents ? `row ${this.latents.row} of ${this.latents.name}` : `seed ${this.seed}`;
  }

  /** The screen that the controls describe. */
  screen() {
    const mix = parseSeed(byId("mix-seed").value);
    const towards = parseSeed(byId("towards-seed").value);
    const alpha = {};
    for (const { name, alpha: setting } of this.model.types) {
      if (setting?.live && this.alphas[name].value !== setting.default) alpha[name] = this.alphas[name].value;
    }
    const rows = byId("mix-rows").value.trim() || byId("mix-rows").placeholder;
    return {
      seed: this.seed,
      psi: this.psi.value,
      class: byId("class").value.trim() || null,
      mix: mix === null ? null : { seed: mix, rows },
      towards: towards === null ? null : { seed: towards, share: this.share.value },
      latents: this.latents && { id: this.latents.id, row: this.latents.row },
      alpha,
      types: null,
    };
  }
}

/** The seed that a text states, or null. */
function parseSeed(text) {
  const seed = Number(text);
  return /^\s*\d+\s*$/.test(text) && seed <= LARGEST_SEED ? seed : null;
}

/** Whether a text is one class, or classes with weights; the server checks the rest. */
function isClass(text, count) {
  const parts = text.split(",").map((part) => part.match(/^\s*(\d+)\s*(:.+)?$/));
  const isKnown = parts.every((part) => part && Number(part[1]) < count);
  return text.trim() === "" || (isKnown && parts.every((part) => part[2] || parts.length === 1));
}

/** Marks a box as wrong, for a reason, or as right. */
function markWrong(box, reason) {
  box.classList.toggle("wrong", Boolean(reason));
  box.ariaInvalid = String(Boolean(reason));
  box.title = reason;
}

function note(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}
