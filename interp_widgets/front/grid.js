/** A grid of layers x positions: an ARIA grid with sticky headers, in a box that scrolls; it rewrites only the cells that changed. */

import { h, hit, setAttributes } from "./dom.js";

/**
 * @typedef {object} Cell
 * @prop {string} text
 * @prop {string} [note]   smaller, at the right
 * @prop {string} [style]  inline style: background and ink
 * @prop {string} [state]  "masked", "pending", "unaligned", "unaffected" or "undefined": drawn without a value
 * @prop {string} [title]
 */

/** @typedef {{ text: string, title?: string, state?: string, extra?: Node }} Header */

/**
 * @typedef {object} GridContent
 * @prop {Header[]} rows
 * @prop {Header[]} columns
 * @prop {(row: number, column: number) => Cell} cell
 */

// Cells are grouped so that the browser can leave alone what is scrolled out of sight (`content-visibility` in the
// stylesheet): laying out 30 x 128 cells takes a fifth of a second, the visible ones a tenth of that.
const CHUNK = 16;

/**
 * @param {object} options
 * @param {string} options.label
 * @param {string} options.corner  what the row headers are, e.g. "layer"
 * @param {AbortSignal} options.signal
 * @param {(row: number, column: number) => void} options.onSelect
 * @param {(cell: [number, number] | null) => void} [options.onHover]  pointed at or focused; null when left
 * @param {(row: number, column: number) => string} [options.tell]  all there is to say of a cell: its tooltip, and what copying it gives
 * @param {(from: [number, number], to: [number, number]) => void} [options.onDrag]  a cell dragged onto another one
 * @param {boolean} [options.fromEnd]  show the last rows first where not all fit
 * @param {boolean} [options.dense]    rows of numbers, in little space
 */
