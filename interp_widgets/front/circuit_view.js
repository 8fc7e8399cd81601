/** Which part of the graph is in sight, and how large: fit, zoom, move, and where a place of the layout is. */

import { AXIS } from "./circuit_axes.js";
import { fitZoom } from "./circuit_layout.js";

const ZOOMS = [0.05, 6];
/** A graph that would be smaller than this is not made to fit, but moved. */
const LEAST_FIT = 0.3;
const READABLE = 0.6;
const MARGIN = 8;

/** @typedef {{ columns: [number, number], rows: [number, number] }} Sight  what is in sight, in columns and in rows from the bottom; 1.5 is the middle of the second */

export function createView() {
  const at = { left: 0, top: 0, zoom: 1 };
  const box = { width: 800, height: 400 };
  let fitted = true; // nobody has moved it yet
  /** @type {import("./circuit_layout.js").Layout | undefined} */
  let layout;

  const page = () => ({ width: Math.max(120, box.width - AXIS.left - 2 * MARGIN), height: Math.max(120, box.height - AXIS.bottom - 2 * MARGIN) });

  /** @param {import("./circuit_layout.js").Layout} next @param {number} tallest  the box is as high as the graph needs, up to this */
  function take(next, tallest) {
    const before = layout && !fitted ? sight() : null;
    layout = next;
    box.height = tallest;
    const zoom = wanted(layout);
    box.height = Math.round(Math.max(200, Math.min(tallest, layout.height * zoom + AXIS.bottom + 2 * MARGIN)));
    if (before) centre((before.columns[0] + before.columns[1]) / 2, (before.rows[0] + before.rows[1]) / 2);
    else fit();
  }

  /** @param {import("./circuit_layout.js").Layout} whole */
  function wanted(whole) {
    const zoom = fitZoom(whole, page());
    return zoom < LEAST_FIT ? READABLE : zoom;
  }

  /** The whole graph; of one too large for that, the end with the answer. */
  function fit() {
    if (!layout) return;
    fitted = true;
    at.zoom = wanted(layout);
    [at.left, at.top] = [layout.width, -Infinity];
    clamp();
  }

  /** Keep the graph in the box: centred where it is smaller, else without a gap at a side. */
  function clamp() {
    if (!layout) return;
    at.left = along(at.left, layout.width, AXIS.left, box.width - AXIS.left);
    at.top = along(at.top, layout.height, 0, box.height - AXIS.bottom);
  }

  /** @param {number} from @param {number} size @param {number} before @param {number} room */
  function along(from, size, before, room) {
    const low = -(before + MARGIN) / at.zoom;
    const high = size - (before + room - MARGIN) / at.zoom;
    return size * at.zoom <= room - 2 * MARGIN ? (low + high) / 2 : Math.min(high, Math.max(low, from));
  }

  /** @returns {Sight} */
  function sight() {
    if (!layout) return { columns: [0, 0], rows: [0, 0] };
    const { columns, rows, heights } = layout;
    /** @param {number} x */
    const columnAt = (x) => {
      const c = columns.findIndex((left, i) => x >= left && x < (columns[i + 1] ?? -Infinity));
      return c < 0 ? (x < 0 ? 0 : columns.length - 1) : c + (x - columns[c]) / (columns[c + 1] - columns[c]);
    };
    /** @param {number} y */
    const rowAt = (y) => {
      const row = rows.findIndex((top, r) => y >= top && y < top + heights[r]);
      return row < 0 ? (y < 0 ? rows.length : 0) : row + (rows[row] + heights[row] - y) / heights[row];
    };
    return { columns: [columnAt(at.left + AXIS.left / at.zoom), columnAt(at.left + box.width / at.zoom)],
      rows: [rowAt(at.top + (box.height - AXIS.bottom) / at.zoom), rowAt(at.top)] };
  }

  /** Put a place into the middle. @param {number} column @param {number} row  from the bottom @param {number} [zoom]  at least */
  function centre(column, row, zoom = 0) {
    if (!layout) return;
    const { columns, rows, heights } = layout;
    const [c, r] = [Math.min(columns.length - 2, Math.floor(column)), Math.min(rows.length - 1, Math.floor(row))];
    at.zoom = Math.max(at.zoom, zoom);
    at.left = columns[c] + (column - c) * (columns[c + 1] - columns[c]) - (AXIS.left + box.width) / 2 / at.zoom;
    at.top = rows[r] + (1 - (row - r)) * heights[r] - (box.height - AXIS.bottom) / 2 / at.zoom;
    fitted = false;
    clamp();
  }

  /** @param {number} factor @param {number} [x] what stays where it is, in pixels of the box @param {number} [y] */
  function zoomBy(factor, x = (AXIS.left + box.width) / 2, y = (box.height - AXIS.bottom) / 2) {
    const zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], at.zoom * factor));
    at.left += x / at.zoom - x / zoom;
    at.top += y / at.zoom - y / zoom;
    at.zoom = zoom;
    fitted = false;
    clamp();
  }

  /** @param {number} dx @param {number} dy  pixels that the picture goes @returns {boolean} whether it went anywhere */
  function panBy(dx, dy) {
    const before = { ...at };
    at.left -= dx / at.zoom;
    at.top -= dy / at.zoom;
    clamp();
    const moved = Math.abs(at.left - before.left) + Math.abs(at.top - before.top) > 0.01;
    fitted &&= !moved;
    return moved;
  }

  return {
    at, box, page, take, fit, sight, centre, zoomBy, panBy,
    isFitted: () => fitted,
    /** Whether there is more above or below than is seen. */
    overflows: () => !!layout && layout.height * at.zoom > box.height - AXIS.bottom,
    /** From the box to the layout. @param {number} x @param {number} y @returns {[number, number]} */
    place: (x, y) => [at.left + x / at.zoom, at.top + y / at.zoom],
  };
}
