// @ts-check
// Pictures of an output. SVG too is shown as an image, where it can run no script.

import { text } from "./bundle.js";
import { make, note } from "./make.js";
import { pictureSize } from "./picture-size.js";

// The picture is looked at in this many pixels each way.
const SAMPLE = 64;
// Ink darker than this (of 255) does not show on a dark page; this much of it is too much.
const DARK = 100;
const DARK_SHARE = 0.05;

/**
 * @param {import("./bundle.js").Bundle} bundle
 * @param {string} type
 */
export function pictureNode({ data, metadata }, type) {
  const picture = make("img", "picture");
  picture.decoding = "async";
  picture.alt = text(data["text/plain"] ?? "") || "Picture";
  const size = asked(metadata, type) ?? pictureSize(type, content(type, data[type]));
  if (size?.width) picture.width = size.width;
  if (size?.height) picture.height = size.height;
  picture.addEventListener("load", () => picture.classList.toggle("is-bare", isLightInk(picture)));
  picture.addEventListener("error", () => picture.replaceWith(note("A picture that cannot be read.")));
  picture.src = pictureAddress(type, data[type]);
  return picture;
}

/**
 * @param {string} type
 * @param {unknown} value
 */
export function pictureAddress(type, value) {
  const body = content(type, value);
  return type === "image/svg+xml"
    ? `data:${type};charset=utf-8,${encodeURIComponent(body)}`
    : `data:${type};base64,${body}`;
}

/**
 * @param {string} type
 * @param {unknown} value
 */
function content(type, value) {
  return type === "image/svg+xml" ? text(value) : text(value).replaceAll(/\s/g, "");
}

/**
 * The size the code asked for; a kernel says half the pixels for a sharp screen.
 * @param {Record<string, any>} metadata
 * @param {string} type
 */
function asked(metadata, type) {
  const { width, height } = metadata[type] ?? metadata;
  const wanted = { width: Number(width) || 0, height: Number(height) || 0 };
  return wanted.width > 0 || wanted.height > 0 ? wanted : null;
}

/**
 * Whether a picture is transparent and drawn in light ink: it needs no white card in the dark.
 * @param {HTMLImageElement} picture
 */
function isLightInk(picture) {
  const canvas = make("canvas");
  canvas.width = canvas.height = SAMPLE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  try {
    context.drawImage(picture, 0, 0, SAMPLE, SAMPLE);
    return judge(context.getImageData(0, 0, SAMPLE, SAMPLE).data);
  } catch {
    return false; // an SVG with foreign content: nobody may look at it
  }
}

/** @param {Uint8ClampedArray} pixels */
function judge(pixels) {
  let [ink, dark] = [0, 0];
  for (let i = 0; i < pixels.length; i += 4) {
    const light = 0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2];
    ink += pixels[i + 3];
    if (light < DARK) dark += pixels[i + 3];
  }
  const isTransparent = ink < 0.9 * 255 * SAMPLE * SAMPLE;
  return isTransparent && ink > 0 && dark / ink < DARK_SHARE;
}
