/**
 * The cells of a sheet: in columns that fill its width, with the pictures, labels and marks of items. Only the rows on
 * the screen and beside it are in the page. A slot is the position of a cell in the list that is shown.
 */

import { element } from "sgi/run-head";
import { Scroller } from "sgi/scroller";
import { Strips } from "sgi/strips";

const BESIDE = 1; // screens of rows above and below that are prepared
const NARROW = 90; // px of a picture below which the label is shortened
const LABEL = 22;
const GAP = 14;
const PADDING = 10;
const REST_MS = 60; // after the last movement, before pictures are requested

export class Grid {
  /**
   * @param {HTMLElement} root the sheet
   * @param {import("sgi/items").Items} items
   * @param {{onPress: (slot: number) => void, onDamaged: () => void}} calls
   *   onPress: a cell was clicked; onDamaged: an item that counted as done turned out to be damaged
   */
  constructor(root, items, calls) {
    this.root = root;
    this.items = items;
    this.calls = calls;
    this.run = null; // see `/api/run`
    this.nodes = new Map(); // slot -> element
    this.active = 0; // slot with the mark
    this.opened = null; // place of the item that is open
    this.frame = root.querySelector(".sheet-frame");
    this.space = root.querySelector(".sheet-space");
    this.strips = new Strips((place, strip) => this.onStrip(place, strip));
    this.scroller = new Scroller(this.frame, this.space, () => this.moved());
    this.space.addEventListener("click", (event) => {
      const node = event.target.closest(".sheet-item");
      if (node) calls.onPress(Number(node.dataset.slot));
    });
    new ResizeObserver(() => this.layOut()).observe(this.frame);
  }

  /** Takes a new state of the run; anew: other files are behind the places. */
  renew(run, anew) {
    this.run = run;
    this.strips.renew(run.stamp);
    if (anew) this.clear();
  }

  /** The slot of the first row on the screen. */
  get first() {
    return this.upper?.[0] ?? 0;
  }

  /** The number of cells of the whole rows on the screen. */
  get screen() {
    return Math.max(1, Math.floor(this.frame.clientHeight / this.row)) * this.columns;
  }

