/** A run folder on the page: the sheet of its items, and the maps of the one that is open. */

import { startKeys } from "sgi/keys";
import { Sheet } from "sgi/sheet";
import { parse } from "sgi/source";

const byId = (id) => document.getElementById(id);
const KEYS = [
  ["n", "next missing or damaged map"],
  ["\u2190 \u2191 \u2192 \u2193", "on the sheet: move the mark"],
  ["Enter", "on the sheet: open the item"],
  ["Esc", "back to the sheet"],
];

/** @param {Object} page the page of main.js */
export function startRun(page) {
  const { source, model } = page;
  document.body.classList.add("run");
  for (const part of document.querySelectorAll(".live")) part.hidden = part.id !== "image-seed";
  for (const id of ["psi-host", "class-row", "reproduce"]) byId(id).hidden = true;
  document.querySelector("label[for=seed]").textContent = model.item === "latent" ? "Latent" : "Seed";
  byId("tabs").hidden = false;
  byId("controls").append(Object.assign(document.createElement("dl"), { className: "run-facts" }));

  const select = (name) => {
    for (const one of ["sheet", "item"]) {
      byId(one).hidden = one !== name;
      byId(`tab-${one}`).setAttribute("aria-selected", one === name);
    }
    document.body.classList.toggle("on-sheet", name === "sheet");
    if (name === "sheet") sheet.focus();
  };
  const open = (item) => {
    byId("seed").value = item.number;
    byId("tab-item").disabled = false;
    select("item");
    const screen = { place: item.place, number: item.number };
    const read = async () => {
      const response = await source.request(`/api/run/maps/${item.place}`);
      const reasons = JSON.parse(decodeURIComponent(response.headers.get("X-Sgi-Damaged") ?? "%7B%7D"));
      note([item.name, ...Object.entries(reasons).map(([type, why]) => `${type}: ${why}`)].join("; "));
      return parse(await response.arrayBuffer());
    };
    page.request(screen, read, item.name, "from the files of the run");
  };
  const sheet = new Sheet(byId("sheet"), source, open);
  byId("tab-item").disabled = true;
  byId("tab-sheet").addEventListener("click", () => select("sheet"));
  byId("tab-item").addEventListener("click", () => select("item"));
  byId("previous").addEventListener("click", () => sheet.step(-1));
  byId("next").addEventListener("click", () => sheet.step(1));
  byId("random").addEventListener("click", () => sheet.random());
  byId("seed").addEventListener("change", () => sheet.openNumber(byId("seed").value));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  startKeys({
    step: (by) => sheet.step(by),
    random: () => sheet.random(),
    search: () => (byId("sheet").hidden ? byId("seed") : byId("sheet-search")),
    keys: KEYS,
    more: { n: () => (byId("item").hidden ? sheet.nextMissing() : null), Escape: () => select("sheet") },
  });
  source.onBack = () => sheet.poll();
  select("sheet");
  page.say("");
  return sheet;
}

function note(text) {
  byId("seed-note").textContent = text;
  byId("seed-note").hidden = false;
}
