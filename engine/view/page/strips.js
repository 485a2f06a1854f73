/** Pictures of the items of a run folder: a few requests at a time, cancelled when their rows leave the screen. */

import { damagedOf } from "sgi/source";

const AT_ONCE = 6;
const MOST_KEPT = 600;

/** @typedef {{url: string, reasons: Object<string, string>}} Strip reasons: {type: why its cell is marked} */

export class Strips {
  /** @param {(place: number, strip: ?Strip) => void} onStrip called with each picture that has arrived */
  constructor(onStrip) {
    this.onStrip = onStrip;
    this.kept = new Map(); // place -> strip, the oldest first
    this.wanted = []; // places on the screen without a picture
    this.running = new Map(); // place -> AbortController
    this.stamp = "";
    this.requested = 0;
    this.cancelled = 0;
  }

  /** The picture of an item, if it is here. */
  get(place) {
    const strip = this.kept.get(place);
    if (strip) {
      this.kept.delete(place); // and to the end, as the newest
      this.kept.set(place, strip);
    }
    return strip ?? null;
  }

  /**
   * Requests the pictures of places, in this order, and for no others.
   * @param {number[]} places
   */
  want(places) {
    const set = new Set(places);
    for (const [place, controller] of this.running) {
      if (set.has(place)) continue;
      controller.abort();
      this.running.delete(place);
      this.cancelled += 1;
    }
    this.wanted = places.filter((place) => !this.kept.has(place) && !this.running.has(place));
    this.start();
  }

  /** Forgets pictures: all where other files are behind the places, else those with marked cells. */
  renew(stamp) {
    const all = stamp !== this.stamp;
    this.stamp = stamp;
    for (const [place, strip] of this.kept) {
      if (all || Object.keys(strip.reasons).length) this.drop(place);
    }
    if (!all) return;
    for (const controller of this.running.values()) controller.abort();
    this.running.clear();
  }

  drop(place) {
    const strip = this.kept.get(place);
    if (strip) URL.revokeObjectURL(strip.url);
    this.kept.delete(place);
  }

  start() {
    while (this.running.size < AT_ONCE && this.wanted.length) this.load(this.wanted.shift());
  }

  async load(place) {
    const controller = new AbortController();
    this.running.set(place, controller);
    this.requested += 1;
    try {
      const response = await fetch(`/run/strip/${place}.png?v=${this.stamp}`, { signal: controller.signal });
      if (!response.ok) throw new Error(await response.text());
      const reasons = damagedOf(response);
      const url = URL.createObjectURL(await response.blob());
      if (controller.signal.aborted) return URL.revokeObjectURL(url);
      this.keep(place, { url, reasons });
      this.onStrip(place, this.kept.get(place));
    } catch {
      // Cancelled, or the server is gone: the sheet requests them again when it answers.
    } finally {
      if (this.running.get(place) === controller) this.running.delete(place);
      this.start();
    }
  }

  keep(place, strip) {
    this.kept.set(place, strip);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MOST_KEPT) break;
      this.drop(oldest);
    }
  }
}