  clear() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
  }

  /** Columns and rows for the width of the page. */
  layOut() {
    if (!this.run || !this.frame.clientWidth) return;
    const { width, height } = this.run.strip;
    const room = this.frame.clientWidth - 2 * PADDING;
    this.columns = Math.max(1, Math.floor((room + GAP) / (width + GAP)));
    const filled = Math.floor((room + GAP) / this.columns) - GAP;
    this.strip = { width: filled, height: Math.round((height * filled) / width) };
    this.row = this.strip.height + LABEL + GAP;
    const rows = Math.ceil(this.items.total / this.columns);
    const shape = `${this.columns} ${filled}`;
    if (this.scroller.height !== rows * this.row || this.shape !== shape) {
      const [slot, part] = this.shape ? this.upper : [0, 0];
      this.scroller.setHeight(rows * this.row);
      if (this.shape !== shape) this.scroller.moveTo((Math.floor(slot / this.columns) + part) * this.row);
      this.shape = shape;
      this.clear();
    }
    this.showTypes();
    this.draw();
  }

  showTypes() {
    const heads = this.root.querySelector(".sheet-types");
    heads.replaceChildren();
    for (let column = 0; column < Math.min(this.columns, this.items.total || 1); column += 1) {
      const head = element("div");
      head.style.width = `${this.strip.width}px`;
      head.append(...this.run.types.map((name) => element("span", name)));
      heads.append(head);
    }
  }

  moved() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.requestStrips(), REST_MS);
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.draw();
    });
  }

  /** Puts the rows on the screen into the page, and takes out all others. */
  draw() {
    if (!this.run || !this.row) return;
    const { top, start } = this.scroller;
    this.upper = [Math.floor(top / this.row) * this.columns, (top / this.row) % 1]; // slot, and part of its row above
    const screen = this.frame.clientHeight;
    const first = Math.max(0, Math.floor((top - BESIDE * screen) / this.row)) * this.columns;
    const stop = Math.min(this.items.total, Math.ceil((top + (1 + BESIDE) * screen) / this.row) * this.columns);
    for (const [slot, node] of this.nodes) {
      if (slot >= first && slot < stop) continue;
      node.remove();
      this.nodes.delete(slot);
    }
    for (let slot = first; slot < stop; slot += 1) {
      let node = this.nodes.get(slot);
      if (!node) {
        node = this.build(slot);
        this.nodes.set(slot, node);
        this.space.append(node);
      }
      const y = start + Math.floor(slot / this.columns) * this.row;
      node.style.transform = `translate(${(slot % this.columns) * (this.strip.width + GAP)}px, ${y}px)`;
      this.fill(slot, node);
    }
    this.items.loadAll(first, stop);
    this.shown = { first, stop };
    if (!this.resting) this.requestStrips();
  }

  build(slot) {
    const node = element("div");
    node.className = "sheet-item";
    node.id = `sheet-item-${slot}`;
    node.dataset.slot = slot;
    node.setAttribute("role", "option");
    node.setAttribute("aria-posinset", slot + 1);
    node.setAttribute("aria-setsize", this.items.total);
    node.style.width = `${this.strip.width}px`;
    const picture = element("div");
    picture.className = "sheet-strip";
    picture.style.height = `${this.strip.height}px`;
    node.append(picture, element("span"));
    return node;
  }

  /** The name of an item; below narrow pictures without the word before its digits, so that the digits fit. */
  shortName({ name }) {
    return this.strip.width < NARROW ? name.replace(/(seed|latent)(?=\d+$)/, "") : name;
  }

  /** Writes the label, the mark and the picture of an item. */
  fill(slot, node) {
    const item = this.items.at(slot);
    const strip = item && item.state !== "missing" ? this.strips.get(item.place) : null;
    const state = strip && Object.keys(strip.reasons).length ? "damaged" : (item?.state ?? "");
    const key = `${item?.name} ${state} ${strip?.url} ${slot === this.active} ${item?.place === this.opened}`;
    if (node.dataset.key === key) return;
    node.dataset.key = key;
    node.dataset.state = state;
    node.classList.toggle("active", slot === this.active);
    node.classList.toggle("opened", item !== null && item.place === this.opened);
    node.setAttribute("aria-selected", slot === this.active);
    const [picture, label] = node.children;
    label.textContent = item ? `${this.shortName(item)}${state === "done" ? "" : ` \u2013 ${state}`}` : "";
    node.title = titleOf(item, state, strip);
    node.setAttribute("aria-label", node.title);
    if (!strip) {
      picture.replaceChildren();
    } else if (picture.firstChild?.src !== strip.url) {
      const image = new Image();
      image.alt = "";
      image.src = strip.url;
      picture.replaceChildren(image);
    }
  }

  onStrip(place, strip) {
    for (const [slot, node] of this.nodes) {
      if (this.items.at(slot)?.place === place) this.fill(slot, node);
    }
    const item = this.items.ofPlace(place);
    if (!item || item.state !== "done" || !Object.keys(strip.reasons).length) return;
    item.state = "damaged";
    this.calls.onDamaged();
  }

  /** Requests the pictures of the items on the screen first, then those beside it. */
  requestStrips() {
    this.resting = 0;
    if (!this.shown || !this.run) return;
    const middle = ((this.scroller.top + this.frame.clientHeight / 2) / this.row) * this.columns;
    const wanted = [];
    for (let slot = this.shown.first; slot < this.shown.stop; slot += 1) {
      const item = this.items.at(slot);
      if (item && item.state !== "missing") wanted.push([Math.abs(slot - middle), item.place]);
    }
    this.strips.want(wanted.sort((one, other) => one[0] - other[0]).map(([, place]) => place));
  }

  /** Puts the mark on a cell, and scrolls as far as it takes to see it. */
  mark(slot) {
    this.active = Math.min(this.items.total - 1, Math.max(0, slot));
    this.frame.setAttribute("aria-activedescendant", `sheet-item-${this.active}`);
    const top = Math.floor(this.active / this.columns) * this.row;
    const { scroller } = this;
    if (top < scroller.top) scroller.moveTo(top);
    else if (top + this.row > scroller.top + this.frame.clientHeight) {
      scroller.moveTo(top + this.row - this.frame.clientHeight);
    }
    this.moved();
  }

  /** Puts the mark on a cell, and shows its row in the middle of the screen. */
  centre(slot) {
    const row = Math.floor(slot / this.columns);
    this.scroller.moveTo((row + 0.5) * this.row - this.frame.clientHeight / 2);
    this.mark(slot);
  }

  /** Goes to the first cell of another list. */
  restart() {
    this.active = 0;
    this.scroller.moveTo(0);
  }
}

function titleOf(item, state, strip) {
  if (!item) return "";
  if (state === "missing") return `${item.name}: missing; the run has not made it`;
  const reasons = Object.entries(strip?.reasons ?? {}).map(([type, why]) => (type ? `${type}: ${why}` : why));
  return reasons.length ? `${item.name}: ${reasons.join("; ")}` : item.name;
}
