/** The buttons that copy the command and the Python lines of what is shown, and save it as a page of its own. */

import { download } from "sgi/download";

const NO_LIGHT = "the light is not in the command; Copy Python has it";
const BUTTONS = { "copy-shell": "shell", "copy-python": "python" };

/**
 * Connects the buttons.
 * @param {import("sgi/source").LiveSource} source
 * @param {{screen: () => Object, light: () => ?Object, isLit: () => boolean, showLine: (text: string) => void}} page
 *   screen, light: what is shown now; isLit: whether the light was changed; showLine: shows one line of text
 */
export function startCommands(source, { screen, light, isLit, showLine }) {
  for (const [id, kind] of Object.entries(BUTTONS)) {
    document.getElementById(id).addEventListener("click", async () => {
      try {
        const { [kind]: text, note } = await source.commands(screen(), light());
        const notes = kind === "shell" ? [note, isLit() && NO_LIGHT] : [];
        show(text, notes.filter(Boolean).join("; "));
        showLine((await copy()) ? "Copied" : "Select the text below the buttons and copy it");
      } catch (error) {
        forgetCopied();
        showLine(error.message, true);
      }
    });
  }
  document.getElementById("save-page").addEventListener("click", async () => {
    try {
      const shown = screen();
      const name = shown.latents ? `latent${shown.latents.row}` : `seed${shown.seed}`;
      showLine("Saving the page");
      await download(await source.post("/api/page", { screen: shown, light: light() }), `${name}.html`);
      showLine(`Saved ${name}.html`);
    } catch (error) {
      showLine(error.message, true);
    }
  });
}

/** Removes the text below the buttons, which is of other settings now. */
export function forgetCopied() {
  for (const id of ["copied", "copied-note"]) document.getElementById(id)?.remove();
}

/** The text below the buttons, so that one sees what was copied, and a note on it. */
function show(text, note) {
  let output = document.getElementById("copied");
  if (!output) {
    output = Object.assign(document.createElement("pre"), { id: "copied", tabIndex: 0 });
    output.setAttribute("aria-label", "What was copied");
    const line = Object.assign(document.createElement("p"), { id: "copied-note", className: "note" });
    document.getElementById("reproduce").append(output, line);
  }
  output.textContent = text;
  document.getElementById("copied-note").textContent = note;
  output.scrollIntoView({ block: "nearest" });
}

/** Whether the text is in the clipboard now. Browsers give pages of other machines without HTTPS no clipboard. */
async function copy() {
  const output = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(output.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(output);
    return document.execCommand("copy");
  }
}
