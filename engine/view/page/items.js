/** The list of the items of a run folder, read from the server in pages when they are asked for. */

const PAGE = 200;
const MOST_PAGES = 60;

/**
 * @typedef {{place: number, number: number, state: string, name: string}} Item
 *   place: position in the folder; state: done, missing or damaged.
 */
export class Items {
  /**
   * @param {{request: (path: string) => Promise<Response>}} source
   * @param {{onTotal: () => void, onItems: () => void, onError: (text: string) => void}} calls
   *   onTotal: the length of the list has changed; onItems: more items are here
   */
  constructor(source, calls) {
    this.source = source;
    this.calls = calls;
    this.only = "all"; // or "missing": items without all maps
    this.total = 0;
    this.pages = new Map();
    this.stale = null; // pages of the state before, shown until the new ones are here
  }

  /** Reads the list again, at first the page of a slot. */
  async renew(slot) {
    this.stale = this.pages;
    this.pages = new Map();
    await this.load(slot);
    this.stale = null;
  }

  /**
   * The item of a slot, a position in this list.
   * @returns {?Item} null where it is not known yet
   */
  at(slot) {
    const index = Math.floor(slot / PAGE);
    const items = this.pages.get(index)?.items ?? this.stale?.get(index)?.items;
    return items?.[slot % PAGE] ?? null;
  }

  /**
   * The item of a place in the folder, if it is here.
   * @returns {?Item}
   */
  ofPlace(place) {
    for (const { items } of this.pages.values()) {
      const found = items?.find((item) => item.place === place);
      if (found) return found;
    }
    return null;
  }

  /** Requests the items of slots [first, stop), each page once. */
  loadAll(first, stop) {
    for (let slot = first - (first % PAGE); slot < stop; slot += PAGE) this.load(slot);
  }

  /** Requests the page of a slot, once. */
  load(slot) {
    const pages = this.pages;
    const index = Math.floor(slot / PAGE);
    let page = pages.get(index);
    if (!page) {
      page = { items: null };
      pages.set(index, page);
      page.loading = this.read(pages, index, page);
      for (const oldest of pages.keys()) {
        if (pages.size <= MOST_PAGES) break;
        pages.delete(oldest);
      }
    }
    return page.loading;
  }

  async read(pages, index, page) {
    try {
      const path = `/api/run/items?start=${index * PAGE}&count=${PAGE}&only=${this.only}`;
      const found = await (await this.source.request(path)).json();
      if (pages !== this.pages) return;
      page.items = found.items;
      const changed = found.total !== this.total;
      this.total = found.total;
      if (changed) this.calls.onTotal();
      else this.calls.onItems();
    } catch (error) {
      pages.delete(index);
      this.calls.onError(error.message);
    }
  }
}
