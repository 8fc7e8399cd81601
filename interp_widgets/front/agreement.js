/** The agreement of two sessions: the prompt as a strip, layers x positions as a grid, and both lists of one cell beside it. */

import { createAgreementCell, SIGNS, withError } from "./agreement_cell.js";
import { BROKEN, COLORS, DIFFERS, readAgreement, SAME, TIE } from "./agreement_data.js";
import { gradient, place, SEQUENTIAL, styleAt } from "./color.js";
import { createChoice, createLegend } from "./controls.js";
import { follow, h, save } from "./dom.js";
import { createGrid } from "./grid.js";
import { createPanel, showResults } from "./head.js";
import { inText, number, quoted, visible } from "./numbers.js";
import { createPager } from "./pager.js";
import { createStrip } from "./tokens.js";

const DATA = ["layers", "window", "top_k", "top_index", "top_probability", "probability_there", "verdict", "total_variation",
  "total_variation_error", "logit_difference", "residual_difference", "vocabulary", "vocabulary_ids"];

/** How a cell is drawn that does not simply agree. */
const STATES = { [TIE]: "tie", [DIFFERS]: "differs", [BROKEN]: "undefined" };

/** @param {import("@anywidget/types").RenderProps<import("./agreement_data.js").AgreementState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Agreement", fields: [{ trait: "text", label: "Prompt" }] });
  let data = readAgreement(model);
  /** @type {[number, number] | null} */
  let pointed = null;

  const strip = createStrip({ label: "Prompt tokens", signal, onSelect: (positions) => {
    save(model, { positions });
    pager.reach(positions.at(-1));
  } });
  const empty = h("p", { class: "iw-empty" });
  const between = h("p", { class: "iw-between" });
  const sentences = h("ul", { class: "iw-sentences", "aria-label": "Result" });
  const grid = createGrid({ label: "Agreement at each layer and position", corner: "layer", signal, onSelect: selectCell, onHover: point, tell: describe, fromEnd: true });
  const readout = h("p", { class: "iw-readout" });
  const main = h("div", { class: "iw-main" }, grid.element, readout);
  const side = createAgreementCell(model, signal, () => data);
  const color = createChoice({ legend: "Colour", options: COLORS, signal, onChoose: (value) => save(model, { color: value }) });
  const legend = createLegend();
  const marks = h("span", { class: "iw-quiet" }, "≠ top tokens differ · ≈ near tie");
  const pager = createPager(model, signal, () => data);
  const results = h("div", { class: "iw-results" }, between, sentences, strip.element, pager.element,
    h("div", { class: "iw-tools" }, color.element, marks, legend.element),
    h("div", { class: "iw-columns" }, main, side.element));
  body.append(empty, results);

  function drawEmpty() {
    showResults(model, results, empty, !model.get("tokens").length, "Type a prompt above and run it: how far the two sessions agree at each layer and position appears here.");
  }

  function drawWords() {
    const [a, b] = model.get("sides");
    between.replaceChildren(h("strong", {}, a), " and ", h("strong", {}, b));
    sentences.replaceChildren(...model.get("sentences").map((text) => h("li", {}, text)));
  }

  function drawStrip() {
    strip.draw({ tokens: model.get("tokens"), ids: model.get("token_ids"), masked: model.get("masked"), window: model.get("window"),
      note: (position) => (position < data.start || position >= data.stop ? "outside the grid" : "") });
    strip.select(model.get("positions"));
    pager.draw();
  }

  function drawGrid() {
    const [tokens, masked, by] = [model.get("tokens"), new Set(model.get("masked")), model.get("color")];
    const range = model.get("scales")[by];
    main.style.setProperty("--iw-main-columns", String(data.width));
    grid.draw({
      rows: data.layers.map((_, row) => ({ text: data.rowName(row), state: row === data.layers.length - 1 ? "output" : undefined })),
      columns: Array.from({ length: data.width }, (_, column) => {
        const position = data.start + column;
        const token = tokens[position] ?? "";
        return { text: visible(token), title: `${position}: ${quoted(token)}`, state: masked.has(position) ? "masked" : undefined };
      }),
      cell: (row, column) => {
        const hidden = masked.has(data.start + column);
        return {
          text: said(row, column),
          note: data.verdict(row, column) === SAME ? number(data.value(by, row, column), 1) : "",
          style: hidden ? "" : styleAt(SEQUENTIAL, place(data.value(by, row, column), range, true)),
          state: hidden ? "masked" : STATES[/** @type {1 | 2 | 3} */ (data.verdict(row, column))],
        };
      },
    });
    color.draw(by);
    legend.draw(gradient(SEQUENTIAL), `≤ ${range?.[0] ?? ""}`, String(range?.[1] ?? ""), "log scale, the same for every result");
  }

  /** The top token; both of them, after a sign that no narrow cell cuts off, where they differ. @param {number} row @param {number} column */
  function said(row, column) {
    const [a, b] = [0, 1].map((each) => inText(data.entry(each, row, column, 0).token));
    const kind = data.verdict(row, column);
    return kind === SAME ? a : `${SIGNS[/** @type {1 | 2 | 3} */ (kind)]} ${a} | ${b}`;
  }

  function drawMarks() {
    grid.mark(data.at(model.get("cell")), new Set(model.get("positions").map((position) => position - data.start)));
    drawPointed();
  }

  function drawPointed() {
    const at = pointed ?? data.at(model.get("cell"));
    readout.textContent = at ? describe(...at) : "Point at a cell to read its values; press it to select. In the grid, arrow keys move, Enter selects and Ctrl+C copies.";
  }

  /** @param {number} row @param {number} column */
  function describe(row, column) {
    const [a, b] = [0, 1].map((each) => {
      const { token, id, probability } = data.entry(each, row, column, 0);
      return `${model.get("sides")[each]}: ${quoted(token)} (id ${id}) ${number(probability, 4)}`;
    });
    return [
      `layer ${data.layerName(row)}, position ${data.start + column}`, a, b,
      ["", "near tie", "top tokens differ", "not finite"][data.verdict(row, column)],
      `total variation ${withError(data.value("total_variation", row, column), data.error(row, column))}`,
      `largest logit difference ${number(data.value("logit_difference", row, column))}`,
      `residual difference ${number(data.value("residual_difference", row, column))}`,
    ].filter(Boolean).join(" · ");
  }

  /** @param {[number, number] | null} at */
  function point(at) {
    if (String(at) === String(pointed)) return;
    pointed = at;
    drawPointed();
  }

  /** @param {number} row @param {number} column */
  function selectCell(row, column) {
    const position = data.start + column;
    const cell = [data.layers[row], position];
    const again = String(model.get("cell")) === String(cell);
    save(model, again ? { cell: [] } : { cell, positions: [position] });
  }

  follow(model, signal, [
    [() => { data = readAgreement(model); pointed = null; }, DATA],
    [drawEmpty, ["tokens", "status"]],
    [drawWords, ["sides", "sentences"]],
    [drawStrip, ["tokens", "token_ids", "masked", "window", "positions", "live"]],
    [drawGrid, [...DATA, "tokens", "masked", "color", "scales"]],
    [drawMarks, [...DATA, "cell", "positions", "sides"]],
    [side.drawCell, [...DATA, "cell", "sides"]],
    [side.drawFirst, [...DATA, "cell", "worst"]],
  ]);
}

export default { render };
