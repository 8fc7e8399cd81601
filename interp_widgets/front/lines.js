/** A small line chart in SVG: probability over layers, or another share over another count; lines told apart by colour, dashes and a label at their end. */

import { h, s } from "./dom.js";
import { known, percent } from "./numbers.js";

/**
 * @typedef {object} Series
 * @prop {string} name
 * @prop {ArrayLike<number>} values  one per layer
 * @prop {string} className          iw-line-0 … iw-line-5 for pinned lines, iw-line-now for the one pointed at, iw-line-rest for none
 */

const WIDTH = 380;
const HEIGHT = 210;
const LEFT = 46;
const RIGHT = 96; // room for the labels
const TOP = 10;
const BOTTOM = 36;
const LABEL_GAP = 13;

/**
 * @param {string} label what the chart shows, for those who cannot see it
 * @param {{ x: string, y: string }} [axis]  what the axes are called
 */
export function createLines(label, axis = { x: "layer", y: "probability" }) {
  const plot = s("g");
  const axes = s("g", { class: "iw-axes" });
  const svg = s("svg", { class: "iw-lines", role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} ${HEIGHT}` }, axes, plot);
  const caption = h("figcaption", { class: "iw-caption" });
  const element = h("figure", { class: "iw-chart" }, caption, svg);
  let drawnLayers = "";

  /**
   * @param {number[]} layers
   * @param {Series[]} series  drawn in this order, the last on top
   * @param {string} about     what the chart is of now
   * @param {number} [row]     index into `layers` to mark with a vertical line
   * @param {number[]} [range] lowest and highest value there is room for
   */
  function draw(layers, series, about, row, range = [0, 1]) {
    caption.textContent = about;
    const key = String([layers, range]);
    if (key !== drawnLayers) axes.replaceChildren(...drawAxes(layers, axis, range));
    drawnLayers = key;
    const ends = spread(series.map(({ values }) => y(values[layers.length - 1], range)));
    plot.replaceChildren(
      ...(row === undefined || !layers.length ? [] : [s("line", { class: "iw-cursor", x1: x(row, layers), x2: x(row, layers), y1: TOP, y2: HEIGHT - BOTTOM })]),
      ...series.map((line, i) => drawLine(line, layers, ends[i], range)),
    );
    svg.setAttribute("aria-label", [label, ...series.map((line) => describe(line, layers, axis.x))].join(". "));
  }

  return { element, draw };
}

/** @param {number} index @param {number[]} layers */
const x = (index, layers) => LEFT + (layers.length < 2 ? 0.5 : index / (layers.length - 1)) * (WIDTH - LEFT - RIGHT);

/** @param {number} value @param {number[]} range */
const y = (value, [low, high]) => TOP + (1 - Math.min(1, Math.max(0, ((known(value) ? value : 0) - low) / (high - low)))) * (HEIGHT - TOP - BOTTOM);

/** A short piece of a line, for lists: coloured and dashed by the class around it. */
export const swatch = () => s("svg", { class: "iw-swatch", viewBox: "0 0 18 6", "aria-hidden": "true" }, s("line", { x1: 0, x2: 18, y1: 3, y2: 3 }));

/** @param {Series} line @param {number[]} layers @param {number} labelY @param {number[]} range */
function drawLine({ name, values, className }, layers, labelY, range) {
  const points = layers.map((_, i) => `${x(i, layers).toFixed(1)},${y(values[i], range).toFixed(1)}`);
  const end = x(layers.length - 1, layers);
  return s("g", { class: className },
    s("polyline", { class: "iw-line", points: points.join(" ") }),
    s("line", { class: "iw-leader", x1: end + 2, y1: y(values[layers.length - 1], range), x2: end + 9, y2: labelY }),
    s("text", { class: "iw-line-label", x: end + 12, y: labelY + 4 }, name.length > 13 ? `${name.slice(0, 12)}…` : name, s("title", {}, name)));
}

/** @param {number[]} layers @param {{ x: string, y: string }} axis @param {number[]} range */
function drawAxes(layers, axis, range) {
  const right = WIDTH - RIGHT;
  const every = Math.max(1, Math.ceil(layers.length / 6));
  const last = layers.length - 1;
  const ticks = layers.map((_, i) => i).filter((i) => (i % every === 0 && last - i >= every / 2) || i === last);
  return [
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((value) => [
      s("line", { x1: LEFT, x2: right, y1: y(value, range), y2: y(value, range) }),
      s("text", { x: LEFT - 6, y: y(value, range) + 4, "text-anchor": "end" }, String(value)),
    ]),
    ...ticks.map((i) => s("text", { x: x(i, layers), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, String(layers[i]))),
    s("text", { x: (LEFT + right) / 2, y: HEIGHT - 5, "text-anchor": "middle" }, axis.x),
    s("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(11 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)` }, axis.y),
  ];
}

/** Push labels apart so that none covers another. @param {number[]} wanted @returns {number[]} */
function spread(wanted) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const out = [...wanted];
  order.forEach((i, n) => {
    if (n) out[i] = Math.max(out[i], out[order[n - 1]] + LABEL_GAP);
  });
  for (let n = order.length - 1, floor = HEIGHT - BOTTOM; n >= 0 && out[order[n]] > floor; n--, floor -= LABEL_GAP) out[order[n]] = floor;
  return out;
}

/** @param {Series} line @param {number[]} layers @param {string} of */
function describe({ name, values }, layers, of) {
  const last = layers.length - 1;
  return last < 0 ? name : `${name}: ${percent(values[0])} at ${of} ${layers[0]}, ${percent(values[last])} at ${of} ${layers[last]}`;
}
