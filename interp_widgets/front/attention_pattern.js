/** The pattern of one head: queries down, keys across, on a canvas with its tokens along two sides. */

import { paintCells, paintedCanvas } from "./canvas.js";
import { h, setAttributes, uniqueId } from "./dom.js";
import { quoted, visible } from "./numbers.js";

/** Pixels that a token beside the pattern needs; where cells are smaller, only some tokens stand there. */
const LABEL = 13;

/** @typedef {[query: number | null, key: number | null]} Pointed */

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(cell: [query: number, key: number] | null) => void} options.onHover  pointed at, or reached by keys; null when left
 * @param {(query: number, key: number) => void} options.onSelect
 * @param {(query: number, key: number) => string} options.tell  all there is to say of a cell
 */
export function createPattern({ signal, onHover, onSelect, tell }) {
  const canvas = paintedCanvas();
  const hatch = h("div", { class: "iw-pattern-hatch" });
  const marks = h("div", { class: "iw-pattern-marks" });
  const [row, column] = [h("div", { class: "iw-pattern-band" }), h("div", { class: "iw-pattern-band" })];
  const field = h("div", { class: "iw-pattern-field" }, canvas, hatch, marks, row, column);
  const [above, beside] = [h("div", { class: "iw-pattern-keys", "aria-hidden": "true" }), h("div", { class: "iw-pattern-queries", "aria-hidden": "true" })];
  // A canvas has no cells to name: the one that the keys have reached is told by one of these two rows, in turn, so that each move is heard.
  const spoken = [0, 1].map(() => h("div", { role: "gridcell", id: uniqueId() }));
  const rows = spoken.map((cell) => h("div", { role: "row", class: "iw-unseen" }, cell));
  const frame = h("div", { class: "iw-pattern" }, h("div", { class: "iw-pattern-corner", "aria-hidden": "true" }, h("span", {}, "query ↓"), h("span", {}, "key →")), above, beside, field);
  const element = h("div", { class: "iw-pattern-scroll", tabindex: 0, role: "grid" }, frame, ...rows);
  /** @type {[number, number]} */
  let queries = [0, 0];
  /** @type {[number, number]} */
  let keys = [0, 0];
  /** @type {string[]} */
  let tokens = [];
  let spacing = 0;
  /** @type {[number, number] | null} */
  let cursor = null;

  /**
   * @param {object} content
   * @param {string} content.label
   * @param {string[]} content.tokens
   * @param {[number, number]} content.queries
   * @param {[number, number]} content.keys
   * @param {(query: number, key: number) => number} content.step  in [0, 255]; negative for no colour
   * @param {boolean} content.leavesFirst
   */
  function draw(content) {
    const moved = String([queries, keys, tokens]) !== String([content.queries, content.keys, content.tokens]);
    ({ queries, keys, tokens } = content);
    const [height, width] = [queries[1] - queries[0], keys[1] - keys[0]];
    setAttributes(element, { "aria-label": `${content.label}. Arrow keys move, Enter selects.`, "aria-rowcount": tokens.length, "aria-colcount": tokens.length });
    speak();
    element.style.setProperty("--iw-rows", String(height));
    element.style.setProperty("--iw-keys", String(width));
    paintCells(canvas, width, height, (r, c) => (keys[0] + c <= queries[0] + r ? content.step(queries[0] + r, keys[0] + c) : -1));
    hatch.hidden = !content.leavesFirst || keys[0] > 0;
    if (moved) spacing = 0;
    label();
  }

  /** Put the tokens that have room along both sides. */
  function label() {
    const cell = canvas.getBoundingClientRect().width / Math.max(1, keys[1] - keys[0]);
    const every = cell ? Math.max(1, Math.ceil(LABEL / cell)) : 0;
    if (!every || every === spacing) return;
    spacing = every;
    for (const [side, [start, stop]] of /** @type {[HTMLElement, [number, number]][]} */ ([[above, keys], [beside, queries]])) {
      side.replaceChildren(...Array.from({ length: Math.ceil((stop - start) / every) }, (_, i) => {
        const position = start + i * every;
        return h("span", { title: `${position}: ${quoted(tokens[position])}`, style: `--iw-at: ${i * every}` }, visible(tokens[position]));
      }));
    }
  }

  /** Bands across the pattern: of what is pointed at, and of what is selected. @param {Pointed} pointed @param {number[]} positions @param {number[]} key */
  function mark([q, k], positions, key) {
    band(row, q !== null && positions.includes(q) ? null : q, queries, true);
    band(column, k !== null && key.includes(k) ? null : k, keys, false);
    const wanted = JSON.stringify([positions, key, queries, keys]);
    if (marks.dataset.of === wanted) return;
    marks.dataset.of = wanted;
    chosen = [positions, key];
    speak();
    marks.replaceChildren(...runs(positions).map((run) => selectedBand(run, queries, true)), ...runs(key).map((run) => selectedBand(run, keys, false)));
  }

  /** @param {HTMLElement} element @param {number | null} at @param {[number, number]} range @param {boolean} across @param {number} [count] */
  function band(element, at, [start, stop], across, count = 1) {
    const inside = at !== null && at >= start && at < stop;
    setAttributes(element, { hidden: !inside, "data-across": across, style: inside ? `--iw-at: ${at - start}; --iw-count: ${Math.min(count, stop - at)}` : null });
    return element;
  }

  /** @param {[number, number]} run @param {[number, number]} range @param {boolean} across */
  const selectedBand = ([first, last], range, across) =>
    band(h("div", { class: "iw-pattern-band iw-pattern-selected" }), Math.max(first, range[0]) <= last ? Math.max(first, range[0]) : null, range, across, last - Math.max(first, range[0]) + 1);

  /** @param {PointerEvent | MouseEvent} event @returns {[number, number] | null} */
  function cellAt(event) {
    const box = field.getBoundingClientRect();
    const q = queries[0] + Math.floor(((event.clientY - box.top) / box.height) * (queries[1] - queries[0]));
    const k = keys[0] + Math.floor(((event.clientX - box.left) / box.width) * (keys[1] - keys[0]));
    return q >= queries[0] && q < queries[1] && k >= keys[0] && k < keys[1] && k <= q ? [q, k] : null;
  }

  let turn = 0;
  /** @type {number[][]} */
  let chosen = [[], []];

  /** Name the cell that the keys have reached, else the one they start from. */
  function speak() {
    if (queries[1] <= queries[0]) return;
    const [q, k] = cursor ?? start();
    turn = 1 - turn;
    setAttributes(rows[turn], { "aria-rowindex": q + 1, hidden: false });
    setAttributes(rows[1 - turn], { hidden: true });
    setAttributes(spoken[turn], { "aria-colindex": k + 1, "aria-label": tell(q, k), "aria-selected": String(chosen[0].includes(q) && chosen[1].includes(k)) });
    setAttributes(element, { "aria-activedescendant": spoken[turn].id });
  }

  /** @returns {[number, number]} */
  const start = () => [queries[1] - 1, keys[0]];

  /** @param {[number, number] | null} cell */
  function point(cell) {
    if (String(cell) === String(cursor)) return;
    cursor = cell;
    speak();
    onHover(cell);
  }

  field.addEventListener("pointermove", (event) => point(cellAt(event)), { signal });
  field.addEventListener("pointerleave", () => point(null), { signal });
  field.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) onSelect(...cell);
  }, { signal });
  element.addEventListener("focusin", () => { if (!cursor && element.matches(":focus-visible")) point(start()); }, { signal });
  element.addEventListener("focusout", () => point(null), { signal });
  element.addEventListener("keydown", (event) => {
    const [q, k] = cursor ?? start();
    /** @type {Record<string, [number, number]>} */
    const moves = { ArrowUp: [q - 1, k], ArrowDown: [q + 1, k], ArrowLeft: [q, k - 1], ArrowRight: [q, k + 1], Home: [q, keys[0]], End: [q, q], PageUp: [q - 8, k], PageDown: [q + 8, k] };
    const to = moves[event.key];
    if (event.key === "Enter" || event.key === " ") onSelect(q, k);
    else if (!to) return;
    else {
      const query = Math.min(queries[1] - 1, Math.max(queries[0], keys[0], to[0]));
      point([query, Math.min(keys[1] - 1, query, Math.max(keys[0], to[1]))]);
      reveal();
    }
    event.preventDefault();
  }, { signal });

  /** Scroll the box to the cell that the keys have reached. */
  function reveal() {
    if (!cursor) return;
    const [box, area] = [element.getBoundingClientRect(), field.getBoundingClientRect()];
    const cell = area.width / (keys[1] - keys[0]);
    const [x, y] = [area.left + (cursor[1] - keys[0]) * cell, area.top + (cursor[0] - queries[0]) * cell];
    element.scrollLeft += Math.max(0, x + cell - box.right + 4) + Math.min(0, x - box.left - beside.offsetWidth - 4);
    element.scrollTop += Math.max(0, y + cell - box.bottom + 4) + Math.min(0, y - box.top - above.offsetHeight - 4);
  }

  const observer = new ResizeObserver(label);
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());
  return { element, draw, mark };
}

/** Runs of neighbours in an ascending list. @param {number[]} positions @returns {[number, number][]} */
function runs(positions) {
  /** @type {[number, number][]} */
  const out = [];
  for (const position of positions) {
    const last = out.at(-1);
    if (last && last[1] === position - 1) last[1] = position;
    else out.push([position, position]);
  }
  return out;
}
