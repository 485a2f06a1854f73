/** The screen and the light in the address of the page, so that a reload or a bookmark shows the same again. */

const REST_MS = 300; // Safari allows 100 changes of the address in 30 s
let waiting = null;
let known = ""; // the part of the address that was read or written last

/**
 * The screen that the address states, and its field `light`.
 * @returns {Object} empty where it states none
 */
export function screenOfAddress() {
  known = location.hash;
  try {
    const screen = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return screen && typeof screen === "object" ? screen : {};
  } catch {
    return {};
  }
}

/**
 * Puts a screen into the address once it rests, without empty fields and without loaded latents, which are not kept.
 * @param {Object} screen
 * @param {?Object} light null for the default
 */
export function putInAddress(screen, light) {
  clearTimeout(waiting);
  waiting = setTimeout(() => write({ ...screen, light }), REST_MS);
}

function write(fields) {
  if (location.hash !== known) return; // another address was typed, and "hashchange" follows
  const kept = Object.entries(fields).filter(([name, value]) => name !== "latents" && !isEmpty(value));
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(Object.fromEntries(kept)))}`);
  known = location.hash;
}

function isEmpty(value) {
  return value === null || (typeof value === "object" && !Object.keys(value).length);
}
