/** One card for each type: the map, the value under the crosshair, and a legend. The crosshair is in all cards. */

import { legendOf, textOf } from "sgi/legends";

export class Cards {
  /**
   * @param {Element} root
   * @param {import("sgi/source").Type[]} types
   * @param {(point: ?{x: number, y: number}) => void} onPoint called with the pixel under the crosshair
   */
  constructor(root, types, onPoint) {
    this.onPoint = onPoint;
    this.point = null;
    this.kept = false;
    this.maps = null;
    this.root = root;
    this.cards = types.map((type) => this.build(root, type));
  }

  build(root, type) {
    const card = document.createElement("article");
    card.className = "card";
    card.id = `card-${type.name}`;
    card.innerHTML = `
      <header><h3></h3><output></output></header>
      <div class="picture"><canvas tabindex="0" role="img"></canvas><i class="cross-x"></i><i class="cross-y"></i>
        <i class="cross-pixel"></i></div>
      <footer></footer>
      <p class="meaning"></p>`;
    card.querySelector("h3").textContent = type.name;
    const meaning = card.querySelector(".meaning");
    meaning.textContent = meaning.title = type.meaning;
    const canvas = card.querySelector("canvas");
    canvas.id = `canvas-${type.name}`;
    canvas.setAttribute("aria-label", `${type.name}: ${type.meaning}`);
    const value = card.querySelector("output");
    value.id = `value-${type.name}`;
    const legend = legendOf(type);
    card.querySelector("footer").append(legend.element);
    root.append(card);
    const built = { type, card, canvas, value, legend };
    this.listen(built);
    return built;
  }

  listen({ type, card, canvas }) {
    const picture = card.querySelector(".picture");
    const at = (event) => {
      const side = this.maps?.types[type.name]?.side;
      if (!side) return null;
      const box = canvas.getBoundingClientRect();
      const place = (offset, size) => Math.min(side - 1, Math.max(0, Math.floor((offset / size) * side)));
      return { x: place(event.clientX - box.left, box.width), y: place(event.clientY - box.top, box.height) };
    };
    picture.addEventListener("pointermove", (event) => {
      if (!this.kept) this.setPoint(at(event));
    });
    picture.addEventListener("pointerdown", (event) => {
      this.kept = !this.kept || event.pointerType === "touch";
      this.setPoint(at(event));
    });
    picture.addEventListener("pointerleave", (event) => {
      if (!this.kept && event.pointerType !== "touch") this.setPoint(null);
    });
    canvas.addEventListener("keydown", (event) => this.onKey(event, type));
  }

  /** Arrow keys move the crosshair of the card in focus, Escape takes it away. */
  onKey(event, type) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const side = this.maps?.types[type.name]?.side;
    if (event.key === "Escape" && this.point) {
      event.stopPropagation();
      this.kept = false;
      this.setPoint(null);
    } else if (step && side) {
      event.preventDefault();
      event.stopPropagation();
      const { x, y } = this.point ?? { x: side >> 1, y: side >> 1 };
      const inside = (place) => Math.min(side - 1, Math.max(0, place));
      this.kept = true;
      this.setPoint({ x: inside(x + step[0]), y: inside(y + step[1]) });
    }
  }

  /**
   * Draws maps.
   * @param {import("sgi/source").Maps} maps
   */
  show(maps) {
    this.maps = maps;
    const missing = maps.damaged ? "not in the files of the run; change a control to compute it" : "missing";
    for (const { type, card, canvas } of this.cards) {
      const map = maps.types[type.name];
      card.classList.toggle("missing", !map);
      card.querySelector(".picture").dataset.why = maps.damaged?.[type.name] ?? missing;
      if (map) paint(canvas, map.pixels, map.side);
    }
    this.setPoint(this.point);
  }

  /**
   * Shows a photo before the maps.
   * @param {?string} url null for none
   */
  showPhoto(url) {
    let picture = document.querySelector("#card-photo img");
    if (!url) {
      picture?.closest("#card-photo").remove();
      return;
    }
    if (!picture) {
      const card = document.createElement("article");
      card.className = "card";
      card.id = "card-photo";
      card.innerHTML = `<header><h3>photo</h3></header><div class="picture"><img alt="The photo"></div>
        <footer></footer><p class="meaning">the photo that the maps are beside</p>`;
      this.root.prepend(card);
      picture = card.querySelector("img");
      const mark = (missing) => () => card.classList.toggle("missing", missing);
      picture.addEventListener("error", mark(true));
      picture.addEventListener("load", mark(false));
      picture.parentElement.dataset.why = "the file of the photo is not there";
    }
    picture.src = url;
  }

  /** Moves the crosshair to a pixel; null takes it away. */
  setPoint(point) {
    this.point = point;
    for (const card of this.cards) this.showPoint(card, point);
    this.onPoint(point, this.kept);
  }

  showPoint({ type, card, value, legend }, point) {
    const map = this.maps?.types[type.name] ?? null;
    const marked = point && map && point.x < map.side && point.y < map.side;
    card.classList.toggle("pointed", Boolean(marked));
    const place = marked ? point.y * map.side + point.x : 0;
    const numbers = marked ? valueAt(map, place) : null;
    value.textContent = marked ? textOf(type, numbers) : "";
    legend.show(map, this.maps?.spans[type.name], numbers, place);
    if (!marked) return;
    card.style.setProperty("--x", (point.x + 0.5) / map.side);
    card.style.setProperty("--y", (point.y + 0.5) / map.side);
    card.style.setProperty("--pixel", 1 / map.side);
  }
}

/** The channels of a map at a pixel. */
function valueAt(map, place) {
  const size = map.side * map.side;
  return Array.from({ length: map.values.length / size }, (_, channel) => map.values[channel * size + place]);
}

/**
 * Draws pixels on a canvas, one canvas pixel for each.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array | Uint8ClampedArray} pixels [side, side, 3]
 */
export function paint(canvas, pixels, side) {
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const picture = new ImageData(side, side);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) {
    picture.data[to] = pixels[from];
    picture.data[to + 1] = pixels[from + 1];
    picture.data[to + 2] = pixels[from + 2];
    picture.data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
