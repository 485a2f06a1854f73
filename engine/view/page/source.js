/**
 * Where the page gets its maps: from the local server, or from data inside a saved page.
 *
 * @typedef {{name: string, channels: number, low: number, high: number, decoding: string, meaning: string,
 *   classes: string[], colours: number[][], alpha: ?{default: number, live: boolean, reason: string}}} Type
 * @typedef {{pixels: Uint8Array, values: Float32Array, side: number}} TypeMap
 *   pixels: [side, side, 3], as the map is drawn; values: [channels, side, side].
 * @typedef {{types: Object<string, TypeMap>, seconds: number, spans: Object<string, number[]>,
 *   damaged?: Object<string, string>}} Maps
 *   seconds: time of the model; spans: least and largest value of types whose colours span them; damaged: reasons for
 *   maps of a run folder that are not there.
 */

const TAB = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
const POLL_MS = 1000;

/** Parameters in messages of the server, in the words of the page; others are shown by their names. */
const WORDS = {
  class_index: "class", mix_rows: "rows of w+", mix_seed: "seed of style mixing", towards_seed: "seed of interpolation",
  towards_share: "share", latents_row: "row", what: "",
};

/** An error that the page shows as one line. */
export class SourceError extends Error {}

/** A newer request of this tab has replaced the request. */
export class Superseded extends Error {}

/**
 * The maps in a safetensors body: tensors `TYPE.pixels` and `TYPE.values`, and metadata.
 * @param {ArrayBuffer} buffer
 * @returns {Maps}
 */
export function parse(buffer) {
  const headerSize = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerSize)));
  const metadata = header.__metadata__ ?? {};
  delete header.__metadata__;
  const types = {};
  for (const [key, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    const cut = key.lastIndexOf(".");
    const bytes = buffer.slice(8 + headerSize + start, 8 + headerSize + end); // a copy is aligned for float32
    const map = (types[key.slice(0, cut)] ??= {});
    map[key.slice(cut + 1)] = dtype === "F32" ? new Float32Array(bytes) : new Uint8Array(bytes);
    map.side = shape[1];
  }
  return { types, seconds: Number(metadata.seconds ?? 0), spans: JSON.parse(metadata.spans ?? "{}") };
}

/**
 * Why maps of an item of a run folder cannot be read: {type: reason}.
 * @param {Response} response
 * @returns {Object<string, string>}
 */
export function damagedOf(response) {
  return JSON.parse(decodeURIComponent(response.headers.get("X-Sgi-Damaged") ?? "{}"));
}

/** A message of the server, which names parameters as `name=value`, in the words of the page. */
export function inWords(text) {
  return text.replace(/`([a-z_]+)(?:=([^`]*))?`/g, (_, name, value) => [WORDS[name] ?? name, value].filter(Boolean).join(" "));
}

/** The server that serves this page. */
export class LiveSource {
  /** @param {(gone: boolean) => void} onGone called when the server stops answering and when it answers again */
  constructor(onGone) {
    this.saved = false;
    this.gone = false;
    this.onGone = onGone;
  }

  /** The description of the model, see `/api/model`. */
  async model() {
    return (await this.request("/api/model")).json();
  }

  /**
   * The maps of a screen.
   * @param {Object} screen
   * @returns {Promise<Maps>}
   */
  async maps(screen) {
    return parse(await (await this.post("/api/maps", screen)).arrayBuffer());
  }

  /**
   * The maps in the files of an item of a run folder.
   * @param {number} place
   * @returns {Promise<Maps>}
   */
  async filedMaps(place) {
    const response = await this.request(`/api/run/maps/${place}`);
    return { ...parse(await response.arrayBuffer()), damaged: damagedOf(response) };
  }

  /** The commands that reproduce a screen: `{shell, python}`. */
  async commands(screen, light) {
    return (await this.post("/api/commands", { screen, light })).json();
  }

  post(path, value) {
    return this.request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Sgi-Tab": TAB },
      body: JSON.stringify(value),
    });
  }

  /**
   * The response of the server, status 200.
   * @throws {SourceError} for an error, with the text of the server, and where the server does not answer
   * @throws {Superseded} where a newer request of this tab has replaced this one
   */
  async request(path, options) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.lose();
      throw new SourceError("the viewer does not answer");
    }
    if (response.status === 409) throw new Superseded();
    if (!response.ok) {
      throw new SourceError(inWords(await response.text()) || `the viewer answered ${response.status}`);
    }
    return response;
  }

  lose() {
    if (this.gone) return;
    this.gone = true;
    this.onGone(true);
    const poll = setInterval(async () => {
      const response = await fetch("/api/health").catch(() => null);
      if (!response?.ok) return;
      clearInterval(poll);
      this.gone = false;
      this.onGone(false);
    }, POLL_MS);
  }
}

/** The data inside a saved page: a fixed list of screens with their maps. */
export class SavedSource {
  /** @param {{model: Object, items: {label: string, screen: Object, body: string}[]}} data body: base64 */
  constructor(data) {
    this.saved = true;
    this.data = data;
    this.items = data.items;
  }

  async model() {
    return this.data.model;
  }

  /**
   * The maps of an item.
   * @param {number} place
   * @returns {Promise<Maps>}
   */
  async filedMaps(place) {
    const bytes = Uint8Array.from(atob(this.items[place].body), (character) => character.charCodeAt(0));
    return parse(bytes.buffer);
  }
}
