/** The table of an audit: a row a quantity, the text that is looked at beside all texts, and the baselines beside the dictionary. */

import { COLUMN_NAMES, interval, THIS_TEXT, written } from "./audit_data.js";
import { h, hit, setAttributes } from "./dom.js";

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(quantity: string) => void} options.onSelect
 * @param {(quantity: string | null) => void} options.onPoint
 */
export function createAuditTable({ signal, onSelect, onPoint }) {
  const head = h("thead");
  const body = h("tbody");
  const element = h("div", { class: "iw-audit-scroll" }, h("table", { class: "iw-table iw-audit" }, head, body));

  /**
   * @param {ReturnType<typeof import("./audit_data.js").readAudit>} data
   * @param {{ dictionary: number, name: string, source: string, quantities: import("./audit_data.js").Quantity[], baselines: string[], chosen: string }} about
   */
  function draw(data, { dictionary, name, source, quantities, baselines, chosen }) {
    const beside = data.hasText && source !== THIS_TEXT;
    const columns = ["sae", ...baselines];
    head.replaceChildren(
      h("tr", {}, h("th", { rowspan: 2, scope: "col" }, "quantity"), ...(beside ? [h("th", { scope: "col" }, THIS_TEXT)] : []),
        h("th", { scope: "colgroup", colspan: columns.length, class: "iw-audit-group" }, source === "all" ? "all texts" : source)),
      h("tr", {}, ...(beside ? [h("th", { scope: "col", title: name }, COLUMN_NAMES.sae)] : []),
        ...columns.map((column) => h("th", { scope: "col", title: column === "sae" ? name : null }, COLUMN_NAMES[column]))));
    const focused = /** @type {HTMLElement | null} */ (body.contains(document.activeElement) ? document.activeElement : null)?.dataset.quantity;
    body.replaceChildren(...quantities.filter(({ name: row }) => data.count(dictionary, source, row) >= 0 || (beside && data.count(dictionary, THIS_TEXT, row) >= 0))
      .map(({ name: row, label, format, definition }) => h("tr", { "data-quantity": row, "data-selected": row === chosen },
        h("th", { scope: "row" }, h("button", { type: "button", class: "iw-link", "data-quantity": row, "aria-pressed": String(row === chosen), title: definition }, label)),
        ...(beside ? [cell(data.cell(dictionary, THIS_TEXT, row, "sae"), format)] : []),
        ...columns.map((column) => cell(data.cell(dictionary, source, row, column), format)))));
    if (focused) /** @type {HTMLElement | null} */ (body.querySelector(`button[data-quantity="${focused}"]`))?.focus();
  }

  /** @param {[number, number, number]} numbers @param {string} format */
  const cell = ([value, low, high], format) => h("td", {}, written(format, value), h("small", {}, interval(format, low, high)));

  /** @param {Event} event */
  const rowAt = (event) => hit(event, "[data-quantity]")?.dataset.quantity ?? null;
  body.addEventListener("click", (event) => {
    const row = rowAt(event);
    if (row) onSelect(row);
  }, { signal });
  for (const type of ["mouseover", "focusin"]) body.addEventListener(type, (event) => onPoint(rowAt(event)), { signal });
  for (const type of ["mouseleave", "focusout"]) body.addEventListener(type, () => onPoint(null), { signal });
  setAttributes(element, { role: "region", "aria-label": "Quantities", tabindex: 0 });
  return { element, draw };
}
