/** Files that the page gives to the user. */

/**
 * Saves the body of a response where the browser saves downloads.
 * @param {Response} response
 * @param {string} name
 */
export async function download(response, name) {
  const url = URL.createObjectURL(await response.blob());
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
