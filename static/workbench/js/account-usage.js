// @ts-check
// What one's account has used of what it may use. Where the server counts nothing, nothing is shown.

import { ApiError, request } from "./api.js";
import { find, fromTemplate, setText } from "./dom.js";

/** @typedef {{name: string, used: number, most: number | null}} Quota */

/** @type {Record<string, string>} */
const NAMES = {
  sessions: "Live sessions",
  executions: "Runs, waiting or under way",
  storage_bytes: "Files",
  execution_seconds: "Time of runs",
  output_bytes: "Output",
};
// What counts over a period; the others are what there is now.
const OVER_TIME = new Set(["execution_seconds", "output_bytes"]);
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
// From this share on the bar warns.
const MUCH = 0.8;

/** @param {HTMLElement} section hidden until there is something to show */
export async function showUsage(section) {
  try {
    const { period_seconds, quotas } = await request("GET", "usage");
    const rows = quotas.map((/** @type {Quota} */ quota) => rowOf(quota, period_seconds));
    find("[data-quotas]", section).replaceChildren(...rows);
    section.hidden = !rows.length;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

/**
 * @param {Quota} quota
 * @param {number} seconds of the period
 */
function rowOf({ name, used, most }, seconds) {
  const row = fromTemplate("quota-row");
  const period = OVER_TIME.has(name) ? ` in the last ${hours(seconds)}` : "";
  setText(find("[data-name]", row), (NAMES[name] ?? name.replaceAll("_", " ")) + period);
  const limit = most === null ? "no limit" : `of ${amount(name, most)}`;
  setText(find("[data-numbers]", row), `${amount(name, used)}${most === null ? ", " : " "}${limit}`);
  const meter = /** @type {HTMLMeterElement} */ (find("[data-meter]", row));
  meter.classList.toggle("is-unlimited", most === null);
  meter.ariaLabel = NAMES[name] ?? name;
  meter.max = most || 1;
  meter.high = meter.max * MUCH;
  meter.optimum = 0;
  meter.value = most === null ? 0 : used;
  return row;
}

/** @param {number} seconds */
function hours(seconds) {
  const count = Math.round(seconds / 3600);
  return count === 1 ? "hour" : `${count} hours`;
}

/**
 * A number with its unit.
 * @param {string} name
 * @param {number} value
 */
export function amount(name, value) {
  if (name.endsWith("_seconds")) return time(value);
  if (!name.endsWith("_bytes")) return String(Math.round(value));
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** power;
  return `${scaled < 10 && power ? scaled.toFixed(1) : Math.round(scaled)} ${UNITS[power]}`;
}

/** @param {number} seconds */
function time(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}
