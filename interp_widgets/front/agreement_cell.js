/** The agreement's right column: what both sessions say of one cell, and which cells to look at first. */

import { BROKEN, DIFFERS, SAME, TIE } from "./agreement_data.js";
import { h, hit, save } from "./dom.js";
import { inText, known, MISSING, number, quoted, share, visible } from "./numbers.js";
import { walkable } from "./tip.js";

/** What stands between two tokens of which each is the likeliest somewhere. */
export const SIGNS = { [TIE]: "≈", [DIFFERS]: "≠", [BROKEN]: "?" };

/** A number, and how well it is known where it rests on a sample. @param {number} value @param {number} error */
export const withError = (value, error) => (known(error) && error > 0 ? `${number(value)} ± ${number(error, 2)}` : number(value));

/** A probability with the digits that small differences need. @param {number} value */
const exactly = (value) => (value > 0 && value < 0.0005 ? "<0.1%" : share(value));

/**
 * @param {import("./agreement_data.js").AgreementModel} model
 * @param {AbortSignal} signal
 * @param {() => import("./agreement_data.js").AgreementData} data
 */
export function createAgreementCell(model, signal, data) {
  const heading = h("h3");
  const verdict = h("p", { class: "iw-verdict" });
  const values = h("dl", { class: "iw-values" });
  const lists = h("div", { class: "iw-both" });
  walkable(lists, signal, "Likeliest tokens of both");
  const first = h("ul", { class: "iw-worst", "aria-label": "Cells to look at first" });
  const firstPart = h("div", { class: "iw-part" }, h("h3", {}, "Look here first"), h("p", { class: "iw-hint" }, "Layer, position: top token, total variation"), first);
  const hint = h("p", { class: "iw-hint" });
  const element = h("div", { class: "iw-side" }, h("div", { class: "iw-parts" }, h("div", { class: "iw-part" }, heading, verdict, values, lists, hint), firstPart));

  function drawCell() {
    const all = data();
    const chosen = all.at(model.get("cell"));
    const at = chosen ?? all.rest();
    hint.hidden = !!chosen;
    hint.textContent = "Press a cell to see both lists of it here.";
    if (!at) return;
    heading.textContent = `Layer ${all.layerName(at[0])}, position ${all.start + at[1]}`;
    verdict.textContent = judged(all, ...at);
    verdict.dataset.verdict = String(all.verdict(...at));
    values.replaceChildren(...[
      ["total variation", withError(all.value("total_variation", ...at), all.error(...at))],
      ["largest logit difference", number(all.value("logit_difference", ...at))],
      ["relative residual difference", number(all.value("residual_difference", ...at))],
    ].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    lists.replaceChildren(...model.get("sides").map((name, side) => ranking(name, all.entries(side, ...at))));
  }

  /** @param {import("./agreement_data.js").AgreementData} all @param {number} row @param {number} column */
  function judged(all, row, column) {
    const [a, b] = [0, 1].map((side) => quoted(all.entry(side, row, column, 0).token));
    const kind = all.verdict(row, column);
    if (kind === BROKEN) return "A logit is not a finite number, so this cell cannot be compared.";
    if (kind === TIE) return `≈ Near tie: ${a} and ${b} are almost equally likely in both.`;
    return kind === DIFFERS ? `≠ The top tokens differ: ${a} and ${b}.` : `The top token is the same: ${a}.`;
  }

  /** @param {string} name @param {import("./agreement_data.js").Listed[]} entries */
  function ranking(name, entries) {
    return h("div", {}, h("h4", { title: name }, name), h("table", { class: "iw-table", "aria-label": `Likeliest tokens, ${name}` },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "token"), h("th", { scope: "col", title: "Its probability here" }, "here"),
        h("th", { scope: "col", title: "Its probability in the other session" }, "other"))),
      h("tbody", {}, ...entries.map(({ token, id, probability, there }) => h("tr", {},
        h("th", { scope: "row", title: `${quoted(token)}, id ${id}` }, visible(token)),
        h("td", { title: number(probability, 7) }, exactly(probability)),
        h("td", { title: known(there) ? number(there, 7) : "Not among the compared tokens" }, known(there) ? exactly(there) : MISSING))))));
  }

  function drawWorst() {
    const all = data();
    const cells = model.get("worst").filter((cell) => all.at(cell));
    firstPart.hidden = !cells.length;
    first.replaceChildren(...cells.map((cell) => {
      const at = /** @type {[number, number]} */ (all.at(cell));
      const kind = all.verdict(...at);
      const [a, b] = [0, 1].map((side) => inText(all.entry(side, ...at, 0).token));
      const what = kind === SAME ? a : `${a} ${SIGNS[/** @type {1 | 2 | 3} */ (kind)]} ${b}`;
      return h("li", {}, h("button", { type: "button", class: "iw-entry", "data-cell": String(cell), "aria-pressed": String(String(cell) === String(model.get("cell"))) },
        h("span", { class: "iw-quiet" }, `${cell[0]}, ${cell[1]}`), h("span", { class: "iw-entry-token" }, what),
        h("span", { class: "iw-number" }, number(all.value("total_variation", ...at), 2))));
    }));
  }

  first.addEventListener("click", (event) => {
    const pressed = hit(event, "[data-cell]")?.dataset.cell?.split(",").map(Number);
    if (!pressed) return;
    const again = String(pressed) === String(model.get("cell"));
    save(model, again ? { cell: [] } : { cell: pressed, positions: [pressed[1]] });
  }, { signal });

  /** Redraw the list without losing the keyboard's place in it. */
  function drawFirst() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const cell = first.contains(focused) ? focused?.dataset.cell : undefined;
    drawWorst();
    if (cell) /** @type {HTMLElement | null} */ (first.querySelector(`[data-cell="${cell}"]`))?.focus();
  }

  return { element, drawCell, drawFirst };
}
