/** Where the effect is: sums over all nodes by token and site, as an overview of the graph with a frame around what is in sight. */

import { paintCells, paintedCanvas } from "./canvas.js";
import { h, setAttributes, uniqueId } from "./dom.js";
import { floats, number, quoted, visible } from "./numbers.js";

const LABEL_HEIGHT = 12;
const TALL = 156;

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(column: number, row: number) => void} options.onSelect
 */
export function createHeatStrip({ signal, onSelect }) {
  const canvas = paintedCanvas();
  const frame = h("div", { class: "iw-heat-frame" });
  const mark = h("div", { class: "iw-heat-mark", hidden: true });
  const field = h("div", { class: "iw-heat-field" }, canvas, frame, mark);
  const [rows, columns] = [h("div", { class: "iw-heat-rows", "aria-hidden": "true" }), h("div", { class: "iw-heat-columns", "aria-hidden": "true" })];
  // As in the pattern of attention: the cell that the keys have reached is told by one of two rows, in turn.
  const spoken = [0, 1].map(() => h("div", { role: "gridcell", id: uniqueId() }));
  const unseen = spoken.map((cell) => h("div", { role: "row", class: "iw-unseen" }, cell));
  const grid = h("div", { class: "iw-heat", role: "grid", tabindex: 0 }, rows, field, columns, ...unseen);
  const readout = h("p", { class: "iw-heat-readout" });
  const element = h("div", { class: "iw-part" }, grid, readout);
  /** @type {import("./circuit_data.js").CircuitData | undefined} */
  let data;
  let values = new Float32Array(0);
  let [height, width, largest, turn] = [0, 0, 0, 0];
  let measure = "";
  /** @type {[number, number] | null} */
  let cursor = null;

  /** @param {import("./circuit_data.js").CircuitModel} model @param {import("./circuit_data.js").CircuitData} read */
  function draw(model, read) {
    data = read;
    values = floats(model.get("strip"));
    measure = model.get("measure");
    [height, width] = [Math.max(0, data.rows.length - 1), data.tokens.length];
    element.hidden = !values.length || values.length !== height * width;
    if (element.hidden) return;
    largest = values.reduce((most, value) => (value > most ? value : most), 0);
    const tall = Math.max(3, Math.min(13, TALL / height));
    setAttributes(grid, { "aria-label": `Sum of |${measure}| by token and site. Arrow keys move, Enter shows the cell in the graph.`, "aria-rowcount": height, "aria-colcount": width,
      style: `--iw-heat-height: ${(tall * height).toFixed(0)}px; --iw-heat-columns: ${width}` });
    // The square root, so that what is small is seen beside what is large.
    paintCells(canvas, width, height, (r, c) => {
      const value = values[(height - 1 - r) * width + c];
      return Number.isNaN(value) ? -1 : Math.round(255 * Math.sqrt(value / (largest || 1)));
    });
    rows.replaceChildren(...namedRows(data.rows.slice(0, height), tall).map((row) =>
      h("span", { title: read.rows[row].site, style: `bottom: ${((row + 0.5) / height) * 100}%` }, read.rows[row].text)));
    const some = Math.max(1, Math.ceil((width * 40) / 760));
    columns.replaceChildren(...read.tokens.flatMap((token, c) => (c % some ? [] : [h("span", { title: `${c}: ${quoted(token)}`, style: `flex-grow: ${Math.min(some, width - c)}` }, token ? visible(token) : "")])));
    point(cursor);
  }

  /** @param {import("./circuit_view.js").Sight} sight */
  function look({ columns: [left, right], rows: [bottom, top] }) {
    if (!height || !width) return;
    const clip = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(1, Math.max(0, value / most)) * 100;
    const [x1, x2, y1, y2] = [clip(left, width), clip(right, width), clip(bottom, height), clip(top, height)];
    frame.hidden = x2 - x1 > 99 && y2 - y1 > 99;
    frame.style.cssText = `left: ${x1}%; width: ${x2 - x1}%; bottom: ${y1}%; height: ${y2 - y1}%`;
  }

  /** @param {number} row @param {number} column */
  const tell = (row, column) => {
    const value = values[row * width + column];
    const at = data?.tokens[column] ? `, token ${column} ${quoted(data.tokens[column])}` : "";
    return `${data?.rows[row]?.site ?? ""}${at}: ${Number.isNaN(value) ? "no nodes" : `sum of |${measure}| ${number(value)}`}`;
  };

  /** @param {[number, number] | null} at  row from the bottom, column */
  function point(at) {
    cursor = at && at[0] < height && at[1] < width ? at : null;
    const [row, column] = cursor ?? [height - 1, 0];
    turn = 1 - turn;
    setAttributes(unseen[turn], { hidden: false, "aria-rowindex": height - row });
    setAttributes(unseen[1 - turn], { hidden: true });
    setAttributes(spoken[turn], { "aria-colindex": column + 1, "aria-label": tell(row, column) });
    setAttributes(grid, { "aria-activedescendant": spoken[turn].id });
    mark.hidden = !cursor;
    mark.style.cssText = `left: ${(column / width) * 100}%; width: ${100 / width}%; bottom: ${(row / height) * 100}%; height: ${100 / height}%`;
    readout.textContent = cursor ? tell(row, column) : `Sum of |${measure}| over all nodes by token and site, up to ${number(largest)}; shades by its square root. Press a cell to see it in the graph.`;
  }

  /** @param {MouseEvent} event @returns {[number, number]} */
  const cellAt = (event) => {
    const box = field.getBoundingClientRect();
    const row = height - 1 - Math.floor(((event.clientY - box.top) / box.height) * height);
    return [Math.min(height - 1, Math.max(0, row)), Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)))];
  };
  field.addEventListener("pointermove", (event) => point(cellAt(event)), { signal });
  field.addEventListener("pointerleave", () => point(null), { signal });
  field.addEventListener("click", (event) => {
    const [row, column] = cellAt(event);
    onSelect(column, row);
  }, { signal });
  grid.addEventListener("focusin", () => { if (!cursor && grid.matches(":focus-visible")) point([height - 1, 0]); }, { signal });
  grid.addEventListener("focusout", () => point(null), { signal });
  grid.addEventListener("keydown", (event) => {
    const [row, column] = cursor ?? [height - 1, 0];
    /** @type {Record<string, [number, number]>} */
    const moves = { ArrowUp: [row + 1, column], ArrowDown: [row - 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: [row, 0], End: [row, width - 1] };
    const to = moves[event.key];
    if (event.key === "Enter" || event.key === " ") onSelect(column, row);
    else if (to) point([Math.min(height - 1, Math.max(0, to[0])), Math.min(width - 1, Math.max(0, to[1]))]);
    else return;
    event.preventDefault();
  }, { signal });

  return { element, draw, look };
}

/** Which rows are named: all, or the last one of each layer, and none that would touch the one before. @param {import("./circuit_data.js").Row[]} rows @param {number} tall */
function namedRows(rows, tall) {
  /** @type {number[]} */
  const out = [];
  rows.forEach(({ layer }, row) => {
    const ends = tall >= LABEL_HEIGHT || layer !== rows[row + 1]?.layer;
    if (ends && (!out.length || (row - out[out.length - 1]) * tall >= LABEL_HEIGHT)) out.push(row);
  });
  return out;
}
