/**
 * Relighting: albedo under one distant white light, from normals.
 *
 * relit = albedo * (ambient + strength * max(0, n . l)), in linear light, drawn with the sRGB transfer function.
 * l = (sin(azimuth) cos(elevation), sin(elevation), cos(azimuth) cos(elevation)): +x right, +y up, +z to the viewer.
 */

import { encodeSrgb, paintBall } from "sgi/legends";
import { paint } from "sgi/maps";
import { slider } from "sgi/slider";

const DEGREE = Math.PI / 180;
const STEPS = 4096;
const CODES = Uint8Array.from({ length: STEPS + 1 }, (_, step) => Math.round(255 * encodeSrgb(step / STEPS)));
const BALL = 176;
const START = { azimuth: -60, elevation: 20, strength: 1, ambient: 0.1 };
const PRESETS = { left: [-75, 10], above: [0, 75], right: [75, 10], below: [0, -60], front: [0, 0] };

/** Unit vector to a light whose angles are in degrees. */
export function direction({ azimuth, elevation }) {
  const across = Math.cos(elevation * DEGREE);
  return [
    Math.sin(azimuth * DEGREE) * across,
    Math.sin(elevation * DEGREE),
    Math.cos(azimuth * DEGREE) * across,
  ];
}

/**
 * The relit picture in linear light.
 * @param {Float32Array} albedo [3, R, R]
 * @param {Float32Array} normal [3, R, R], unit vectors
 * @param {{azimuth: number, elevation: number, strength: number, ambient: number}} light
 * @returns {Float32Array} [3, R, R]
 */
export function relight(albedo, normal, light) {
  const [x, y, z] = direction(light);
  const size = normal.length / 3;
  const relit = new Float32Array(3 * size);
  for (let place = 0; place < size; place++) {
    const facing = normal[place] * x + normal[size + place] * y + normal[2 * size + place] * z;
    const received = light.ambient + light.strength * Math.max(0, facing);
    for (let at = place; at < 3 * size; at += size) relit[at] = albedo[at] * received;
  }
  return relit;
}

/** Pixels [R, R, 3] of linear light [3, R, R]. */
function pixelsOf(linear) {
  const size = linear.length / 3;
  const pixels = new Uint8Array(3 * size);
  for (let channel = 0; channel < 3; channel++) {
    for (let place = 0; place < size; place++) {
      const light = Math.min(1, Math.max(0, linear[channel * size + place]));
      pixels[3 * place + channel] = CODES[Math.round(light * STEPS)];
    }
  }
  return pixels;
}

export class Relight {
  /**
   * @param {import("sgi/source").Type[]} types
   * @param {(pixels: ?Uint8Array) => void} onRelit called with each relit picture, [R, R, 3], null for none
   * @param {?Object} light the first one, null for the default
   */
  constructor(types, onRelit, light) {
    this.first = { ...START, ...light };
    this.onRelit = onRelit;
    this.onChange = () => {}; // called after each change of the light by the user
    this.albedo = types.find(({ name }) => name === "albedo")?.name;
    this.normal = types.find(({ decoding }) => decoding === "unit")?.name;
    this.image = types.find(({ name }) => name === "image")?.name;
    this.possible = Boolean(this.albedo && this.normal);
    this.relit = null;
    this.maps = null;
    const block = document.getElementById("relight-block");
    if (!this.possible) {
      block.classList.add("off");
      this.note("Relighting needs albedo and normals, which are not among these maps.");
      return;
    }
    this.ball = document.getElementById("ball");
    this.ball.width = this.ball.height = BALL;
    this.build();
  }

