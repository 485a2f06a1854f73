/**
 * The contact sheet of a run folder: all items in rows, of which only those on the screen are in the page.
 *
 * A place is the position of an item in the folder; a slot is its position in the list that is shown, which can be
 * that of the items without maps.
 */

import { Items } from "sgi/items";
import { count, element, RunHead } from "sgi/run-head";
import { Scroller } from "sgi/scroller";
import { Strips } from "sgi/strips";

const BESIDE = 1; // screens of rows above and below that are prepared
const NARROW = 90; // px of a picture below which the label is shortened
const LABEL = 22;
const GAP = 14;
const PADDING = 10;
const REST_MS = 60; // after the last movement, before pictures are requested
const POLL_MS = { running: 1500, stopped: 5000, finished: 15000 };

export class Sheet {
  /**
   * @param {HTMLElement} root
   * @param {{request: (path: string) => Promise<Response>}} source
   * @param {(item: {place: number, number: number, state: string, name: string, screen: Object}) => void} onOpen
   *   screen: the settings of the run, without the seed
   */
  constructor(root, source, onOpen) {
    this.root = root;
    this.source = source;
    this.items = new Items(source, {
      onTotal: () => this.layOut(),
      onItems: () => this.moved(),
      onError: (text) => this.head.showLine(text, true),
    });
    this.head = new RunHead(root);
    this.onOpen = onOpen;
    this.run = null;
    this.nodes = new Map(); // slot -> element
    this.active = 0;
    this.opened = null;
    this.lost = false; // whether the folder or the server is gone
    this.strips = new Strips((place, strip) => this.onStrip(place, strip));
    root.classList.add("sheet");
    root.innerHTML = `
      <div class="sheet-head">
        <form class="sheet-find" role="search">
          <label for="sheet-search">Seed</label>
          <input type="text" inputmode="numeric" id="sheet-search" maxlength="10" title="Press Enter to go to it (/)">
          <button type="submit" id="sheet-go">Go</button>
        </form>
        <button type="button" id="sheet-missing" title="Next missing or damaged map (n)">Next missing</button>
        <label class="check"><input type="checkbox" id="sheet-only"> only missing</label>
        <p class="sheet-count" id="sheet-count"></p>
        <p class="sheet-note" id="sheet-note" role="status"></p>
      </div>
      <details class="sheet-settings" id="sheet-settings"><summary>Settings of the run</summary><dl></dl></details>
      <div class="sheet-types" aria-hidden="true"></div>
      <div class="sheet-frame" id="sheet-list" tabindex="0" role="listbox"><div class="sheet-space"></div></div>`;
    this.frame = root.querySelector(".sheet-frame");
    this.space = root.querySelector(".sheet-space");
    this.scroller = new Scroller(this.frame, this.space, () => this.moved());
    this.listen();
    this.poll();
  }

  focus() {
    this.frame.focus({ preventScroll: true });
  }

