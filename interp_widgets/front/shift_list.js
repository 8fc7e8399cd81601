/** The ranked list of atoms: a box to strike one out, its effect with its interval, and the choice of the one whose texts are shown. */

import { NEEDS_KERNEL } from "./controls.js";
import { h, hit } from "./dom.js";
import { signed } from "./numbers.js";
import { nameOf } from "./shift_data.js";

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(node: string) => void} options.onSelect
 * @param {(node: string, struck: boolean) => void} options.onStrike
 */
export function createShiftList({ signal, onSelect, onStrike }) {
  const list = h("ul", { class: "iw-shift-list", "aria-label": "Atoms by effect on the probe" });
  const element = h("div", { class: "iw-part" },
    h("div", { class: "iw-shift-head", "aria-hidden": "true" }, h("span", {}, "strike"), h("span", {}, "atom"), h("span", {}, "effect on the probe")), list);

  /** @param {import("./shift_data.js").Listed[]} rows @param {string[]} struck @param {string} chosen @param {boolean} live */
  function draw(rows, struck, chosen, live) {
    const ends = /** @type {[number, number]} */ ([Math.min(0, ...rows.map(({ low }) => low)), Math.max(1e-9, ...rows.map(({ high }) => high))]);
    list.replaceChildren(...rows.map((row) => {
      const [node, isStruck] = [row.node, struck.includes(row.node)];
      const box = h("input", { type: "checkbox", "data-node": node, "aria-label": `Strike out atom ${nameOf(row)}`, disabled: !live, title: live ? null : NEEDS_KERNEL });
      box.checked = isStruck;
      return h("li", { "data-node": node, "data-selected": node === chosen, "data-struck": isStruck },
        box,
        h("button", { type: "button", class: "iw-link", "data-node": node, "aria-pressed": String(node === chosen), "aria-label": `Show atom ${nameOf(row)}, effect ${signed(row.effect)}` }, h("strong", {}, `#${row.atom}`), ` ${row.site}`),
        bar(row, ends),
        h("span", { class: "iw-number" }, signed(row.effect)));
    }));
  }

  /** From zero on; the thin line is the interval. @param {import("./shift_data.js").Listed} row @param {[number, number]} ends */
  function bar({ effect, low, high }, [least, most]) {
    const at = (/** @type {number} */ value) => (100 * (value - least)) / (most - least);
    return h("span", { class: "iw-shift-bar", "aria-hidden": "true", style: `--zero: ${at(0)}%` },
      h("span", { "data-negative": effect < 0, style: `left: ${at(Math.min(0, effect))}%; width: ${Math.abs(at(effect) - at(0))}%` }),
      h("i", { style: `left: ${at(low)}%; width: ${at(high) - at(low)}%` }));
  }

  list.addEventListener("click", (event) => {
    const node = hit(event, "[data-node]")?.dataset.node;
    if (node && !hit(event, "input")) onSelect(node);
  }, { signal });
  list.addEventListener("change", (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    onStrike(box.dataset.node ?? "", box.checked);
  }, { signal });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = hit(event, "li");
    if (!step || !row) return;
    event.preventDefault();
    const next = /** @type {HTMLElement | null} */ (step > 0 ? row.nextElementSibling : row.previousElementSibling);
    if (!next) return;
    const inBox = !!hit(event, "input");
    /** @type {HTMLElement | null} */ (next.querySelector(inBox ? "input" : "button"))?.focus();
    onSelect(next.dataset.node ?? "");
  }, { signal });
  return { element, draw };
}
