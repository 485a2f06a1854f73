/** Light or dark colours: those of the system, or the ones that were chosen. */

const KEY = "sgi-theme";
const LABELS = { auto: "\u25d0", light: "\u2600", dark: "\u263e" };

/** Connects the button that goes from the colours of the system to light and to dark. */
export function startTheme() {
  const button = document.getElementById("theme");
  let chosen = LABELS[stored()] ? stored() : "auto";
  const show = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = LABELS[chosen];
    button.title = `Colours: ${chosen === "auto" ? "of the system" : chosen}`;
  };
  button.addEventListener("click", () => {
    const names = Object.keys(LABELS);
    chosen = names[(names.indexOf(chosen) + 1) % names.length];
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // A page that was opened from a file may have no storage; the choice then lasts as long as the page.
    }
    show();
  });
  show();
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
