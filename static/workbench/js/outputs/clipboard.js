// @ts-check
// Copying and saving what an output shows.

import { make } from "./make.js";

/** @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP to another machine there is no clipboard object.
  const field = make("textarea", "visually-hidden");
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("The browser does not let this page copy.");
}

/** A picture as PNG, the one type every clipboard takes. @param {HTMLImageElement} picture */
export async function copyPicture(picture) {
  if (!navigator.clipboard?.write) throw new Error("The browser does not let this page copy pictures.");
  const png = pngOf(picture); // not awaited: a browser may allow it only while the click lasts
  png.catch(() => {}); // told by the line below
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
}

/** @param {HTMLImageElement} picture @returns {Promise<Blob>} */
function pngOf(picture) {
  const canvas = make("canvas");
  canvas.width = picture.naturalWidth || picture.width;
  canvas.height = picture.naturalHeight || picture.height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture cannot be copied.")))));
}

/**
 * @param {string} address
 * @param {string} name
 */
export function download(address, name) {
  const link = make("a");
  link.href = address;
  link.download = name;
  link.click();
}
