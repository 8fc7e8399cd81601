/** The graph on a canvas: bands of layers, edges as curves, nodes by kind, names where there is room. */

import { KIND } from "./circuit_data.js";
import { DIVERGING_COLORS, STEPS } from "./color.js";

/**
 * @typedef {object} View  from the layout to the screen: (x - left) * zoom
 * @prop {number} left
 * @prop {number} top
 * @prop {number} zoom
 */
/**
 * @typedef {object} Ink  colours of the page as it is now
 * @prop {boolean} dark
 * @prop {string} surface
 * @prop {string} text
 * @prop {string} muted
 * @prop {string} rule
 * @prop {string} band
 * @prop {string} accent
 * @prop {string} font
 */
/**
 * @typedef {object} Picture
 * @prop {import("./circuit_data.js").CircuitData} data
 * @prop {import("./circuit_data.js").Shown} shown
 * @prop {import("./circuit_layout.js").Layout} layout
 * @prop {Set<number>} named     things whose name always stands there
 * @prop {Set<number>} off       things that are switched off or scaled
 * @prop {number[]} positions    selected columns
 */

const LEVELS = 10; // of weight: one path each, so that thousands of edges are a few strokes
/** Colour of the weakest dot, on light and on dark pages: dots are small, and have to be seen. */
const DOTS = [0.32, 0.52];
/** Blue for what helps, orange for what hurts, on light and on dark pages. */
const SIGNS = { positive: ["#2467a8", "#62a8ea"], negative: ["#c05a08", "#f39a45"] };

/** @param {number} weight @param {boolean} dark */
export const signColor = (weight, dark) => SIGNS[weight < 0 ? "negative" : "positive"][Number(dark)];

/** Strength of a thing in [0, 1]: the square root, so that many can be told apart. @param {import("./circuit_data.js").CircuitData} data @param {number} thing */
const strength = (data, thing) => Math.sqrt(Math.min(1, Math.abs(data.effect[thing] || 0) / (data.largest || 1)));

/** How large a dot is drawn: what is zoomed into grows less than the room around it, which its name then fills. @param {number} zoom */
const dotScale = (zoom) => (zoom <= 1 ? zoom : Math.sqrt(zoom));

/**
 * @param {CanvasRenderingContext2D} context  already scaled to pixels of the page
 * @param {Picture} picture @param {View} view @param {Ink} ink
 * @param {{ width: number, height: number }} area
 * @param {number} most  edges that are drawn
 */
export function paintScene(context, { data, shown, layout, named, off, positions }, view, ink, area, most) {
  paintBands(context, data, layout, view, ink, area, positions);
  paintEdges(context, data, shown.edges.length > most ? shown.edges.slice(0, most) : shown.edges, layout, view, ink, 1);
  for (let i = shown.things.length - 1; i >= 0; i--) paintThing(context, data, layout, shown.things[i], view, ink, off);
  for (const thing of shown.things) {
    if (named.has(thing) && !(layout.boxes && view.zoom > NAMED_BOX)) paintName(context, data, layout, thing, view, ink, true);
    else if (!layout.boxes && layout.wide[thing] * view.zoom >= 46) paintName(context, data, layout, thing, view, ink, false);
  }
}

/** Zoom from which on boxes have their names in them. */
const NAMED_BOX = 0.5;

