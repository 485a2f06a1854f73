/** Legends of maps: what a colour means, and where the value under the crosshair lies. */

const BALL = 64;

/**
 * The legend of a type.
 * @param {import("sgi/source").Type} type
 * @returns {{element: Element, show: (map: ?import("sgi/source").TypeMap, span: ?number[], value: ?number[]) => void}}
 *   show: draws the legend of a map and marks a value; null clears it
 */
export function legendOf(type) {
  if (type.decoding === "unit") return ballLegend();
  if (type.decoding === "palette") return classLegend(type);
  return type.channels === 1 ? barLegend(type) : swatchLegend();
}

/** The text of the value of a type: numbers, or the name of a class. */
export function textOf(type, value) {
  if (type.decoding === "palette") return type.classes[Math.round(value[0])] ?? String(value[0]);
  return value.map((number) => number.toFixed(3).replace("-", "\u2212")).join(" ");
}

/** sRGB code in [0, 1] of linear light (IEC 61966-2-1). */
export function encodeSrgb(linear) {
  const light = Math.min(1, Math.max(0, linear));
  return light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
}

function element(tag, className, parent, textContent = "") {
  const made = Object.assign(document.createElement(tag), { className, textContent });
  parent?.append(made);
  return made;
}

const short = (number) => String(Number(number.toPrecision(3)));

/** A bar from the least to the largest value, in the colours of the map, with a mark at the value. */
function barLegend(type) {
  const root = element("div", "legend bar");
  const low = element("span", "end", root, short(type.low));
  const bar = element("div", "colours", root);
  const mark = element("i", "mark", bar);
  const high = element("span", "end", root, short(type.high));
  if (type.colours.length) {
    bar.style.background = `linear-gradient(to right, ${type.colours.map((c) => `rgb(${c})`).join(", ")})`;
  }
  const show = (map, span, value) => {
    const [least, largest] = span ?? [type.low, type.high];
    low.textContent = short(least);
    high.textContent = short(largest);
    mark.hidden = !value;
    if (!value) return;
    const share = (value[0] - least) / Math.max(largest - least, 1e-9);
    mark.style.left = `${100 * Math.min(1, Math.max(0, type.decoding === "linear" ? encodeSrgb(share) : share))}%`;
  };
  return { element: root, show };
}

/** A ball whose points have the colours of their normals, with a dot at the normal under the crosshair. */
function ballLegend() {
  const root = element("div", "legend ball");
  const canvas = Object.assign(element("canvas", "", root), { width: BALL, height: BALL });
  const dot = element("i", "dot", root);
  element("span", "axes", root, "+x right, +y up, +z to you");
  root.title = "The colour of each direction that a surface can face";
  paintBall(canvas, (x, y, z) => [x, y, z].map((n) => 127.5 * (n + 1)));
  const show = (map, span, value) => {
    dot.hidden = !value;
    if (!value) return;
    const [x, y] = value;
    dot.style.left = `${(50 * (1 + x) * canvas.clientWidth) / 100}px`;
    dot.style.top = `${(50 * (1 - y) * canvas.clientHeight) / 100}px`;
  };
  return { element: root, show };
}

/**
 * Paints the half of a unit ball that faces the viewer.
 * @param {HTMLCanvasElement} canvas square
 * @param {(x: number, y: number, z: number) => number[]} colourOf red, green and blue, 0 to 255, of a normal
 */
export function paintBall(canvas, colourOf) {
  const side = canvas.width;
  const picture = new ImageData(side, side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const x = (2 * (column + 0.5)) / side - 1;
      const y = 1 - (2 * (row + 0.5)) / side;
      const radius = Math.hypot(x, y);
      const cover = Math.min(1, Math.max(0, ((1 - radius) * side) / 2)); // a smooth edge of one pixel
      if (!cover) continue;
      const z = Math.sqrt(Math.max(0, 1 - radius * radius));
      picture.data.set([...colourOf(x, y, z), 255 * cover], 4 * (row * side + column));
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** The colour under the crosshair. */
function swatchLegend() {
  const root = element("div", "legend swatch");
  const colour = element("i", "colour", root);
  const code = element("span", "code", root);
  const show = (map, span, value, place) => {
    colour.hidden = !value;
    const rgb = value ? [...map.pixels.subarray(3 * place, 3 * place + 3)] : [];
    colour.style.background = `rgb(${rgb})`;
    code.textContent = value ? `#${rgb.map((n) => n.toString(16).padStart(2, "0")).join("")}` : "";
  };
  return { element: root, show };
}

/** The classes of the map, largest first; the class under the crosshair stands out. */
function classLegend(type) {
  const root = element("div", "legend classes");
  let shown = null;
  let chips = [];
  const list = (map) => {
    const sizes = new Map();
    for (const value of map.values) sizes.set(Math.round(value), (sizes.get(Math.round(value)) ?? 0) + 1);
    root.replaceChildren();
    chips = [...sizes].sort((a, b) => b[1] - a[1]).map(([index, size]) => {
      const chip = element("span", "class", root);
      element("i", "colour", chip).style.background = `rgb(${type.colours[index]})`;
      chip.append(type.classes[index] ?? String(index));
      chip.title = `${((100 * size) / map.values.length).toFixed(1)} % of the picture`;
      return [index, chip];
    });
  };
  const show = (map, span, value) => {
    if (map && map !== shown) list(map);
    shown = map;
    for (const [index, chip] of chips) chip.classList.toggle("here", index === Math.round(value?.[0]));
  };
  return { element: root, show };
}
