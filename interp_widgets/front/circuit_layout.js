/** Where each thing of the graph lies: columns are tokens, rows go upwards, and a cell has a place for each of its things. */

/** @typedef {{ width: number, height: number }} Size */
/** @typedef {{ row: number, column: number, things: number[], wide: number }} Cell  `wide`: room of one of its things */
/**
 * @typedef {object} Layout  in pixels at zoom 1, y downwards
 * @prop {number} width
 * @prop {number} height
 * @prop {Float32Array} x        centre of each thing; NaN where it is not shown
 * @prop {Float32Array} y
 * @prop {number[]} columns      left end of each column, and the right end of the last
 * @prop {number[]} rows         top end of each row by its index, bottom rows having the largest
 * @prop {number[]} heights      of each row
 * @prop {Set<number>} filled    rows that hold something
 * @prop {Float32Array} wide      room of each thing, across
 * @prop {number} tall           and down
 * @prop {boolean} boxes         whether there is room for names
 */

/** Up to so many things are boxes with their names in them; more are dots. */
const BOXES = 120;
const BOX = { height: 24, least: 50, most: 118, letter: 6.9, around: 24 };
const DOT = { width: 22, height: 20 };
/** Empty rows and columns stay, but small. */
const EMPTY_ROW = 7;
const LEAST_COLUMN = 30;
/** How much wider columns may be than what they hold. */
const WIDER = 2;
/** Pixels of a letter of a token under its column. */
const LETTER = 7.5;
/** How wide cells may lie for their height: the one is taken that fits the page best. */
const SHAPES = [1, 0.5, 2, 0.25, 4, 0.1, 12, 60];

/**
 * @param {import("./circuit_data.js").CircuitData} data
 * @param {number[]} things  those that are shown, the strongest first
 * @param {Size} page        what it should fit
 * @returns {Layout}
 */
export function layOut(data, things, page) {
  const boxes = things.length <= BOXES;
  const across = Math.max(1, data.tokens.length);
  /** @type {Map<number, Cell>} */
  const cells = new Map();
  for (const thing of things) {
    const [row, column] = [data.row[thing], data.column[thing]];
    const key = row * across + column;
    const cell = cells.get(key) ?? { row, column, things: [], wide: DOT.width };
    cells.set(key, cell);
    cell.things.push(thing);
    if (boxes) cell.wide = Math.max(cell.wide, Math.min(BOX.most, Math.max(BOX.least, BOX.around + BOX.letter * data.short(thing).length)));
  }
  const tall = boxes ? BOX.height : DOT.height;
  let best = shape(data, cells, across, tall, SHAPES[0]);
  for (const lie of SHAPES.slice(1)) {
    const other = shape(data, cells, across, tall, lie);
    if (fitZoom(other, page) > 1.02 * fitZoom(best, page)) best = other;
  }
  widen(best, page);
  const [x, y, wide] = [0, 1, 2].map(() => new Float32Array(data.kind.length).fill(NaN));
  for (const cell of cells.values()) {
    const line = perLine(cell.things.length, best.lie);
    const lines = Math.ceil(cell.things.length / line);
    const [middle, top] = [(best.columns[cell.column] + best.columns[cell.column + 1]) / 2, best.rows[cell.row] + (best.heights[cell.row] - lines * tall) / 2];
    cell.things.forEach((thing, i) => {
      const at = Math.floor(i / line);
      const inLine = Math.min(line, cell.things.length - at * line);
      x[thing] = middle + ((i % line) - (inLine - 1) / 2) * cell.wide;
      y[thing] = top + (at + 0.5) * tall;
      wide[thing] = cell.wide;
    });
  }
  return { ...best, x, y, wide, tall, boxes, filled: new Set([...cells.values()].map(({ row }) => row)) };
}

/** Things side by side in a cell of so many. @param {number} count @param {number} lie */
const perLine = (count, lie) => Math.max(1, Math.min(count, Math.ceil(Math.sqrt(count * lie))));

/**
 * Widths of the columns and heights of the rows, where cells lie so much.
 * @param {import("./circuit_data.js").CircuitData} data @param {Map<number, Cell>} cells @param {number} across @param {number} tall @param {number} lie
 */
function shape(data, cells, across, tall, lie) {
  const widths = Array.from({ length: across }, (_, column) => Math.max(LEAST_COLUMN, Math.min(76, 16 + LETTER * (data.tokens[column] ?? "").length)));
  const heights = data.rows.map(() => EMPTY_ROW);
  for (const { row, column, things, wide } of cells.values()) {
    const line = perLine(things.length, lie);
    widths[column] = Math.max(widths[column], line * wide + 10);
    heights[row] = Math.max(heights[row] ?? 0, (Math.ceil(things.length / line) + 0.7) * tall);
  }
  const columns = [0];
  for (const each of widths) columns.push(columns[columns.length - 1] + each);
  const rows = heights.map(() => 0);
  let y = 0;
  for (let row = heights.length - 1; row >= 0; row--) {
    rows[row] = y;
    y += heights[row];
  }
  return { columns, rows, heights, width: columns[across], height: y, lie };
}

/** Give the columns the width that the page has left. @param {{ columns: number[], width: number, height: number }} content @param {Size} page */
function widen(content, page) {
  const spare = Math.min(WIDER, page.width / fitZoom(content, page) / Math.max(1, content.width));
  if (spare <= 1) return;
  content.columns = content.columns.map((x) => x * spare);
  content.width *= spare;
}

/** @param {{ width: number, height: number }} content @param {Size} page */
export const fitZoom = ({ width, height }, page) => Math.min(1.15, page.width / Math.max(1, width), page.height / Math.max(1, height));

/**
 * The thing whose slot holds a place, or -1. Slots do not overlap.
 * @param {Layout} layout @param {number[]} things @param {number} x @param {number} y
 */
export function thingAt(layout, things, x, y) {
  return things.find((thing) => Math.abs(layout.x[thing] - x) <= layout.wide[thing] / 2 && Math.abs(layout.y[thing] - y) <= layout.tall / 2) ?? -1;
}

/**
 * The thing that an arrow key leads to: the next one in the row, or the nearest one in the next row that has any.
 * @param {Layout} layout @param {import("./circuit_data.js").CircuitData} data @param {number[]} things @param {number} from @param {string} key
 */
export function neighbour(layout, data, things, from, key) {
  const [x, y] = [layout.x[from], layout.y[from]];
  let [best, least] = [-1, Infinity];
  for (const thing of things) {
    const [dx, dy] = [layout.x[thing] - x, layout.y[thing] - y];
    const level = Math.abs(dy) < layout.tall / 2;
    const ahead = { ArrowLeft: level ? -dx : 0, ArrowRight: level ? dx : 0, ArrowUp: level ? 0 : -dy, ArrowDown: level ? 0 : dy }[key] ?? 0;
    if (thing === from || ahead <= 0) continue;
    const distance = level ? ahead : 1000 * ahead + Math.abs(dx);
    if (distance < least) [best, least] = [thing, distance];
  }
  return best;
}
