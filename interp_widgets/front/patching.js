/** Activation patching: two aligned prompts, their baselines, and a grid of effects for each kind of site. */

import { DIVERGING, gradient, place, styleAt } from "./color.js";
import { createChecks, createChoice, createLegend, createTabs } from "./controls.js";
import { follow, h, save, setAttributes, uniqueId } from "./dom.js";
import { createGrid } from "./grid.js";
import { createPanel, showResults } from "./head.js";
import { quoted, visible } from "./numbers.js";
import { createCellView, formatOf } from "./patching_cell.js";
import { METRICS, readPatching, SITE_NAMES, STATES } from "./patching_data.js";
import { createHistory } from "./patching_history.js";
import { createPromptPair } from "./patching_prompts.js";

const DATA = ["clean_tokens", "corrupt_tokens", "direction", "alignment", "unaffected", "sites", "layers", "logit_difference", "estimate", "probability",
  "recovery", "vocabulary", "vocabulary_ids", "top_k", "top_index", "top_probability"];

/** @param {import("@anywidget/types").RenderProps<import("./patching_data.js").PatchingState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Patching", fields: [
    { trait: "clean", label: "Clean" }, { trait: "corrupt", label: "Corrupt" },
    { trait: "answer", label: "Answer", short: true }, { trait: "foil", label: "Foil", short: true }] });
  let data = readPatching(model);
  /** @type {[number, number] | null} */
  let pointed = null;
  /** The cell whose activation waits to be put elsewhere. @type {(string | number)[] | null} */
  let moving = null;

  const empty = h("p", { class: "iw-empty" });
  const history = createHistory(model, signal);
  const prompts = createPromptPair(model, signal);
  const checks = createChecks();
  const panelId = uniqueId();
  const tabs = createTabs("Kind of site", signal, (site) => save(model, { site }));
  const direction = createChoice({ legend: "Patch", options: [["denoise", "clean into corrupt"], ["noise", "corrupt into clean"]], signal,
    onChoose: (value) => { model.send({ type: "turn", direction: value }); direction.draw(model.get("direction")); } });
  const metric = createChoice({ legend: "Effect on", options: METRICS, signal, onChoose: (value) => save(model, { metric: value }) });
  const legend = createLegend();
  const grid = createGrid({ label: "Effect of patching each layer and position", corner: "layer", signal, onSelect: selectCell, onHover: point,
    onDrag: drag, tell: describe });
  const readout = h("p", { class: "iw-readout" });
  const view = createCellView(model, signal, {
    onMove: () => { moving = [...model.get("cell")]; drawReadout(); },
    onPutBack: () => save(model, { origin: [] }) });
  const sitePanel = h("div", { id: panelId, role: "tabpanel" }, grid.element);
  const main = h("div", { class: "iw-main" }, tabs.element, h("div", { class: "iw-tools" }, metric.element, legend.element), sitePanel, readout, checks.element);
  const results = h("div", { class: "iw-results" }, h("div", { class: "iw-tools" }, history.element, direction.element), prompts.element,
    h("div", { class: "iw-columns" }, main, h("div", { class: "iw-side" }, view.element)));
  body.append(empty, results);

  const site = () => model.get("site") || model.get("sites")[0] || "";

  function drawEmpty() {
    showResults(model, results, empty, !model.get("corrupt_tokens").length, "Type two prompts that differ in what matters, the answer and a foil, and run: the grid shows where patching the clean run into the corrupt one brings the answer back.");
  }

  function drawGrid() {
    const [tokens, by, shown] = [data.tokens, model.get("metric"), site()];
    const most = model.get("scales")[by];
    const format = formatOf(by);
    main.style.setProperty("--iw-main-columns", String(data.columns.length));
    grid.draw({
      rows: data.layers.map((layer) => ({ text: String(layer) })),
      columns: data.columns.map(([first, last]) => (first < last
        ? { text: `${first}–${last}`, title: `Positions ${first} to ${last}: ${STATES.unaffected[1]}`, state: "unaffected" }
        : { text: visible(tokens[first]), title: `${first}: ${quoted(tokens[first])}`,
          state: data.unaffected.has(first) ? "unaffected" : data.partner.has(first) ? undefined : "unaligned" })),
      cell: (row, column) => {
        const position = data.columns[column][0];
        const state = data.state(by, shown, row, position);
        if (state === "estimated") {
          const guess = data.estimate(shown, row, position);
          return { text: `≈${format(guess)}`, title: STATES.estimated[1], state, style: styleAt(DIVERGING, place(guess, [-most, most])) };
        }
        if (state) return { text: STATES[state][0], title: STATES[state][1], state };
        const value = data.value(by, shown, row, position);
        return { text: format(value), style: styleAt(DIVERGING, place(value, most > 0 ? [-most, most] : undefined)) };
      },
    });
    tabs.draw(model.get("sites").map((each) => [each, SITE_NAMES[each] ?? each]), shown, panelId);
    setAttributes(sitePanel, { "aria-label": SITE_NAMES[shown] ?? shown });
    metric.draw(by);
    direction.draw(model.get("direction"));
    direction.element.toggleAttribute("disabled", !model.get("live"));
    const what = by === "recovery" ? `1 is the ${data.source} run, 0 the ${data.patched} one` : `patched minus ${data.patched}`;
    const note = by === "logit_difference" && data.estimated ? `${what} · ≈ estimated` : what;
    legend.draw(gradient(DIVERGING), format(most === undefined ? NaN : -most), format(most), note);
  }

  function drawMarks() {
    const at = selected();
    grid.mark(at && [at[0], data.columnOf(at[1])], new Set(model.get("positions").map(data.columnOf)));
    const special = model.get("origin").length || model.get("frozen").length;
    grid.shade(at && special ? (row) => data.reaches(site(), at[0], row) : null, at ? data.columnOf(at[1]) : 0);
    drawReadout();
    view.draw(data, site(), at);
  }

  /** Grid row and position of the selected cell, if this grid shows it. @returns {[number, number] | null} */
  function selected() {
    const [of, layer, position] = model.get("cell");
    const row = data.layers.indexOf(Number(layer));
    return of === site() && row >= 0 && Number(position) < data.width ? [row, Number(position)] : null;
  }

  function drawReadout() {
    const at = selected();
    readout.toggleAttribute("data-asks", !!moving);
    readout.textContent = moving ? `Press the cell that the activation of layer ${moving[1]}, position ${moving[2]} goes into, or Escape.`
      : pointed ? describe(...pointed) : at ? describe(at[0], data.columnOf(at[1]))
        : "Point at a cell to read its effect; press it to compare predictions. Arrow keys move, Enter selects, Ctrl+C copies.";
  }

  /** @param {number} row @param {number} column */
  function describe(row, column) {
    const [position, last] = data.columns[column] ?? [column, column];
    if (position < last) return `Layer ${data.layers[row]}, positions ${position} to ${last} · ${STATES.unaffected[1]}`;
    const [by, shown] = [model.get("metric"), site()];
    const state = data.state(by, shown, row, position);
    const partner = data.partner.get(position);
    const format = formatOf(by);
    return [
      `${SITE_NAMES[shown] ?? shown}, layer ${data.layers[row]}, position ${position} ${quoted(data.tokens[position] ?? "")}`,
      partner === undefined ? "" : `${data.source} position ${partner} ${quoted(data.others[partner] ?? "")}`,
      state === "estimated" ? `logit difference ≈${format(data.estimate(shown, row, position))}` : "",
      state ? STATES[state][1] : `${METRICS.find(([key]) => key === by)?.[1]} ${format(data.value(by, shown, row, position))}`,
    ].filter(Boolean).join(" · ");
  }

  /** @param {[number, number] | null} at */
  function point(at) {
    pointed = at;
    drawReadout();
  }

  /** The cell at a grid row and column, unless several positions share the column. @param {number} row @param {number} column @returns {(string | number)[] | null} */
  function cellAt(row, column) {
    const [position, last] = data.columns[column];
    return position < last ? null : [site(), data.layers[row], position];
  }

  /** @param {number} row @param {number} column */
  function selectCell(row, column) {
    const cell = cellAt(row, column);
    if (cell && moving) {
      put(moving, cell);
    } else if (cell) {
      save(model, String(model.get("cell")) === String(cell) ? { cell: [], origin: [] } : { cell, origin: [], positions: [cell[2]] });
    } else if (!moving) { // nothing to compare there: the positions are selected, and no cell
      const [position, last] = data.columns[column];
      save(model, { cell: [], origin: [], positions: Array.from({ length: last - position + 1 }, (_, i) => position + i) });
    }
  }

  /** Put the activation of one cell into another one. @param {(string | number)[]} origin @param {(string | number)[]} cell */
  function put(origin, cell) {
    moving = null;
    save(model, { cell, origin: String(origin) === String(cell) ? [] : origin, positions: [cell[2]] });
    drawReadout();
  }

  /** @param {[number, number]} from @param {[number, number]} to */
  function drag(from, to) {
    const [origin, cell] = [cellAt(...from), cellAt(...to)];
    if (origin && cell && model.get("live")) put(origin, cell);
  }

  body.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !moving) return;
    moving = null;
    drawReadout();
  }, { signal });

  follow(model, signal, [
    [() => { data = readPatching(model); }, DATA],
    [drawEmpty, ["corrupt_tokens", "status"]],
    [history.draw, ["history", "history_at", "live"]],
    [prompts.draw, ["clean_tokens", "corrupt_tokens", "clean_ids", "corrupt_ids", "alignment", "alignment_note", "direction", "live"]],
    [prompts.drawSelected, ["positions", "frozen"]],
    [view.drawBaselines, ["baselines"]],
    [() => checks.draw(model.get("checks")), ["checks"]],
    [drawGrid, [...DATA, "site", "metric", "scales", "live"]],
    [drawMarks, [...DATA, "site", "metric", "cell", "origin", "frozen", "patch", "positions", "baselines", "live"]],
  ]);
}

export default { render };
