/**
 * Depth as a surface that can be turned: a mesh or points, seen by a pinhole camera, in the colours of a map.
 *
 * A pixel whose depth is a share s of its range lies at distance Z = near + stretch * s along the viewing axis, at
 * x = u tan(f / 2) Z and y = v tan(f / 2) Z. u and v are -1 to 1 over the picture, f is its field of view.
 */

import {
  BufferAttribute, BufferGeometry, ColorManagement, DoubleSide, LinearSRGBColorSpace, LineBasicMaterial, LineSegments,
  Mesh, MeshBasicMaterial, OrbitControls, PerspectiveCamera, Points, PointsMaterial, Scene, WebGLRenderer,
} from "three";
import { choice, slider } from "sgi/slider";

const LARGEST_SIDE = 512; // larger maps are thinned out, so that a live change stays quick
const NORMALS_A_SIDE = 32;
const START = { turn: 0.3, rise: 0.14, back: 1.25 }; // of the first view: radians, and times the distance
const KEY_TURN = 0.1;
const RELIT = "relit";

export class Surface {
  /** @param {import("sgi/source").Type[]} types */
  constructor(types) {
    const depths = types.filter(({ decoding }) => decoding === "inverse");
    this.depth = depths.find(({ name }) => name === "depth") ?? depths[0];
    this.normal = types.find(({ decoding }) => decoding === "unit");
    this.types = types;
    this.maps = null;
    this.relit = null;
    this.canvas = document.getElementById("surface");
    const reason = this.depth ? this.open() : "The surface needs depth, which is not among these maps.";
    if (!reason) return;
    this.depth = null;
    document.getElementById("surface-block").classList.add("off");
    document.getElementById("surface-note").textContent = reason;
  }

