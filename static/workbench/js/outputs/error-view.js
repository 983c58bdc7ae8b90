// @ts-check
// An error: what went wrong first, then the person's own frames; those of libraries on request.

import { preNode } from "./line-node.js";
import { make } from "./make.js";
import { foldTraceback, withoutEscapes } from "./traceback.js";

// The file a kernel makes of a cell, which tells nobody anything.
const CELL_FILE = / \(\d+\.py, line \d+\)$/;

/** @param {import("../fold.js").ErrorOutput} error */
export function errorNode(error) {
  const name = make("strong", "", withoutEscapes(String(error.ename)));
  const title = make("p", "error-title", name);
  const value = withoutEscapes(String(error.evalue ?? "")).replace(CELL_FILE, "");
  if (value) title.append(": ", make("span", "", value));
  const parts = foldTraceback(error).map(partNode);
  return make("div", "error", title, ...(parts.length ? [make("div", "frames", ...parts)] : []));
}

/** @param {import("./traceback.js").Shown} part */
function partNode(part) {
  if (part.kind !== "folded") return framed(part);
  const details = make("details", "folded-frames", make("summary", "", part.summary));
  // Built when asked for: a deep recursion has thousands.
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) details.append(...part.frames.map(framed));
  });
  return details;
}

/** @param {import("./traceback.js").Part} part */
function framed({ kind, text }) {
  const node = preNode(text.replace(/^\n/, ""));
  node.className = `frame is-${kind}`;
  return node;
}

/** All of it as text. @param {import("../fold.js").ErrorOutput} error */
export function errorText({ ename, evalue, traceback }) {
  const lines = Array.isArray(traceback) && traceback.length ? traceback.map(String) : [`${ename}: ${evalue}`];
  return withoutEscapes(lines.join("\n"));
}
