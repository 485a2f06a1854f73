/**
 * The contact sheet of a run folder: it follows the run, finds items, and opens them. The cells are in grid.js.
 *
 * A place is the position of an item in the folder; a slot is its position in the list that is shown, which can be
 * that of the items without maps.
 */

import { Grid } from "sgi/grid";
import { Items } from "sgi/items";
import { count, RunHead } from "sgi/run-head";

const DAMAGED_MS = 60; // after a damaged map was found, before its number is requested
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
      onTotal: () => this.grid.layOut(),
      onItems: () => this.grid.moved(),
      onError: (text) => this.head.showLine(text, true),
    });
    this.head = new RunHead(root);
    this.onOpen = onOpen;
    this.run = null;
    this.lost = false; // whether the folder or the server is gone
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
    this.grid = new Grid(root, this.items, {
      onPress: (slot) => this.open(slot),
      onDamaged: () => this.pollIn(DAMAGED_MS),
    });
    this.frame = this.grid.frame;
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
      this.grid.restart();
      this.reload();
    });
    this.frame.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Requests the state of the folder again and again, so that the sheet follows a run. */
  async poll() {
    try {
      const run = await (await this.source.request("/api/run")).json();
      if (run.version !== this.run?.version || run.stamp !== this.run?.stamp || run.state !== this.run?.state) {
        this.grid.renew(run, run.stamp !== this.run?.stamp);
        this.run = run;
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

  /** Reads the items on the screen again. */
  async reload() {
    if (!this.run) return;
    await this.items.renew(this.grid.first);
    this.grid.layOut();
  }

  /** Opens the item of a slot. */
  async open(slot) {
    await this.items.load(slot);
    const item = this.items.at(slot);
    if (!item) return;
    this.grid.mark(slot);
    this.grid.opened = item.place;
    this.grid.draw();
    const part = this.run.parts.findLast(({ start }) => start <= item.place);
    this.onOpen({ ...item, screen: part.screen });
  }

  /** Opens the item before or after the opened one; on the sheet it moves the mark. */
  step(by) {
    this.choose(this.grid.active + by);
  }

  /** Opens a random item, or marks it on the sheet. */
  random() {
    this.choose(Math.floor(Math.random() * this.items.total));
  }

  choose(slot) {
    if (slot < 0 || slot >= this.items.total) return;
    if (this.root.hidden) this.open(slot);
    else this.grid.mark(slot);
  }

  /** Shows the item of a place in the middle of the screen. */
  goTo(place) {
    if (this.items.only !== "all") {
      this.head.part("only").checked = false;
      this.items.only = "all";
      this.items.total = this.run.total;
      this.reload();
      this.grid.layOut();
    }
    this.grid.centre(place);
  }

  /** Goes to the item of a number, or to that in the next folder; returns its place, null if there is none. */
  async find(text) {
    const number = text.trim();
    if (!/^\d+$/.test(number)) {
      this.head.showLine(number ? `'${number}' is no ${this.run.item}` : "", Boolean(number));
      return null;
    }
    try {
      const active = this.items.at(this.grid.active);
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
    let after = this.items.at(this.grid.active)?.place ?? -1;
    if (this.grid.active === 0 && !this.visited) after = -1;
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
    const { columns, screen } = this.grid;
    const step = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns,
      PageUp: -screen, PageDown: screen, Home: -this.items.total, End: this.items.total,
    }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) this.grid.mark(this.grid.active + step);
    else if (event.key === "Enter") this.open(this.grid.active);
    else if (event.key === "n") this.nextMissing();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
