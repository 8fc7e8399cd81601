/**
 * Colour scales. Each is a list of inline styles, background and ink for light and for dark pages at once
 * (`light-dark()` follows the `color-scheme` of the panel), so that a theme change needs no redraw.
 * Low values fade into the page; lightness is monotone, so the scales read without colour vision and in print.
 */

/** Number of steps of a scale: more than an eye can tell apart. */
export const STEPS = 129;

const LIGHT_SEQUENTIAL = ["#fbfbf3", "#e6f2c4", "#b5dfbb", "#6fc3bf", "#3597bd", "#2a66a5", "#1f3a7d", "#13234f"];
const DARK_SEQUENTIAL = ["#20242b", "#24344f", "#28506f", "#2a6f85", "#35918a", "#66b57c", "#b3d363", "#f4ec7d"];
const LIGHT_DIVERGING = ["#8a3a04", "#c8650f", "#eca55b", "#f8dcbb", "#f7f7f6", "#c6ddf2", "#74aedb", "#2f77b9", "#16467f"];
const DARK_DIVERGING = ["#ffc48a", "#f0923a", "#b0611c", "#5e3b21", "#22262c", "#1f3f61", "#2a6cab", "#59a2e6", "#a9d4ff"];

/** @typedef {[number, number, number]} Rgb */

/** @param {string} hex @returns {Rgb} */
const rgb = (hex) => /** @type {Rgb} */ ([1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));

/** @param {Rgb} color */
const hex = (color) => `#${color.map((c) => Math.round(c).toString(16).padStart(2, "0")).join("")}`;

/** Relative luminance as WCAG 2 defines it. @param {Rgb} color */
function luminance(color) {
  const [r, g, b] = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Black or white, whichever reads better: always at least 4.58 to 1. @param {Rgb} background */
function inkOn(background) {
  const l = luminance(background) + 0.05;
  return l / 0.05 >= 1.05 / l ? "#000000" : "#ffffff";
}

/** @param {string[]} stops @param {number} t in [0, 1] @returns {Rgb} */
function between(stops, t) {
  const x = t * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(x));
  const [from, to] = [rgb(stops[i]), rgb(stops[i + 1])];
  return /** @type {Rgb} */ (from.map((c, k) => c + (x - i) * (to[k] - c)));
}

/** @param {string[]} light @param {string[]} dark @returns {string[]} one inline style per step */
function scale(light, dark) {
  return Array.from({ length: STEPS }, (_, i) => {
    const [a, b] = [between(light, i / (STEPS - 1)), between(dark, i / (STEPS - 1))];
    return `background-color: light-dark(${hex(a)}, ${hex(b)}); color: light-dark(${inkOn(a)}, ${inkOn(b)})`;
  });
}

/** From nothing to much. */
export const SEQUENTIAL = scale(LIGHT_SEQUENTIAL, DARK_SEQUENTIAL);

/** 256 steps of a scale as the pixels of a canvas: alpha, blue, green, red from the highest byte down. @param {string[]} stops */
const pixels = (stops) => Uint32Array.from({ length: 256 }, (_, i) => {
  const [r, g, b] = between(stops, i / 255).map(Math.round);
  return (0xff << 24) | (b << 16) | (g << 8) | r;
});

/** The same from nothing to much, for light and for dark pages. */
export const SEQUENTIAL_PIXELS = [pixels(LIGHT_SEQUENTIAL), pixels(DARK_SEQUENTIAL)];

/** From negative (orange) over zero to positive (blue). */
export const DIVERGING = scale(LIGHT_DIVERGING, DARK_DIVERGING);

/** The same as plain colours for a canvas: background and ink of each step, for light and for dark pages. */
export const DIVERGING_COLORS = [LIGHT_DIVERGING, DARK_DIVERGING].map((stops) => Array.from({ length: STEPS }, (_, i) => {
  const color = between(stops, i / (STEPS - 1));
  return { fill: hex(color), ink: inkOn(color) };
}));

/**
 * The style for a place on a scale; no style for a place that is not known.
 * @param {string[]} styles
 * @param {number} place in [0, 1], clamped
 */
export function styleAt(styles, place) {
  return Number.isNaN(place) ? "" : styles[Math.round(Math.min(1, Math.max(0, place)) * (STEPS - 1))];
}

/**
 * Where a value lies between low (0) and high (1); NaN if that cannot be said.
 * @param {number} value
 * @param {number[] | undefined} range
 * @param {boolean} [logarithmic]
 */
export function place(value, range, logarithmic = false) {
  if (!range || !Number.isFinite(value)) return NaN;
  const [v, low, high] = logarithmic ? [value, ...range].map((x) => Math.log(Math.max(x, 1e-30))) : [value, ...range];
  return high > low ? (v - low) / (high - low) : 0;
}

/** A bar of the scale's colours, left to right. @param {string[]} styles */
export function gradient(styles) {
  const colors = [0, 16, 32, 48, 64, 80, 96, 112, 128].map((i) => /light-dark\([^)]*\)/.exec(styles[i])?.[0]);
  return `linear-gradient(to right, ${colors.join(", ")})`;
}