/** @param {CanvasRenderingContext2D} context @param {Picture["data"]} data @param {Picture["layout"]} layout @param {View} view @param {Ink} ink @param {{ width: number, height: number }} area @param {number[]} positions */
function paintBands(context, data, layout, { left, top, zoom }, ink, area, positions) {
  const [from, to] = [-left * zoom, (layout.width - left) * zoom];
  let [band, before] = [false, /** @type {number | null | undefined} */ (undefined)];
  context.fillStyle = ink.band;
  data.rows.forEach(({ layer }, row) => {
    if (layer !== before) band = !band;
    before = layer;
    if (band) context.fillRect(Math.max(0, from), (layout.rows[row] - top) * zoom, Math.min(area.width, to) - Math.max(0, from), layout.heights[row] * zoom + 0.5);
  });
  context.fillStyle = ink.accent;
  context.globalAlpha = 0.1;
  for (const position of positions) {
    const x = layout.columns[position];
    if (x !== undefined) context.fillRect((x - left) * zoom, -top * zoom, ((layout.columns[position + 1] ?? x) - x) * zoom, layout.height * zoom);
  }
  context.globalAlpha = 1;
  context.strokeStyle = ink.rule;
  context.lineWidth = 1;
  context.beginPath();
  for (const x of layout.columns) {
    const at = Math.round((x - left) * zoom) + 0.5;
    context.moveTo(at, -top * zoom);
    context.lineTo(at, (layout.height - top) * zoom);
  }
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context @param {Picture["data"]} data @param {import("./circuit_data.js").Edge[]} edges
 * @param {Picture["layout"]} layout @param {View} view @param {Ink} ink @param {number} strong  1 as part of the whole; more where it is pointed out
 */
export function paintEdges(context, data, edges, layout, view, ink, strong) {
  /** @type {(Path2D | undefined)[]} */
  const paths = Array(2 * LEVELS);
  for (const { source, target, weight } of edges) {
    const level = Math.min(LEVELS - 1, Math.floor(LEVELS * Math.sqrt(Math.abs(weight) / (data.heaviest || 1))));
    const at = 2 * level + Number(weight < 0);
    curve(paths[at] ??= new Path2D(), data, layout, source, target, view);
  }
  const thin = Math.min(1, Math.max(0.22, 300 / edges.length) ** 0.5); // many edges are drawn finer, or they are one blot
  paths.forEach((path, at) => {
    if (!path) return;
    const level = (Math.floor(at / 2) + 0.5) / LEVELS;
    context.strokeStyle = signColor(at % 2 ? -1 : 1, ink.dark);
    context.globalAlpha = Math.min(1, (0.08 + 0.8 * level) * thin * strong);
    context.lineWidth = (0.5 + 5 * level * level) * Math.min(1.3, Math.max(0.45, Math.sqrt(view.zoom))) * (strong > 1 ? 1.25 : thin);
    context.stroke(path);
  });
  context.globalAlpha = 1;
}

/** From the top of the source to the bottom of the target; around what lies between them in one column. @param {Path2D} path @param {Picture["data"]} data @param {Picture["layout"]} layout @param {number} source @param {number} target @param {View} view */
function curve(path, data, layout, source, target, { left, top, zoom }) {
  const edge = layout.boxes ? layout.tall * 0.36 : 5;
  const [x1, x2] = [(layout.x[source] - left) * zoom, (layout.x[target] - left) * zoom];
  const up = layout.y[source] > layout.y[target] ? 1 : -1;
  const [y1, y2] = [(layout.y[source] - up * edge - top) * zoom, (layout.y[target] + up * edge - top) * zoom];
  const rows = Math.abs(data.row[target] - data.row[source]);
  const bow = rows > 1 && Math.abs(x2 - x1) < layout.wide[source] * zoom ? Math.min(0.5 * layout.wide[source], 8 + 4 * rows) * zoom * (source % 2 ? 1 : -1) : 0;
  const pull = 0.5 * (y2 - y1);
  path.moveTo(x1, y1);
  path.bezierCurveTo(x1 + bow, y1 + pull, x2 + bow, y2 - pull, x2, y2);
}

/** @param {CanvasRenderingContext2D} context @param {Picture["data"]} data @param {Picture["layout"]} layout @param {number} thing @param {View} view @param {Ink} ink @param {Set<number>} off */
export function paintThing(context, data, layout, thing, view, ink, off) {
  const [x, y] = [(layout.x[thing] - view.left) * view.zoom, (layout.y[thing] - view.top) * view.zoom];
  const [power, kind] = [strength(data, thing), data.kind[thing]];
  const plain = kind === KIND.logit || kind === KIND.embedding || Number.isNaN(data.effect[thing]);
  const place = 0.5 + 0.5 * (data.effect[thing] < 0 ? -1 : 1) * (layout.boxes ? 0.12 + 0.82 * power : DOTS[Number(ink.dark)] + (0.96 - DOTS[Number(ink.dark)]) * power);
  const { fill, ink: letters } = plain ? { fill: ink.surface, ink: ink.text } : DIVERGING_COLORS[Number(ink.dark)][Math.round(place * (STEPS - 1))];
  const faded = off.has(thing);
  context.fillStyle = faded ? ink.surface : fill;
  context.strokeStyle = plain ? ink.muted : signColor(data.effect[thing], ink.dark);
  context.lineWidth = Math.max(0.6, Math.min(1.4, view.zoom)) * (kind === KIND.logit || kind === KIND.group ? 1.6 : 1);
  context.setLineDash(faded ? [3, 2] : []);
  const box = layout.boxes && kind !== KIND.error;
  outline(context, kind, x, y, box ? halfBox(layout, thing, view) : dotSize(power, layout, view, kind));
  context.fill();
  if (layout.boxes || plain || view.zoom > 0.6 || faded) context.stroke();
  context.setLineDash([]);
  if (box && view.zoom > NAMED_BOX) {
    const size = Math.min(13, 11.5 * view.zoom);
    write(context, data.short(thing), x, y, (layout.wide[thing] - 12) * view.zoom, `${kind === KIND.group || kind === KIND.logit ? "600 " : ""}${size}px ${ink.font}`, faded ? ink.muted : letters);
  }
}

/** @param {Picture["layout"]} layout @param {number} thing @param {View} view @returns {[number, number]} */
const halfBox = (layout, thing, { zoom }) => [(layout.wide[thing] / 2 - 3) * zoom, (layout.tall / 2 - 2.5) * zoom];

/** @param {number} power @param {Picture["layout"]} layout @param {View} view @param {number} kind @returns {[number, number]} */
function dotSize(power, layout, { zoom }, kind) {
  const base = layout.boxes ? 5 + 4 * power : kind === KIND.logit || kind === KIND.group ? 9 : 4 + 5 * power;
  const radius = base * (layout.boxes ? zoom : dotScale(zoom));
  return [radius, radius];
}

/** The form of a kind: triangles are errors, round ones atoms, corners embeddings; the answer and groups are boxes. @param {CanvasRenderingContext2D} context @param {number} kind @param {number} x @param {number} y @param {[number, number]} half */
function outline(context, kind, x, y, [width, height]) {
  context.beginPath();
  if (kind === KIND.error) {
    context.moveTo(x, y - 1.1 * height);
    context.lineTo(x + 1.1 * width, y + 0.8 * height);
    context.lineTo(x - 1.1 * width, y + 0.8 * height);
    context.closePath();
  } else if (kind === KIND.embedding) {
    context.rect(x - width * 0.9, y - height * 0.9, 1.8 * width, 1.8 * height);
  } else {
    const round = kind === KIND.group || kind === KIND.logit ? 0.4 : 1;
    context.roundRect(x - width, y - height, 2 * width, 2 * height, Math.min(width, height) * round);
  }
}

/** The name of a dot: below it where its slot has room, else beside it over what is there. @param {CanvasRenderingContext2D} context @param {Picture["data"]} data @param {Picture["layout"]} layout @param {number} thing @param {View} view @param {Ink} ink @param {boolean} over */
export function paintName(context, data, layout, thing, view, ink, over) {
  const [x, y] = [(layout.x[thing] - view.left) * view.zoom, (layout.y[thing] - view.top) * view.zoom];
  const [, radius] = dotSize(strength(data, thing), layout, view, data.kind[thing]);
  if (!over) return write(context, data.short(thing), x, y + radius + 8, layout.wide[thing] * view.zoom - 4, `11px ${ink.font}`, ink.text, ink.surface);
  const left = data.column[thing] > data.tokens.length / 2; // towards the middle, where there is room
  write(context, data.short(thing), x + (left ? -radius - 4 : radius + 4), y, 150, `600 11px ${ink.font}`, ink.text, ink.surface, left ? "right" : "left");
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} x @param {number} y @param {number} room @param {string} font @param {string} color @param {string} [halo] @param {CanvasTextAlign} [align] */
function write(context, text, x, y, room, font, color, halo, align = "center") {
  context.font = font;
  context.textAlign = align;
  context.textBaseline = "middle";
  let shown = text;
  if (context.measureText(text).width > room) {
    const letter = context.measureText("n").width;
    shown = `${text.slice(0, Math.max(1, Math.floor(room / letter) - 1))}…`;
  }
  if (halo) {
    context.strokeStyle = halo;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeText(shown, x, y);
  }
  context.fillStyle = color;
  context.fillText(shown, x, y + 0.5);
}

/** A ring around a thing: selected, or where the keys are. @param {CanvasRenderingContext2D} context @param {Picture["data"]} data @param {Picture["layout"]} layout @param {number} thing @param {View} view @param {string} color @param {boolean} dashed */
export function paintRing(context, data, layout, thing, view, color, dashed) {
  const [x, y] = [(layout.x[thing] - view.left) * view.zoom, (layout.y[thing] - view.top) * view.zoom];
  const box = layout.boxes && data.kind[thing] !== KIND.error;
  const [width, height] = box ? halfBox(layout, thing, view) : dotSize(strength(data, thing), layout, view, data.kind[thing]);
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.setLineDash(dashed ? [4, 3] : []);
  context.beginPath();
  context.roundRect(x - width - 3.5, y - height - 3.5, 2 * width + 7, 2 * height + 7, Math.min(width, height) + 3.5);
  context.stroke();
  context.setLineDash([]);
}
