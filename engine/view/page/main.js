/** The page: opens a source, builds its parts, and shows the maps of the controls whenever they change. */

import { putInAddress, screenOfAddress } from "sgi/address";
import { forgetCopied, startCommands } from "sgi/commands";
import { Controls } from "sgi/controls";
import { startKeys } from "sgi/keys";
import { LatentTools } from "sgi/latents";
import { Cards } from "sgi/maps";
import { Relight } from "sgi/relight";
import { startRun } from "sgi/run";
import { LiveSource, SavedSource, SourceError, Superseded } from "sgi/source";
import { Surface } from "sgi/surface";
import { startTheme } from "sgi/theme";

const byId = (id) => document.getElementById(id);

class Page {
  constructor(source, model) {
    this.source = source;
    this.model = model;
    this.running = false;
    this.wanted = null;
    this.screen = null;
    this.shown = null;
    this.maps = null;
    this.sheet = null;
    byId("title").textContent = titleOf(model);
    document.title = `${model.title} \u2013 sgi-engine view`;
    this.cards = new Cards(byId("maps"), model.types, (point, kept) => this.showPoint(point, kept));
    this.surface = new Surface(model.types);
    this.relight = new Relight(model.types, (pixels) => this.surface.showRelit(pixels), model.light);
    byId("map-size").addEventListener("input", () => {
      byId("maps").style.setProperty("--map", `${byId("map-size").value}px`);
    });
  }

  /**
   * Shows the maps of a screen; while others are computed only the newest waits.
   * @param {Object} screen
   * @param {() => Promise<import("sgi/source").Maps>} getMaps
   * @param {string} name of what is shown
   * @param {string} where the maps were, if they were not computed
   */
  async request(screen, getMaps, name, where = "") {
    forgetCopied();
    this.screen = screen;
    this.wanted = { screen, getMaps, name, where };
    if (this.running) return;
    this.running = true;
    while (this.wanted) {
      const next = this.wanted;
      this.wanted = null;
      const start = performance.now();
      try {
        const maps = await next.getMaps();
        const [model, all] = [1000 * maps.seconds, performance.now() - start];
        this.showLine(next.where || `${model.toFixed(0)} ms model \u00b7 ${all.toFixed(0)} ms total`, false, true);
        byId("maps-title").textContent = `Maps of ${next.name}`;
        this.show(maps);
        this.shown = next.screen;
      } catch (error) {
        if (error instanceof Superseded) continue;
        if (!(error instanceof SourceError)) console.error(error);
        this.showLine(error.message, true);
      }
    }
    this.running = false;
  }

  show(maps) {
    this.maps = maps;
    this.cards.show(maps);
    this.surface.show(maps);
    this.relight.show(maps);
  }

  /** One line in the top right corner; screen readers read all but `quiet` ones. */
  showLine(text, wrong = false, quiet = false) {
    byId("status").ariaLive = quiet ? "off" : "polite";
    byId("status").textContent = text;
    byId("status").title = text;
    byId("status").classList.toggle("wrong", wrong);
  }

  showPoint(point, kept) {
    byId("point").textContent = point
      ? `column ${point.x}, row ${point.y}${kept ? " \u2013 click to let go" : ""}`
      : "Point at a map; click to keep the place";
  }
}

function titleOf({ title, resolution, backend, device }) {
  return [title, resolution && `${resolution} px`, backend && `${backend}${device === backend ? "" : ` on ${device}`}`]
    .filter(Boolean)
    .join(" \u00b7 ");
}

/** The controls of a model, and the buttons that take what they show out of the page. */
function startControls(page) {
  const { source, model } = page;
  const change = () => {
    const screen = controls.screen();
    latents.show(screen);
    keep(screen);
    page.request(screen, () => source.maps(screen), controls.name);
  };
  const keep = (screen) => {
    if (model.mode === "model") putInAddress(screen, page.relight.changed ? page.relight.light : null);
  };
  const showLine = (text, wrong) => page.showLine(text, wrong);
  const controls = new Controls(model, change);
  const showPhoto = (url) => page.cards.showPhoto(url);
  const latents = new LatentTools(source, model, { controls, change, showLine, showPhoto });
  startCommands(source, {
    screen: () => page.screen,
    light: () => page.relight.light,
    isLit: () => page.relight.changed,
    showLine,
  });
  source.onBack = change;
  page.relight.onChange = () => {
    forgetCopied();
    keep(controls.screen());
  };
  return { controls, change };
}

/** A model: its controls, and the maps of the first seed. */
function startModel(page) {
  const { controls, change } = startControls(page);
  startKeys(controls);
  const showAddress = () => {
    const stated = screenOfAddress();
    if (!controls.latents) controls.set(stated);
    page.relight.set({ ...page.relight.first, ...stated.light });
    change();
  };
  addEventListener("hashchange", () => {
    controls.setLatents(null); // another address was typed, or a bookmark was opened
    showAddress();
  });
  showAddress();
}

/** A saved page: a list of pictures, without a model. */
function startSaved(page) {
  const { items } = page.source;
  const select = byId("saved-item");
  for (const { label } of items) select.add(new Option(label));
  byId("saved-items").hidden = false;
  byId("controls").hidden = items.length === 1;
  byId("layout").classList.add("plain", "saved");
  for (const part of document.querySelectorAll(".live, #reproduce")) part.hidden = true;
  const open = () => {
    const place = select.selectedIndex;
    page.cards.showPhoto(items[place].photo ?? null);
    page.request(items[place].screen, () => page.source.filedMaps(place), items[place].label, "from this page");
  };
  const go = (place) => {
    select.selectedIndex = (place + items.length) % items.length;
    open();
  };
  select.addEventListener("change", open);
  byId("saved-previous").addEventListener("click", () => go(select.selectedIndex - 1));
  byId("saved-next").addEventListener("click", () => go(select.selectedIndex + 1));
  startKeys({
    step: (by) => go(select.selectedIndex + by),
    random: () => go(Math.floor(Math.random() * items.length)),
  });
  open();
}

/** Whether the items of a run folder have no controls: no model is open, or they are latents and no seeds. */
function isFixed({ live, item }) {
  return Boolean(live) || item === "latent";
}

/** What tests read. */
function expose(page) {
  return {
    get screen() {
      return page.screen;
    },
    get shown() {
      return page.shown;
    },
    get maps() {
      return page.maps;
    },
    get sheet() {
      return page.sheet;
    },
    get relit() {
      return page.relight.relit;
    },
    get surfaceColours() {
      return Array.from(page.surface.geometry.getAttribute("color")?.array ?? []);
    },
    camera: () => page.surface.camera(),
  };
}

async function start() {
  startTheme();
  const saved = byId("saved");
  const banner = byId("banner");
  let command = "sgi-engine view";
  const source = saved
    ? new SavedSource(JSON.parse(saved.textContent))
    : new LiveSource((gone) => {
        banner.hidden = !gone;
        banner.innerHTML = "The viewer does not answer. This page goes on by itself when you start it again: <code></code>";
        banner.querySelector("code").textContent = command;
        if (!gone) source.onBack?.();
      });
  const model = await source.model();
  command = model.command ?? command;
  const page = new Page(source, model);
  window.sgi = expose(page);
  if (saved) startSaved(page);
  else if (model.mode === "run") startRun(page, isFixed(model) ? null : startControls(page).controls);
  else startModel(page);
}

start().catch((error) => {
  byId("status").textContent = error.message;
  byId("status").classList.add("wrong");
  console.error(error);
});
