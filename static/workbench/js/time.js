// @ts-check
// Times in words. All of them on the server's clock: the browser's own may be off.

let offsetMs = 0;

/**
 * Learn the server's clock.
 * @param {string} now ISO 8601
 */
export function setServerTime(now) {
  offsetMs = Date.parse(now) - Date.now();
}

export function serverNow() {
  return Date.now() + offsetMs;
}

/**
 * "12 s ago", "3 min ago", "2 h ago", "5 d ago".
 * @param {string} iso
 */
export function ago(iso) {
  const seconds = Math.max(0, (serverNow() - Date.parse(iso)) / 1000);
  if (seconds < 2) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/**
 * Time on a clock that runs: "0:12", "1:02:45".
 * @param {string} since ISO 8601
 */
export function elapsed(since) {
  const seconds = Math.max(0, Math.floor((serverNow() - Date.parse(since)) / 1000));
  const pair = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${pair(m)}:${pair(s)}` : `${m}:${pair(s)}`;
}

/**
 * How long something took: "8 ms", "1.2 s", "3 min 4 s".
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// Made once each: making one takes longer than all it writes for a page.
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/**
 * The exact time, for titles.
 * @param {string} iso
 */
export function exact(iso) {
  return EXACT.format(new Date(iso));
}

/**
 * "1st", "2nd", "3rd", "11th".
 * @param {number} n
 */
export function ordinal(n) {
  const teens = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${(!teens && { 1: "st", 2: "nd", 3: "rd" }[n % 10]) || "th"}`;
}

/**
 * When something was, shortly: "14:05" today, "Mar 3, 14:05" before.
 * @param {string} iso
 */
export function clock(iso) {
  const at = new Date(iso);
  const isToday = at.toDateString() === new Date(serverNow()).toDateString();
  const time = CLOCK.format(at);
  if (isToday) return time;
  return `${DAY.format(at)}, ${time}`;
}
