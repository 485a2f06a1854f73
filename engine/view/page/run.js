/** A run folder on the page: the sheet of its items, and the maps of the one that was opened. */

import { startKeys } from "sgi/keys";
import { Sheet } from "sgi/sheet";

const byId = (id) => document.getElementById(id);

/**
 * Shows the sheet, and opens items from their files.
 * @param {Object} page the page of main.js
 * @param {?import("sgi/controls").Controls} controls null where no model is open
 */
export function startRun(page, controls) {
  const { source, model } = page;
  const tabs = startTabs(controls);
  const open = ({ place, number, state, name, screen: settings }) => {
    if (state === "missing") {
      page.showLine(`${name} is missing: the run has not made it`, true);
      return;
    }
    const screen = model.item === "latent" ? { latent: number } : { seed: number, ...settings };
    controls?.set(screen);
    tabs.open("item");
    page.request(screen, () => source.filedMaps(place), name, "from the files of the run");
  };
  const sheet = new Sheet(byId("sheet"), source, open);
  page.sheet = sheet;
  source.onBack = () => sheet.poll();
  sheet.focus();
  startKeys(sheet, {
    "/": ["find a seed on the sheet", () => (tabs.open("sheet"), byId("sheet-search").select())],
    n: ["next missing map on the sheet", () => (tabs.open("sheet"), sheet.nextMissing())],
    Enter: ["open the marked maps of the sheet", () => byId("sheet").hidden || sheet.open(sheet.grid.active)],
    Escape: ["back to the sheet", () => (tabs.open("sheet"), sheet.focus())],
  });
  byId("item-previous").addEventListener("click", () => sheet.step(-1));
  byId("item-next").addEventListener("click", () => sheet.step(1));
  page.showLine("Click on maps to open them");
}

/** The tabs of a run folder. controls: null where no model is open; else they are beside the maps, not the sheet. */
function startTabs(controls) {
  const names = ["sheet", "item"];
  const open = (chosen) => {
    if (chosen === "item") {
      byId("tab-item").disabled = false;
      if (byId("sheet").contains(document.activeElement)) byId("tab-item").focus(); // the sheet disappears
    }
    for (const name of names) {
      byId(name).hidden = name !== chosen;
      byId(`tab-${name}`).setAttribute("aria-selected", String(name === chosen));
    }
    const plain = chosen === "sheet" || !controls;
    byId("controls").hidden = plain;
    byId("layout").classList.toggle("plain", plain);
    for (const id of ["item-previous", "item-next"]) byId(id).hidden = chosen === "sheet";
  };
  for (const name of names) byId(`tab-${name}`).addEventListener("click", () => open(name));
  byId("tabs").hidden = false;
  byId("tab-item").disabled = true; // until an item is open
  open("sheet");
  return { open };
}
