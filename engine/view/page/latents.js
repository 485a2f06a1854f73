/** Latents of files in place of a seed, w+ of what is shown as a file, and the photo of latents that `invert` found. */

import { download } from "sgi/download";

const SUFFIXES = ".safetensors,.npz,.npy";

export class LatentTools {
  /**
   * @param {import("sgi/source").LiveSource} source
   * @param {Object} model see `/api/model`
   * @param {{controls: import("sgi/controls").Controls, change: () => void, showLine: (text: string) => void,
   *   showPhoto: (url: ?string) => void}} page
   *   change: draws what the controls describe; showLine: shows one line of text; showPhoto: shows a picture beside
   *   the maps; null takes it away
   */
  constructor(source, model, page) {
    this.source = source;
    this.mostBytes = model.latents_bytes;
    this.page = page;
    this.photos = null;
    this.of = null;
    const press = (id, act) => {
      const run = () => act().catch((error) => page.showLine(error.message, true));
      document.getElementById(id).addEventListener("click", run);
    };
    press("load-latents", () => this.load());
    press("save-latents", () => this.save());
    press("load-photo", () => this.loadPhoto());
    if (model.latents) this.open(model.latents);
  }

  /** Shows latents that the server has. loaded: {id, name, kind, rows, photos}, photos: a URL or null for each row. */
  open(loaded) {
    this.of = loaded.id;
    const photos = loaded.photos ?? [];
    if (this.photos || photos.some(Boolean)) this.photos = photos; // else a photo that was chosen stays
    this.page.controls.setLatents(loaded);
  }

  async load() {
    const file = await chooseFile(SUFFIXES);
    if (file.size > this.mostBytes) {
      const [size, most] = [file.size, this.mostBytes].map((bytes) => Math.round(bytes / 1e6));
      throw new Error(`${file.name} has ${size} MB; the page loads files of at most ${most} MB, choose fewer latents`);
    }
    const response = await this.source.request(`/api/latents?name=${encodeURIComponent(file.name)}`, {
      method: "POST", body: file,
    });
    this.open(await response.json());
    this.page.change();
    this.page.showLine(`Loaded ${file.name}`);
  }

  async save() {
    const screen = this.page.controls.screen();
    const response = await this.source.post("/api/latents/save", screen);
    const name = screen.latents ? `latents_row${screen.latents.row}_ws` : `seed${screen.seed}_ws`;
    await download(response, `${name}.safetensors`);
    this.page.showLine(`Saved ${name}.safetensors`);
  }

  async loadPhoto() {
    const file = await chooseFile("image/*");
    const picture = Object.assign(new Image(), { src: URL.createObjectURL(file) });
    await picture.decode().catch(() => {
      throw new Error(`${file.name}: not a picture that this browser shows; choose a PNG or JPEG file`);
    });
    this.photos = null;
    this.page.showPhoto(picture.src);
  }

  /** Shows the photo of the row that a screen has, and none beside other images; one that was chosen stays. */
  show(screen) {
    if (this.photos) this.page.showPhoto(screen.latents?.id === this.of ? this.photos[screen.latents.row] : null);
  }
}

/** The file that the user chooses; never fulfilled where the user chooses none. */
function chooseFile(accept) {
  return new Promise((resolve) => {
    const input = Object.assign(document.createElement("input"), { type: "file", accept, hidden: true });
    input.addEventListener("change", () => {
      input.remove();
      resolve(input.files[0]);
    });
    input.addEventListener("cancel", () => input.remove());
    document.body.append(input); // tests and some browsers find only inputs of the document
    input.click();
  });
}
