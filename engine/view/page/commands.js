/** The buttons that copy the command and the Python lines of what is shown. */

const BUTTONS = { "copy-shell": "shell", "copy-python": "python" };

/**
 * Connects the buttons.
 * @param {import("sgi/source").LiveSource} source
 * @param {{screen: () => Object, light: () => ?Object, tell: (text: string) => void}} page
 *   screen, light: what is shown now; tell: shows one line of text
 */
export function startCommands(source, { screen, light, tell }) {
  for (const [id, kind] of Object.entries(BUTTONS)) {
    document.getElementById(id).addEventListener("click", async () => {
      try {
        const text = (await source.commands(screen(), light()))[kind];
        show(text);
        tell((await copy(text)) ? "Copied" : "Select the text below the buttons and copy it");
      } catch (error) {
        tell(error.message);
      }
    });
  }
}

/** The text below the buttons, so that one sees what was copied. */
function show(text) {
  let output = document.getElementById("copied");
  if (!output) {
    output = Object.assign(document.createElement("pre"), { id: "copied", tabIndex: 0 });
    output.setAttribute("aria-label", "What was copied");
    document.getElementById("reproduce").append(output);
  }
  output.textContent = text;
}

/** Whether the text is in the clipboard now. Browsers give pages of other machines without HTTPS no clipboard. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(document.getElementById("copied"));
    return document.execCommand("copy");
  }
}