  build() {
    const tools = document.getElementById("light-tools");
    const add = (id, label, min, max, step, unit, hint) =>
      slider(tools, { id, label, min, max, step, unit, hint, value: this.first[id] }, () => this.change());
    this.sliders = {
      azimuth: add("azimuth", "Azimuth", -90, 90, 1, "\u00b0", "\u221290\u00b0 is from the left, 90\u00b0 from the right"),
      elevation: add("elevation", "Elevation", -90, 90, 1, "\u00b0", "90\u00b0 is from above"),
      strength: add("strength", "Strength", 0, 3, 0.01, "", "Light on a surface that faces it"),
      ambient: add("ambient", "Ambient", 0, 1, 0.01, "", "Light from everywhere"),
    };
    for (const [name, [azimuth, elevation]] of Object.entries(PRESETS)) {
      const button = Object.assign(document.createElement("button"), {
        type: "button", id: `light-${name}`, textContent: name, title: `Light from ${name === "front" ? "the front" : name}`,
      });
      button.addEventListener("click", () => this.point(azimuth, elevation));
      document.getElementById("light-presets").append(button);
    }
    this.ball.addEventListener("pointerdown", (event) => {
      this.ball.setPointerCapture(event.pointerId);
      this.drag(event);
    });
    this.ball.addEventListener("pointermove", (event) => {
      if (this.ball.hasPointerCapture(event.pointerId)) this.drag(event);
    });
    this.ball.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.point(this.light.azimuth + step[0], this.light.elevation + step[1]);
    });
  }

  /** The light of the sliders; null where relighting is not possible. */
  get light() {
    if (!this.possible) return null;
    return Object.fromEntries(Object.entries(this.sliders).map(([name, { value }]) => [name, value]));
  }

  /** Whether the light is not the first one. */
  get changed() {
    return this.possible && Object.entries(this.light).some(([name, value]) => value !== this.first[name]);
  }

  /**
   * Sets the light; `onChange` is not called.
   * @param {?Object} light fields that are missing or no numbers stay as they are, others are cut to their range
   */
  set(light) {
    if (!this.possible) return;
    for (const [name, control] of Object.entries(this.sliders)) {
      if (Number.isFinite(light?.[name])) control.value = Math.min(control.max, Math.max(control.min, light[name]));
    }
    this.draw();
  }

  change() {
    this.draw();
    this.onChange();
  }

  /** Puts the light where the ball was touched; outside of the ball at its edge. */
  drag(event) {
    const box = this.ball.getBoundingClientRect();
    let x = (2 * (event.clientX - box.left)) / box.width - 1;
    let y = 1 - (2 * (event.clientY - box.top)) / box.height;
    const radius = Math.hypot(x, y);
    if (radius > 1) [x, y] = [x / radius, y / radius];
    const z = Math.sqrt(Math.max(0, 1 - x * x - y * y));
    this.point(Math.round(Math.atan2(x, z) / DEGREE), Math.round(Math.asin(y) / DEGREE));
  }

  /** Moves the light to angles in degrees. */
  point(azimuth, elevation) {
    this.set({ azimuth, elevation });
    this.onChange();
  }

  /**
   * Relights maps.
   * @param {import("sgi/source").Maps} maps
   */
  show(maps) {
    this.maps = maps;
    this.draw();
  }

  draw() {
    if (!this.possible) return;
    this.drawBall();
    const [albedo, normal] = [this.maps?.types[this.albedo], this.maps?.types[this.normal]];
    const lacking = [[albedo, "albedo"], [normal, "normals"]].filter(([map]) => this.maps && !map).map(([, name]) => name);
    this.note(lacking.length ? `Relighting needs ${lacking.join(" and ")}, which these files do not have.` : "");
    const before = this.maps?.types[this.image];
    document.getElementById("relight-before").parentElement.hidden = !before;
    if (before) paint(document.getElementById("relight-before"), before.pixels, before.side);
    document.getElementById("relight").parentElement.hidden = !albedo || !normal;
    this.relit = albedo && normal ? relight(albedo.values, normal.values, this.light) : null;
    const pixels = this.relit && pixelsOf(this.relit);
    if (pixels) paint(document.getElementById("relight"), pixels, albedo.side);
    this.onRelit(pixels);
  }

  note(text) {
    const note = document.getElementById("relight-note");
    note.textContent = text;
    note.hidden = !text;
  }

  /** A white ball under the light, with a dot where the light is. */
  drawBall() {
    const { light } = this;
    const [lx, ly, lz] = direction(light);
    paintBall(this.ball, (x, y, z) => {
      const received = light.ambient + light.strength * Math.max(0, x * lx + y * ly + z * lz);
      return Array(3).fill(255 * encodeSrgb(0.8 * received));
    });
    const context = this.ball.getContext("2d");
    context.beginPath();
    context.arc((BALL / 2) * (1 + 0.94 * lx), (BALL / 2) * (1 - 0.94 * ly), 6, 0, 2 * Math.PI);
    context.fillStyle = "#ffd43b";
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = "#222";
    context.stroke();
    this.ball.setAttribute("aria-valuenow", light.azimuth);
    this.ball.setAttribute("aria-valuetext", `azimuth ${light.azimuth}, elevation ${light.elevation} degrees`);
  }
}
