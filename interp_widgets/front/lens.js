/** The lens: the prompt as a strip, layers x positions as a grid, lines and the top k beside it. */

import { gradient, place, SEQUENTIAL, styleAt } from "./color.js";
import { createChoice, createLegend } from "./controls.js";
import { follow, h, save, setAttributes } from "./dom.js";
import { createGrid } from "./grid.js";
import { createPanel, showResults } from "./head.js";
import { readLens } from "./lens_data.js";
import { createLensTop } from "./lens_top.js";
import { inText, known, number, percent, quoted, visible } from "./numbers.js";
import { createPager } from "./pager.js";
import { createStrip } from "./tokens.js";

const DATA = ["layers", "window", "top_k", "top_index", "top_probability", "entropy", "kl", "rank", "vocabulary", "vocabulary_ids",
  "lines_index", "lines", "extra_lines"];

/** Ranks are counts: never rounded. */
const RANK_DIGITS = 7;

/** A rank is best when small: its scale runs backwards. */
const REVERSED = [...SEQUENTIAL].reverse();

/** @param {import("@anywidget/types").RenderProps<import("./lens_data.js").LensState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Lens", fields: [{ trait: "text", label: "Prompt" }] });
  let data = readLens(model);
  /** @type {[number, number] | null} */
  let pointed = null;

  const strip = createStrip({ label: "Prompt tokens", signal, onSelect: selectTokens });
  const empty = h("p", { class: "iw-empty" });
  const grid = createGrid({ label: "Most likely token at each layer and position", corner: "layer", signal, onSelect: selectCell, onHover: point,
    tell: describe, fromEnd: true });
  const readout = h("p", { class: "iw-readout" });
  const main = h("div", { class: "iw-main" }, grid.element, readout);
  const top = createLensTop(model, signal, () => data);
  const color = createChoice({
    legend: "Colour",
    options: [["probability", "probability"], ["entropy", "entropy"], ["kl", "KL to final"], ["rank", "rank"]],
    signal,
    onChoose: (value) => save(model, { color: value }),
  });
  const legend = createLegend();
  const track = createTracker();
  const pager = createPager(model, signal, () => data);
  const results = h("div", { class: "iw-results" }, strip.element, pager.element,
    h("div", { class: "iw-tools" }, color.element, track.element, legend.element),
    h("div", { class: "iw-columns" }, main, top.element));
  body.append(empty, results);

  function drawEmpty() {
    showResults(model, results, empty, !model.get("tokens").length, "Type a prompt above and run it: each layer's best guess at the next token appears here.");
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
    const scale = by === "rank" ? REVERSED : SEQUENTIAL;
    main.style.setProperty("--iw-main-columns", String(data.width));
    grid.draw({
      rows: data.layers.map((_, row) => ({ text: data.rowName(row), state: row === data.layers.length - 1 ? "output" : undefined })),
      columns: Array.from({ length: data.width }, (_, column) => {
        const position = data.start + column;
        const token = tokens[position] ?? "";
        return { text: visible(token), title: `${position}: ${quoted(token)}`, state: masked.has(position) ? "masked" : undefined };
      }),
      cell: (row, column) => {
        const { token, id, probability } = data.entry(row, column, 0);
        const hidden = masked.has(data.start + column);
        return {
          text: id < 0 ? "" : visible(token),
          note: by === "probability" ? percent(probability) : number(data.value(by, row, column), by === "rank" ? RANK_DIGITS : 2),
          style: hidden ? "" : styleAt(scale, place(data.value(by, row, column), range, by === "rank")),
          state: hidden ? "masked" : undefined,
        };
      },
    });
    drawColor(range, by, scale);
  }

  /** @param {number[] | undefined} range @param {string} by @param {string[]} scale */
  function drawColor(range, by, scale) {
    const unit = { probability: "", rank: `rank of ${inText(model.get("tracked").token)}, log scale` }[by] ?? "nats";
    /** @param {number | undefined} value */
    const format = (value) => (by === "probability" ? percent(value) : number(value, by === "rank" ? RANK_DIGITS : 3));
    color.draw(by);
    legend.draw(gradient(scale), format(range?.[0]), format(range?.[1]), unit);
  }

  function drawMarks() {
    grid.mark(data.at(model.get("cell")), new Set(model.get("positions").map((position) => position - data.start)));
    drawPointed();
  }

  function drawPointed() {
    top.drawLines(pointed);
    const at = pointed ?? data.at(model.get("cell"));
    readout.textContent = at ? describe(...at) : "Point at a cell to read its values; press it to select. In the grid, arrow keys move, Enter selects and Ctrl+C copies.";
  }

  /** @param {number} row @param {number} column */
  function describe(row, column) {
    const { token, id, probability } = data.entry(row, column, 0);
    const tracked = model.get("tracked");
    const rank = data.value("rank", row, column);
    return [
      `layer ${data.layerName(row)}, position ${data.start + column}`,
      `${quoted(token)} (id ${id}) ${percent(probability)}`,
      `entropy ${number(data.value("entropy", row, column))} nats`,
      `KL ${number(data.value("kl", row, column))} nats`,
      known(rank) && tracked.token_id >= 0 ? `rank of ${quoted(tracked.token)} ${number(rank, RANK_DIGITS)}` : "",
      data.line(data.start + column, id) ? "" : "no line stored for this token",
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

  /** @param {number[]} positions */
  function selectTokens(positions) {
    save(model, { positions });
    pager.reach(positions.at(-1));
  }

  /** The token whose rank colours the grid: chosen by typing it. */
  function createTracker() {
    const input = h("input", { type: "text", size: 9, spellcheck: "false", autocomplete: "off" });
    let shown = "";
    const element = h("label", { class: "iw-field iw-track" }, h("span", { class: "iw-label" }, "of"), input);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") input.value = shown;
      if (event.key !== "Enter" || event.isComposing || !input.value || !model.get("live")) return;
      model.send({ type: "track", text: input.value });
      save(model, { color: "rank" });
    }, { signal });
    const draw = () => {
      const { token, token_id: id } = model.get("tracked");
      if (input.value === shown) input.value = token;
      shown = token;
      setAttributes(input, { readonly: !model.get("live"), "aria-label": "Token whose rank colours the grid",
        title: model.get("live") ? `Token whose rank colours the grid${id < 0 ? "" : `: ${quoted(token)}, id ${id}`}. Enter chooses.` : "Needs a running kernel" });
    };
    return { element, draw };
  }

  follow(model, signal, [
    [() => { data = readLens(model); pointed = null; }, DATA],
    [drawEmpty, ["tokens", "status"]],
    [drawStrip, ["tokens", "token_ids", "masked", "window", "positions", "live"]],
    [drawGrid, [...DATA, "tokens", "masked", "color", "scales", "tracked"]],
    [track.draw, ["tracked", "live"]],
    [drawMarks, [...DATA, "cell", "positions", "pins", "tracked"]],
    [top.drawPins, [...DATA, "pins", "live"]],
    [top.drawTop, [...DATA, "cell", "pins", "live"]],
  ]);
}

export default { render };
