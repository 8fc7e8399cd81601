/** Names along the sides of the graph, which stay in sight while it moves: rows at the left, tokens below. As many as do not touch. */

import { h, setAttributes } from "./dom.js";
import { quoted, visible } from "./numbers.js";

/** Room for the names, in pixels of the page. */
export const AXIS = { left: 70, bottom: 38 };
const LINE = 13;
const LETTER_WIDTH = 7;

/** @param {HTMLElement} field */
export function createAxes(field) {
  const [rows, columns] = [h("div", { class: "iw-graph-rows", "aria-hidden": "true" }), h("div", { class: "iw-graph-columns", "aria-hidden": "true" })];
  field.append(rows, columns, h("div", { class: "iw-graph-corner", "aria-hidden": "true" }));
  let built = "";

  /**
   * @param {import("./circuit_data.js").CircuitData} data
   * @param {string[]} corrupt
   * @param {Record<string, string[]>} variants
   */
  function build(data, corrupt, variants) {
    const key = JSON.stringify([data.rows, data.tokens, corrupt, variants]);
    if (key === built) return;
    built = key;
    rows.replaceChildren(...data.rows.map(({ text, site }) => h("span", { title: site }, text)));
    columns.replaceChildren(...data.tokens.map((token, column) => {
      const others = (variants[column] ?? []).filter((other) => other !== token);
      const changed = (corrupt[column] ?? token) !== token;
      const said = [`${column}: ${quoted(token)}`, changed ? `corrupt ${quoted(corrupt[column])}` : "", others.length ? `in other prompts ${others.map(quoted).join(", ")}` : ""];
      return h("span", { title: said.filter(Boolean).join("; ") }, h("b", {}, token ? visible(token) : "all positions"),
        ...(changed ? [h("small", { "data-changed": true }, visible(corrupt[column]))] : others.length ? [h("small", {}, `or ${visible(others[0])}${others.length > 1 ? " …" : ""}`)] : []));
    }));
  }

  /**
   * Put them where their rows and columns are now.
   * @param {import("./circuit_data.js").CircuitData} data @param {import("./circuit_layout.js").Layout} layout
   * @param {import("./circuit_paint.js").View} view @param {{ width: number, height: number }} box @param {number[]} positions
   */
  function place(data, layout, { left, top, zoom }, box, positions) {
    /** @type {number[]} */
    const taken = [];
    const spans = /** @type {HTMLElement[]} */ ([...rows.children]);
    for (const full of [true, false]) { // rows that hold something first
      spans.forEach((span, row) => {
        if (layout.filled.has(row) !== full) return;
        const y = (layout.rows[row] + layout.heights[row] / 2 - top) * zoom;
        const room = y > 6 && y < box.height - AXIS.bottom - 6 && taken.every((other) => Math.abs(other - y) >= LINE);
        if (room) taken.push(y);
        setAttributes(span, { style: room ? `transform: translateY(${y.toFixed(1)}px)` : "display: none", "data-empty": !full });
      });
    }
    let end = -Infinity;
    const chosen = new Set(positions);
    (/** @type {HTMLElement[]} */ ([...columns.children])).forEach((span, column) => {
      const wide = (layout.columns[column + 1] - layout.columns[column]) * zoom;
      const x = (layout.columns[column] - left) * zoom + wide / 2;
      const most = Math.max(wide - 6, 30);
      const needed = Math.min(most, LETTER_WIDTH * Math.max(2, (span.textContent ?? "").length));
      const room = x - needed / 2 >= end && x > AXIS.left && x < box.width + needed / 2;
      if (room) end = x + needed / 2 + 2;
      setAttributes(span, { style: room ? `transform: translateX(calc(${x.toFixed(1)}px - 50%)); max-width: ${most.toFixed(0)}px` : "display: none", "data-selected": chosen.has(column) });
    });
  }

  return { build, place };
}
