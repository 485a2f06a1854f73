/**
 * The position in a long list. Browsers limit the height of an element, so the element of a longer list is lower than
 * the list: small movements are those of the list, and large ones a share of it.
 */

const TALLEST = 8_000_000; // pixels; browsers allow 16 to 33 million
const SETTLED_MS = 200;

export class Scroller {
  /**
   * @param {HTMLElement} frame the element that scrolls
   * @param {HTMLElement} space the element inside whose height is that of the list
   * @param {() => void} onMove called after each movement
   */
  constructor(frame, space, onMove) {
    this.frame = frame;
    this.space = space;
    this.height = 0;
    this.top = 0; // of the screen in the list, in pixels
    this.last = 0; // scrollTop as it was
    this.settling = 0;
    frame.addEventListener("scroll", () => {
      this.follow();
      onMove();
    }, { passive: true });
  }

  /** Largest `top`. */
  get most() {
    return Math.max(0, this.height - this.frame.clientHeight);
  }

  /** Largest scrollTop. */
  get range() {
    return Math.max(0, Math.min(this.height, TALLEST) - this.frame.clientHeight);
  }

  /** Where the list begins in the element that scrolls, in pixels. */
  get start() {
    return this.frame.scrollTop - this.top;
  }

  setHeight(height) {
    this.height = height;
    this.space.style.height = `${Math.min(height, TALLEST)}px`;
    this.moveTo(this.top);
  }

  moveTo(top) {
    this.top = Math.min(this.most, Math.max(0, top));
    this.frame.scrollTop = this.range ? (this.top / this.most) * this.range : 0;
    this.last = this.frame.scrollTop;
  }

  follow() {
    const now = this.frame.scrollTop;
    const moved = now - this.last;
    if (!moved) return;
    this.last = now;
    const far = Math.abs(moved) > 2 * this.frame.clientHeight;
    const whole = this.height <= TALLEST || far || now <= 0 || now >= this.range;
    this.top = Math.min(this.most, Math.max(0, whole ? (now / this.range) * this.most : this.top + moved));
    clearTimeout(this.settling);
    if (!whole) this.settling = setTimeout(() => this.moveTo(this.top), SETTLED_MS);
  }
}
