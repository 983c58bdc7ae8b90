// @ts-check
// HTML as a browser would have read it from a file: its scripts run, in order.

/**
 * Public addresses of what we have ourselves, so that it also works without internet: what Altair
 * and Plotly write into their HTML. By major version: others are loaded from where they are.
 * @type {[RegExp, "vega" | "plotly"][]}
 */
const OURS = [
  [/\/npm\/(?:vega@6|vega-lite@6|vega-embed@7)(?:[.?/]|$)/, "vega"],
  [/\/plotly-4[.\d]*\.min\.js$/, "plotly"],
];
const JAVASCRIPT = /^(?:|module|(?:text|application)\/(?:javascript|ecmascript|x-javascript))$/i;

/** @type {Map<string, Promise<void>>} */ const loaded = new Map();
const nothing = URL.createObjectURL(new Blob([""], { type: "text/javascript" }));

/** The address of one of our bundles. @param {string} name a data-… attribute of the document */
export function bundle(name) {
  return document.documentElement.dataset[name] ?? "";
}

/** Run a classic script, once per address. @param {string} address @returns {Promise<void>} */
export function load(address) {
  const script = document.createElement("script");
  script.async = false; // in the order in which they were asked for
  return once(address, Object.assign(script, { src: address }));
}

/** @param {string} address a style sheet's */
export function loadStyle(address) {
  return once(address, Object.assign(document.createElement("link"), { rel: "stylesheet", href: address }));
}

/**
 * @param {string} address
 * @param {HTMLElement} element
 */
function once(address, element) {
  const known = loaded.get(address);
  if (known) return known;
  const done = ended(element, address);
  document.head.append(element);
  loaded.set(address, done);
  return done;
}

/**
 * Put HTML into an element and run its scripts, each when those before it have run.
 * @param {HTMLElement} element
 * @param {string} html
 */
export async function runHtml(element, html) {
  element.innerHTML = html; // runs none of its scripts
  const scripts = [...element.querySelectorAll("script")].filter(({ type }) => JAVASCRIPT.test(type));
  for (const script of scripts) await run(script);
  // Some wait for what a document fires when it has been read.
  document.dispatchEvent(new Event("DOMContentLoaded"));
  window.dispatchEvent(new Event("load"));
}

/**
 * Run code as Jupyter does: `element` is where its output goes.
 * @param {HTMLElement} element
 * @param {string} code
 */
export function runScript(element, code) {
  Object.assign(window, { element });
  const script = document.createElement("script");
  script.text = code;
  element.append(script);
}

/** @param {HTMLScriptElement} parsed never run: it came as markup */
async function run(parsed) {
  const script = document.createElement("script");
  for (const { name, value } of parsed.attributes) if (name !== "src") script.setAttribute(name, value);
  script.text = parsed.text;
  const address = parsed.getAttribute("src");
  const waits = address !== null && !parsed.async;
  const done = waits ? ended(script, address) : Promise.resolve();
  script.async = parsed.async;
  if (address !== null) script.src = address;
  writeBefore(script);
  parsed.replaceWith(script);
  await done.catch((error) => console.error(error)); // those after it run all the same
}

/**
 * What document.write() writes stands behind the script that called it.
 * @param {HTMLScriptElement} script
 */
function writeBefore(script) {
  document.write = (...parts) => script.insertAdjacentHTML("afterend", parts.join(""));
  document.writeln = document.write;
}

/**
 * @param {HTMLElement} element
 * @param {string} address
 * @returns {Promise<void>}
 */
function ended(element, address) {
  return new Promise((resolve, reject) => {
    element.addEventListener("load", () => resolve(), { once: true });
    element.addEventListener("error", () => reject(new Error(`${address} could not be loaded.`)), { once: true });
  });
}

/** Where a script really comes from. @param {string} address */
function source(address) {
  const found = OURS.find(([pattern]) => pattern.test(address));
  if (!found) return address;
  const ours = bundle(found[1]);
  if (given.has(ours)) return nothing; // Vega's three files are one of ours
  given.add(ours);
  return ours;
}

/** @type {Set<string>} */ const given = new Set();
const src = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(HTMLScriptElement.prototype, "src"));
Object.defineProperty(HTMLScriptElement.prototype, "src", {
  ...src,
  set(address) {
    src.set?.call(this, source(String(address)));
  },
});