  /** Starts WebGL; returns the reason where that fails. */
  open() {
    try {
      this.renderer = new WebGLRenderer({ canvas: this.canvas, antialias: true, alpha: true });
    } catch {
      return "This browser has no WebGL, which the surface needs.";
    }
    ColorManagement.enabled = false; // colours are sRGB codes, drawn as they are
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.scene = new Scene();
    this.view = new PerspectiveCamera(70, 1, 0.005, 100);
    this.orbit = new OrbitControls(this.view, this.canvas);
    this.orbit.rotateSpeed = 0.5; // half a turn for a drag of the height of the canvas
    this.orbit.addEventListener("change", () => this.draw());
    this.orbit.addEventListener("start", () => (document.getElementById("surface-note").hidden = true));
    this.geometry = new BufferGeometry();
    this.mesh = new Mesh(this.geometry, new MeshBasicMaterial({ vertexColors: true, side: DoubleSide }));
    this.points = new Points(this.geometry, new PointsMaterial({ vertexColors: true }));
    this.lines = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ vertexColors: true }));
    for (const part of [this.mesh, this.points, this.lines]) {
      part.frustumCulled = false; // no bounding spheres to keep up to date
      this.scene.add(part);
    }
    this.build();
    new ResizeObserver(() => this.resize()).observe(this.canvas.parentElement);
    return "";
  }

  build() {
    const tools = document.getElementById("surface-tools");
    const add = (setting, onInput) => slider(tools, setting, onInput);
    const reshape = () => this.reshape();
    this.fov = add({
      id: "field-of-view", label: "Field of view", min: 10, max: 110, step: 1, value: 70, unit: "\u00b0",
      hint: "Of the camera of the picture, from edge to edge",
    }, reshape);
    this.near = add({
      id: "surface-near", label: "Distance", min: 0, max: 3, step: 0.01, value: 0,
      hint: "Added to depth: the distance of the camera to depth 0",
    }, reshape);
    this.stretch = add({
      id: "surface-stretch", label: "Stretch", min: 0.1, max: 3, step: 0.01, value: 1, hint: "Depth is multiplied by it",
    }, reshape);
    this.cut = add({
      id: "surface-cut", label: "Cut", min: 1, max: 30, step: 0.5, value: 10,
      hint: "Parts steeper than this are left out: change of depth against width of a pixel",
    }, reshape);
    this.form = choice(document.getElementById("surface-form"), "form", { mesh: "Mesh", points: "Points" }, () => this.draw());
    this.colour = document.getElementById("surface-colour");
    const names = [...this.types.map(({ name }) => name)];
    if (names.includes("albedo") && this.normal) names.push(RELIT);
    for (const name of names) this.colour.add(new Option(name, name));
    this.colour.addEventListener("change", () => this.recolour());
    this.normals = document.getElementById("surface-normals");
    this.normals.parentElement.hidden = !this.normal;
    this.normals.addEventListener("change", reshape);
    document.getElementById("surface-reset").addEventListener("click", () => this.frame());
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    const turn = { ArrowLeft: KEY_TURN, ArrowRight: -KEY_TURN }[event.key];
    const rise = { ArrowUp: KEY_TURN, ArrowDown: -KEY_TURN }[event.key];
    if (turn) this.orbit.rotateLeft(turn);
    else if (rise) this.orbit.rotateUp(rise);
    else if (event.key === "+") this.orbit.dollyIn(1.1);
    else if (event.key === "-") this.orbit.dollyOut(1.1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * Shows maps from where the last ones were seen.
   * @param {import("sgi/source").Maps} maps
   */
  show(maps) {
    this.maps = maps;
    if (!this.depth) return;
    if (maps.types[this.depth.name]) this.reshape();
    else this.draw();
  }

  /**
   * Takes the relit picture, which is one of the colours.
   * @param {?Uint8Array} pixels [R, R, 3], null where there is none
   */
  showRelit(pixels) {
    this.relit = pixels;
    if (this.depth && this.colour.value === RELIT) this.recolour();
  }

  /** Computes positions and triangles again. */
  reshape() {
    const map = this.maps?.types[this.depth.name];
    if (!map) return;
    this.thinning = Math.ceil(map.side / LARGEST_SIDE);
    const count = Math.floor(map.side / this.thinning);
    this.tangent = Math.tan((this.fov.value * Math.PI) / 360);
    const positions = this.attribute("position", Float32Array, count).array;
    let total = 0;
    for (let row = 0, to = 0; row < count; row++) {
      const v = 1 - (2 * (row + 0.5)) / count;
      for (let column = 0; column < count; column++, to += 3) {
        const distance = this.distance(map.values[(row * map.side + column) * this.thinning]);
        positions[to] = ((2 * (column + 0.5)) / count - 1) * this.tangent * distance;
        positions[to + 1] = v * this.tangent * distance;
        positions[to + 2] = -distance;
        total += distance;
      }
    }
    this.triangulate(positions, count);
    const first = this.middle === undefined;
    this.middle = total / (count * count);
    this.points.material.size = (2.6 * this.tangent * this.middle) / count;
    this.drawNormals(positions, count);
    this.view.fov = this.fov.value;
    this.view.updateProjectionMatrix();
    if (first) this.frame();
    this.recolour();
  }

  distance(depth) {
    const { low, high } = this.depth;
    return Math.max(1e-3, this.near.value + (this.stretch.value * (depth - low)) / (high - low));
  }

  /** The attribute of three numbers a vertex, made anew where the number of vertices has changed. */
  attribute(name, kind, count) {
    let attribute = this.geometry.getAttribute(name);
    if (attribute?.count !== count * count) {
      attribute = new BufferAttribute(new kind(3 * count * count), 3, kind === Uint8Array);
      this.geometry.dispose();
      this.geometry.setAttribute(name, attribute);
    }
    attribute.needsUpdate = true;
    return attribute;
  }

  /** Two triangles for each four neighbours, without those across a jump of depth. */
  triangulate(positions, count) {
    const size = 6 * (count - 1) * (count - 1);
    if (this.geometry.index?.count !== size) this.geometry.setIndex(new BufferAttribute(new Uint32Array(size), 1));
    const index = this.geometry.index.array;
    const steepest = (this.cut.value * 2 * this.tangent) / count;
    let used = 0;
    for (let row = 0; row < count - 1; row++) {
      for (let a = row * count; a < row * count + count - 1; a++) {
        const [c, z] = [a + count, 3 * a + 2];
        const [one, two, three, four] = [positions[z], positions[z + 3], positions[3 * c + 2], positions[3 * c + 5]];
        const nearest = -Math.max(one, two, three, four); // z is minus the distance
        if (-Math.min(one, two, three, four) - nearest > steepest * nearest) continue;
        index[used] = a;
        index[used + 1] = index[used + 4] = c;
        index[used + 2] = index[used + 3] = a + 1;
        index[used + 5] = c + 1;
        used += 6;
      }
    }
    this.drawn = used;
    this.geometry.index.needsUpdate = true;
  }

  /** A line along the normal at every few pixels, in the colour of the normal. */
  drawNormals(positions, count) {
    const map = this.normals.checked && this.maps.types[this.normal.name];
    this.lines.visible = Boolean(map);
    if (!map) return;
    const step = Math.max(1, Math.floor(count / NORMALS_A_SIDE));
    const length = 0.05 * this.middle;
    const size = map.side * map.side;
    const [ends, colours] = [[], []];
    for (let row = step >> 1; row < count; row += step) {
      for (let column = step >> 1; column < count; column += step) {
        const from = 3 * (row * count + column);
        const place = (row * map.side + column) * this.thinning;
        for (const end of [0, length]) {
          for (let axis = 0; axis < 3; axis++) {
            const part = map.values[axis * size + place];
            ends.push(positions[from + axis] + end * part);
            colours.push((part + 1) / 2);
          }
        }
      }
    }
    this.lines.geometry.dispose();
    this.lines.geometry = new BufferGeometry();
    this.lines.geometry.setAttribute("position", new BufferAttribute(new Float32Array(ends), 3));
    this.lines.geometry.setAttribute("color", new BufferAttribute(new Float32Array(colours), 3));
  }

  /** Draws the surface in the chosen colours, or in those of depth where these are missing. */
  recolour() {
    const map = this.maps?.types[this.depth.name];
    if (!map) return;
    const chosen = this.colour.value === RELIT ? this.relit : this.maps.types[this.colour.value]?.pixels;
    const pixels = chosen ?? map.pixels;
    const count = Math.floor(map.side / this.thinning);
    const colours = this.attribute("color", Uint8Array, count).array;
    for (let row = 0, to = 0; row < count; row++) {
      for (let column = 0; column < count; column++, to += 3) {
        const from = 3 * (row * map.side + column) * this.thinning;
        colours[to] = pixels[from];
        colours[to + 1] = pixels[from + 1];
        colours[to + 2] = pixels[from + 2];
      }
    }
    this.draw();
  }

  /** The first view: a little beside and above the camera of the picture, turned to its middle. */
  frame() {
    const distance = this.middle * START.back;
    this.orbit.target.set(0, 0, -this.middle);
    this.view.position.set(
      distance * Math.sin(START.turn) * Math.cos(START.rise),
      distance * Math.sin(START.rise),
      distance * Math.cos(START.turn) * Math.cos(START.rise) - this.middle,
    );
    this.orbit.update();
    this.draw();
  }

  /** Where the surface is seen from: position and the point that it turns about. */
  camera() {
    return { position: this.view.position.toArray(), target: this.orbit.target.toArray() };
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    this.renderer.setPixelRatio(devicePixelRatio);
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.view.aspect = clientWidth / clientHeight;
    this.view.updateProjectionMatrix();
    this.render();
  }

  /** Renders once before the next frame of the browser. */
  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.render();
    });
  }

  render() {
    const points = this.form.value === "points";
    this.scene.visible = Boolean(this.maps?.types[this.depth.name]);
    this.points.visible = points;
    this.mesh.visible = !points;
    this.geometry.setDrawRange(0, points ? Infinity : this.drawn);
    this.renderer.render(this.scene, this.view);
  }
}