export function createGrid({ label, corner, signal, onSelect, onHover = () => {}, onDrag, tell, fromEnd = false, dense = false }) {
  const grid = h("div", { class: "iw-grid", role: "grid", "aria-label": label });
  const element = h("div", { class: dense ? "iw-scroll iw-dense" : "iw-scroll" }, grid);
  /** @type {HTMLElement[][]} */
  let cells = [];
  /** @type {HTMLElement[]} */
  let rowHeads = [];
  /** @type {HTMLElement[]} */
  let columnHeads = [];
  /** @type {HTMLElement[][]} */
  let chunks = [];
  /** @type {Map<Element, [number, number]>} */
  let placeOf = new Map();
  /** @type {string[]} */
  let drawn = [];
  /** @type {[number, number]} */
  let active = [0, 0]; // the cell that Tab reaches
  /** @type {HTMLElement | undefined} */
  let selected;
  let fresh = false; // rows are new, and not scrolled to their end yet
  let width = 0;
  /** @type {Element[]} */
  let pointed = [];

  /** @param {number} rows @param {number} columns */
  function build(rows, columns) {
    placeOf = new Map();
    drawn = [];
    rowHeads = Array.from({ length: rows }, () => h("div", { class: "iw-row-head", role: "rowheader" }));
    columnHeads = Array.from({ length: columns }, () => h("div", { class: "iw-column-head", role: "columnheader" }));
    const empty = h("div", { class: "iw-cell", role: "gridcell", tabindex: -1 }, h("span"), document.createTextNode(""), h("small"));
    cells = rowHeads.map((_, r) => columnHeads.map((_, c) => {
      const cell = /** @type {HTMLElement} */ (empty.cloneNode(true));
      placeOf.set(cell, [r, c]);
      return cell;
    }));
    chunks = cells.map((row) => Array.from({ length: Math.ceil(columns / CHUNK) }, (_, k) =>
      h("div", { class: "iw-chunk", role: "presentation" }, ...row.slice(k * CHUNK, (k + 1) * CHUNK))));
    fresh = fromEnd;
    requestAnimationFrame(settle);
    grid.replaceChildren(
      h("div", { class: "iw-row iw-head-row", role: "row" }, h("div", { class: "iw-corner", role: "columnheader" }, corner), ...columnHeads),
      ...chunks.map((row, r) => h("div", { class: "iw-row", role: "row" }, rowHeads[r], ...row)),
    );
    active = [Math.min(active[0], Math.max(0, rows - 1)), Math.min(active[1], Math.max(0, columns - 1))];
    selected = undefined;
    pointed = [];
    cells[active[0]]?.[active[1]]?.setAttribute("tabindex", "0");
  }

  /** @param {GridContent} content */
  function draw({ rows, columns, cell }) {
    if (rows.length !== rowHeads.length || columns.length !== columnHeads.length) build(rows.length, columns.length);
    setAttributes(grid, { "aria-rowcount": rows.length + 1, "aria-colcount": columns.length + 1 });
    rows.forEach((row, r) => drawHead(rowHeads[r], row));
    columns.forEach((column, c) => drawHead(columnHeads[c], column));
    sizeChunks(columns);
    cells.forEach((row, r) => row.forEach((at, c) => {
      const { text, note = "", style = "", state, title } = cell(r, c);
      // What is seen comes first: who speaks to the machine says that, and who walks through cells hears it soonest.
      const name = [[text || title, note].filter(Boolean).join(" "), `${corner} ${rows[r].text}`, columns[c].title ?? columns[c].text].filter(Boolean).join(", ");
      const key = `${text}\n${note}\n${style}\n${state}\n${title}\n${name}`;
      const index = r * columns.length + c;
      if (drawn[index] === key) return;
      drawn[index] = key;
      at.children[0].textContent = text;
      at.children[1].textContent = note;
      /** @type {Text} */ (at.childNodes[1]).data = note && text ? " " : "";
      at.style.cssText = style;
      setAttributes(at, { "data-state": state, title: title ?? null, "aria-label": name });
    }));
  }

  /** A chunk out of sight does not know its cells, so its width is said: some columns are narrow. @param {Header[]} columns */
  function sizeChunks(columns) {
    const narrowed = columns.filter(isNarrow).length;
    element.style.setProperty("--iw-columns", String(Math.max(1, columns.length - narrowed)));
    element.style.setProperty("--iw-narrow-columns", String(narrowed));
    chunks[0]?.forEach((_, k) => {
      const group = columns.slice(k * CHUNK, (k + 1) * CHUNK);
      const narrow = group.filter(isNarrow).length;
      const width = `calc(${group.length - narrow} * var(--iw-cell-width) + ${narrow} * var(--iw-narrow-width))`;
      for (const row of chunks) setAttributes(row[k], { style: `width: ${width}` });
    });
  }

  /** @param {Header} column */
  const isNarrow = ({ state }) => state === "unaffected";

  /** @param {HTMLElement} head @param {Header} content */
  function drawHead(head, { text, title, state, extra }) {
    if (extra) head.replaceChildren(extra);
    else if (head.textContent !== text) head.textContent = text;
    setAttributes(head, { title, "data-state": state });
  }

  /**
   * Show the selected cell, and the selected columns.
   * @param {[number, number] | null} at
   * @param {Set<number>} [columns]
   */
  function mark(at, columns = new Set()) {
    const before = selected;
    before?.removeAttribute("aria-selected");
    selected = at ? cells[at[0]]?.[at[1]] : undefined;
    selected?.setAttribute("aria-selected", "true");
    const column = columnHeads.find((_, c) => columns.has(c));
    const moved = selected ? selected !== before : column && !column.hasAttribute("data-selected");
    columnHeads.forEach((head, c) => head.toggleAttribute("data-selected", columns.has(c)));
    if (moved) requestAnimationFrame(reveal);
    if (at && selected && !element.contains(document.activeElement)) rove(at);
  }

  /** Shade what a change of a cell can reach: these rows, from that column on. @param {((row: number) => boolean) | null} rows @param {number} column */
  function shade(rows, column) {
    cells.forEach((row, r) => row.forEach((cell, c) => cell.toggleAttribute("data-reached", !!rows && c >= column && rows(r))));
  }

  /** Scroll the box, and never the page around it, to the selected cell, or sideways to the selected column. */
  function reveal() {
    const target = selected ?? columnHeads.find((head) => head.hasAttribute("data-selected"));
    if (!target?.isConnected) return;
    const [box, cell, head] = [element, target, rowHeads[0]].map((each) => each.getBoundingClientRect());
    if (selected) element.scrollTop += Math.max(0, cell.bottom - box.bottom + 1) + Math.min(0, cell.top - box.top - cell.height - 5);
    element.scrollLeft += Math.max(0, cell.right - box.right + 1) + Math.min(0, cell.left - box.left - head.width);
  }

  /** Scroll to what should be seen first; what is hidden, as in a closed tab, has no place to scroll to and waits. */
  function settle() {
    if (!element.offsetWidth) return;
    if (fresh) element.scrollTop = element.scrollHeight;
    fresh = false;
    reveal();
  }
  const sizes = new ResizeObserver(() => {
    if (element.offsetWidth !== width) settle();
    width = element.offsetWidth;
  });
  sizes.observe(element);
  signal.addEventListener("abort", () => sizes.disconnect());

  /** @param {[number, number]} to */
  function rove([row, column]) {
    cells[active[0]]?.[active[1]]?.setAttribute("tabindex", "-1");
    active = [Math.min(cells.length - 1, Math.max(0, row)), Math.min(columnHeads.length - 1, Math.max(0, column))];
    const cell = cells[active[0]]?.[active[1]];
    cell?.setAttribute("tabindex", "0");
    return cell;
  }

  /** @param {[number, number] | null} at */
  function point(at) {
    for (const head of pointed) head.removeAttribute("data-pointed");
    pointed = at ? [rowHeads[at[0]], columnHeads[at[1]]] : [];
    for (const head of pointed) head.setAttribute("data-pointed", "");
    if (at && tell) setAttributes(cells[at[0]][at[1]], { title: tell(...at) });
    onHover(at);
  }

  element.addEventListener("click", (event) => {
    const at = placeOf.get(/** @type {Element} */ (hit(event, "[role=gridcell]")));
    if (!at) return;
    rove(at)?.focus({ preventScroll: true });
    onSelect(...at);
  }, { signal });
  if (onDrag) {
    /** @type {[number, number] | undefined} */
    let from;
    element.addEventListener("pointerdown", (event) => { from = placeOf.get(/** @type {Element} */ (hit(event, "[role=gridcell]"))); }, { signal });
    element.addEventListener("pointerup", (event) => {
      const to = placeOf.get(/** @type {Element} */ (hit(event, "[role=gridcell]")));
      if (from && to && String(from) !== String(to)) onDrag(from, to);
      from = undefined;
    }, { signal });
  }
  element.addEventListener("keydown", (event) => {
    if (!hit(event, "[role=gridcell]")) return;
    const [r, c] = active;
    const far = event.ctrlKey || event.metaKey;
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowRight: [r, c + 1], ArrowLeft: [r, c - 1], ArrowDown: [r + 1, c], ArrowUp: [r - 1, c],
      Home: [far ? 0 : r, 0], End: [far ? Infinity : r, Infinity], PageUp: [r - 8, c], PageDown: [r + 8, c],
    };
    if (event.key === "Enter" || event.key === " ") onSelect(r, c);
    else if (moves[event.key]) rove(moves[event.key])?.focus();
    else return;
    event.preventDefault();
  }, { signal });
  element.addEventListener("copy", (event) => {
    if (!tell || !hit(event, "[role=gridcell]") || !window.getSelection()?.isCollapsed) return;
    event.clipboardData?.setData("text/plain", tell(...active));
    event.preventDefault();
  }, { signal });
  for (const type of ["mouseover", "focusin"]) {
    element.addEventListener(type, (event) => {
      const at = placeOf.get(/** @type {Element} */ (hit(event, "[role=gridcell]"))) ?? null;
      if (at && type === "focusin") rove(at);
      point(at);
    }, { signal });
  }
  for (const type of ["mouseleave", "focusout"]) element.addEventListener(type, () => point(null), { signal });

  return { element, draw, mark, shade };
}