  listen() {
    this.root.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.find(this.head.part("search").value).then((place) => place !== null && this.focus());
    });
    this.head.part("missing").addEventListener("click", () => this.nextMissing());
    this.head.part("only").addEventListener("change", () => {
      this.items.only = this.head.part("only").checked ? "missing" : "all";
      this.active = 0;
      this.scroller.moveTo(0);
      this.reload();
    });
    this.frame.addEventListener("keydown", (event) => this.onKey(event));
    this.space.addEventListener("click", (event) => {
      const node = event.target.closest(".sheet-item");
      if (node) this.open(Number(node.dataset.slot));
    });
    new ResizeObserver(() => this.layOut()).observe(this.frame);
  }

  /** Requests the state of the folder again and again, so that the sheet follows a run. */
  async poll() {
    try {
      const run = await (await this.source.request("/api/run")).json();
      if (run.version !== this.run?.version || run.stamp !== this.run?.stamp || run.state !== this.run?.state) {
        const anew = run.stamp !== this.run?.stamp;
        this.run = run;
        this.strips.renew(run.stamp);
        if (anew) this.clear();
        await this.reload();
      }
      this.run = run;
      this.head.show(run);
      this.frame.setAttribute("aria-label", `${count(run.total)} ${run.item}s`);
      if (this.lost) this.head.showLine("");
      this.lost = false;
    } catch (error) {
      this.head.showLine(error.message, true);
      this.lost = true;
      this.run = this.run && { ...this.run, version: -1 };
    }
    this.pollIn(POLL_MS[this.run?.state] ?? POLL_MS.running);
  }

  pollIn(milliseconds) {
    clearTimeout(this.polling);
    this.polling = setTimeout(() => this.poll(), milliseconds);
  }

  clear() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
  }

  /** Reads the items on the screen again. */
  async reload() {
    if (!this.run) return;
    await this.items.renew(this.upper?.[0] ?? 0);
    this.layOut();
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
    this.pollIn(REST_MS); // for the number of damaged maps
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

  /** Opens the item of a slot. */
  async open(slot) {
    await this.items.load(slot);
    const item = this.items.at(slot);
    if (!item) return;
    this.setActive(slot);
    this.opened = item.place;
    this.draw();
    const part = this.run.parts.findLast(({ start }) => start <= item.place);
    this.onOpen({ ...item, screen: part.screen });
  }

  /** Opens the item before or after the opened one; on the sheet it moves the mark. */
  step(by) {
    this.choose(this.active + by);
  }

  /** Opens a random item, or marks it on the sheet. */
  random() {
    this.choose(Math.floor(Math.random() * this.items.total));
  }

  choose(slot) {
    if (slot < 0 || slot >= this.items.total) return;
    if (this.root.hidden) this.open(slot);
    else this.setActive(slot);
  }

  setActive(slot) {
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

  /** Shows the item of a place in the middle of the screen. */
  goTo(place) {
    if (this.items.only !== "all") {
      this.head.part("only").checked = false;
      this.items.only = "all";
      this.items.total = this.run.total;
      this.reload();
      this.layOut();
    }
    this.active = place;
    const row = Math.floor(place / this.columns);
    this.scroller.moveTo((row + 0.5) * this.row - this.frame.clientHeight / 2);
    this.setActive(place);
  }

  /** Goes to the item of a number, or to that in the next folder; returns its place, null if there is none. */
  async find(text) {
    const number = text.trim();
    if (!/^\d+$/.test(number)) {
      this.head.showLine(number ? `'${number}' is no ${this.run.item}` : "", Boolean(number));
      return null;
    }
    try {
      const active = this.items.at(this.active);
      const after = active?.number === Number(number) ? active.place : -1;
      const { place } = await (await this.source.request(`/api/run/find?number=${number}&after=${after}`)).json();
      this.head.showLine("");
      this.goTo(place);
      return place;
    } catch (error) {
      this.head.showLine(error.message, true);
      return null;
    }
  }

  /** Goes to the next item without a map; the server searches a part of the folder at a time. */
  async nextMissing() {
    const search = (this.search = {});
    let after = this.items.at(this.active)?.place ?? -1;
    if (this.active === 0 && !this.visited) after = -1;
    this.visited = true;
    try {
      while (this.search === search) {
        const found = await (await this.source.request(`/api/run/missing?after=${after}`)).json();
        if (this.search !== search) return;
        if (found.place !== null) {
          this.head.showLine("");
          this.goTo(found.place);
          return;
        }
        if (found.searched >= this.run.total - 1) {
          this.head.showLine("no missing map after this");
          return;
        }
        after = found.searched;
        this.head.showLine(`searched ${count(after + 1)} of ${count(this.run.total)}`);
      }
    } catch (error) {
      this.head.showLine(error.message, true);
    }
  }

  onKey(event) {
    const rows = Math.max(1, Math.floor(this.frame.clientHeight / this.row));
    const step = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -rows * this.columns, PageDown: rows * this.columns, Home: -this.items.total, End: this.items.total,
    }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) this.setActive(this.active + step);
    else if (event.key === "Enter") this.open(this.active);
    else if (event.key === "n") this.nextMissing();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function titleOf(item, state, strip) {
  if (!item) return "";
  if (state === "missing") return `${item.name}: missing; the run has not made it`;
  const reasons = Object.entries(strip?.reasons ?? {}).map(([type, why]) => (type ? `${type}: ${why}` : why));
  return reasons.length ? `${item.name}: ${reasons.join("; ")}` : item.name;
}
