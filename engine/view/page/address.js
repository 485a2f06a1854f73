/** The screen in the address of the page, so that it is there again after a reload, and in a bookmark. */

/**
 * The screen that the address states.
 * @returns {Object} empty where it states none
 */
export function screenOfAddress() {
  try {
    const screen = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return screen && typeof screen === "object" ? screen : {};
  } catch {
    return {};
  }
}

/**
 * Puts a screen into the address, without the fields that are empty and without loaded latents, which are not kept.
 * @param {Object} screen
 */
export function putInAddress(screen) {
  const kept = Object.entries(screen).filter(([name, value]) => name !== "latents" && !isEmpty(value));
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(Object.fromEntries(kept)))}`);
}

function isEmpty(value) {
  return value === null || (typeof value === "object" && !Object.keys(value).length);
}
