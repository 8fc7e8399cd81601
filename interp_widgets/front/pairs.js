/** Patching over many pairs: a grid of means, hatched where they may be zero, and each cell pair by pair. */

import { DIVERGING, gradient, place, styleAt } from "./color.js";
import { createChecks, createChoice, createLegend, createTabs } from "./controls.js";
import { follow, h, save, setAttributes, uniqueId } from "./dom.js";
import { createGrid } from "./grid.js";
import { createPanel, showResults } from "./head.js";
import { inText, number, quoted } from "./numbers.js";
import { createDots } from "./pairs_dots.js";
import { readPairs } from "./pairs_data.js";
import { formatOf } from "./patching_cell.js";
import { METRICS, SITE_NAMES } from "./patching_data.js";

const DATA = ["pairs", "columns", "sites", "layers", "mean", "low", "high", "p", "q", "baseline"];

/** @param {import("@anywidget/types").RenderProps<import("./pairs_data.js").PairsState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Patching pairs", fields: [],
    detail: () => `${model.get("pairs").length} pairs`, detailTraits: ["pairs"] });
  let data = readPairs(model);
  /** @type {[number, number] | null} */
  let pointed = null;
  /** @type {number | null} */
  let pointedPair = null;

  const empty = h("p", { class: "iw-empty" });
  const panelId = uniqueId();
  const summary = h("p", { class: "iw-quiet iw-of-pairs" });
  const tabs = createTabs("Kind of site", signal, (site) => save(model, { site }));
  const metric = createChoice({ legend: "Mean of", options: METRICS, signal, onChoose: (value) => save(model, { metric: value }) });
  const legend = createLegend();
  const grid = createGrid({ label: "Mean effect of patching each layer and position", corner: "layer", signal, onSelect: selectCell,
    onHover: (at) => { pointed = at; drawReadout(); }, tell: describe });
  const readout = h("p", { class: "iw-readout" });
  const checks = createChecks();
  const dots = createDots({ signal, onSelect: (pair) => save(model, { pair: model.get("pair") === pair ? -1 : pair }),
    onPoint: (pair) => { pointedPair = pair; drawPair(); } });
  const heading = h("h3");
  const numbers = h("dl", { class: "iw-values" });
  const invite = h("p", { class: "iw-invite" }, "Press a cell to see it pair by pair.");
  const one = h("div", { class: "iw-part" });
  const detail = h("div", { class: "iw-part" }, heading, numbers, dots.element);
  const sitePanel = h("div", { id: panelId, role: "tabpanel" }, grid.element);
  const results = h("div", { class: "iw-results" }, summary, h("div", { class: "iw-columns" },
    h("div", { class: "iw-main" }, tabs.element, h("div", { class: "iw-tools" }, metric.element, legend.element), sitePanel, readout, checks.element),
    h("div", { class: "iw-side" }, h("div", { class: "iw-parts" }, invite, detail, one))));
  body.append(empty, results);

  const site = () => model.get("site") || model.get("sites")[0] || "";
  const format = () => formatOf(model.get("metric"));

  function drawEmpty() {
    showResults(model, results, empty, !model.get("columns").length, "No pair is patched yet. Press Run.");
  }

  function drawSummary() {
    const [pairs, done, right] = [model.get("pairs").length, model.get("done"), model.get("right")];
    summary.textContent = [
      done < pairs ? `${done} of ${pairs} pairs so far` : `${pairs} pairs`,
      done ? `clean prefers the answer in ${right.clean ?? 0}, corrupt the foil in ${right.corrupt ?? 0}` : "",
      model.get("direction") === "noise" ? "corrupt activations into clean prompts" : "clean activations into corrupt prompts",
    ].filter(Boolean).join(" · ");
  }

  function drawGrid() {
    const [shown, most, show] = [site(), model.get("scale"), format()];
    grid.draw({
      rows: data.layers.map((layer) => ({ text: String(layer) })),
      columns: data.columns.map(({ position, last, token, varies }) => ({
        text: inText(token) + (varies ? "…" : ""),
        title: `${position === last ? `Position ${position}` : `Positions ${position} to ${last}`}: ${quoted(token)}${varies ? ", other words in other pairs" : ""}` })),
      cell: (row, column) => {
        const value = data.value("mean", shown, row, column);
        if (Number.isNaN(value)) return { text: "", state: "pending" };
        return { text: show(value), state: unsure(row, column) ? "unsure" : undefined, style: styleAt(DIVERGING, place(value, [-most, most])) };
      },
    });
    tabs.draw(model.get("sites").map((each) => [each, SITE_NAMES[each] ?? each]), shown, panelId);
    setAttributes(sitePanel, { "aria-label": SITE_NAMES[shown] ?? shown });
    metric.draw(model.get("metric"));
    legend.draw(gradient(DIVERGING), show(-most), show(most), `hatched: may be zero (q ≥ ${model.get("level")})`);
  }

  /** @param {number} row @param {number} column */
  const unsure = (row, column) => !(data.value("q", site(), row, column) < model.get("level"));

  /** Grid row and column of the selected cell. @returns {[number, number] | null} */
  function selected() {
    const [of, layer, position] = model.get("cell");
    const [row, column] = [data.layers.indexOf(Number(layer)), data.columnOf(Number(position))];
    return of === site() && row >= 0 && column >= 0 ? [row, column] : null;
  }

  /** @param {number} row @param {number} column */
  function describe(row, column) {
    const [shown, show] = [site(), format()];
    const { position, last, token } = data.columns[column] ?? { position: 0, last: 0, token: "" };
    const mean = data.value("mean", shown, row, column);
    return [
      `${SITE_NAMES[shown] ?? shown}, layer ${data.layers[row]}, ${position === last ? `position ${position}` : `positions ${position} to ${last}`} ${quoted(token)}`,
      Number.isNaN(mean) ? "not computed, or undefined" : `mean ${show(mean)} [${show(data.value("low", shown, row, column))}, ${show(data.value("high", shown, row, column))}]`,
      Number.isNaN(mean) ? "" : `p ${probability(data.value("p", shown, row, column))}, q ${probability(data.value("q", shown, row, column))}`,
      data.hasBaseline ? `random pair ${show(data.value("baseline", shown, row, column))}` : "",
    ].filter(Boolean).join(" · ");
  }

  function drawReadout() {
    const at = pointed ?? selected();
    readout.textContent = at ? describe(...at) : "Point at a cell to read its interval; press it to see every pair. Arrow keys move, Enter selects, Ctrl+C copies.";
  }

  function drawDetail() {
    const at = selected();
    const [shown, show] = [site(), format()];
    grid.mark(at, new Set(model.get("positions").map(data.columnOf)));
    drawReadout();
    invite.hidden = !!at;
    detail.hidden = !at;
    if (!at) return one.replaceChildren();
    /** @param {"mean" | "low" | "high" | "p" | "q" | "baseline"} name */
    const value = (name) => data.value(name, shown, ...at);
    heading.textContent = `Layer ${data.layers[at[0]]}, position ${data.columns[at[1]].position}, pair by pair`;
    numbers.replaceChildren(...[
      ["mean", show(value("mean"))], ["95% interval", `${show(value("low"))} to ${show(value("high"))}`],
      ["sign-flip p", probability(value("p"))], ["q over all cells", probability(value("q"))],
      ...(data.hasBaseline ? [["from a random pair", show(value("baseline"))]] : []),
    ].flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
    dots.draw(model.get("dots"), { mean: value("mean"), low: value("low"), high: value("high"), baseline: value("baseline"), pair: model.get("pair"), format: show,
      say: (pair, effect) => `pair ${pair}: ${effect === null ? "–" : show(effect)}` });
    drawPair();
  }

  /** The prompts of the pair that is pointed at or selected. */
  function drawPair() {
    const index = pointedPair ?? model.get("pair");
    const pair = model.get("pairs")[index];
    const value = model.get("dots").values?.[index];
    one.replaceChildren(...(pair && selected() ? [h("h3", {}, `Pair ${index}${value == null ? "" : `: ${format()(value)}`}`), h("dl", { class: "iw-said" },
      ...(/** @type {("clean" | "corrupt" | "answer" | "foil")[]} */ (["clean", "corrupt", "answer", "foil"])).flatMap((name) => [h("dt", {}, name), h("dd", {}, pair[name])]))]
      : selected() ? [h("p", { class: "iw-quiet" }, "Point at a dot to read its prompts; press it to keep them.")] : []));
  }

  /** @param {number} row @param {number} column */
  function selectCell(row, column) {
    const { position, last } = data.columns[column];
    const cell = [site(), data.layers[row], position];
    save(model, String(model.get("cell")) === String(cell) ? { cell: [] }
      : { cell, positions: Array.from({ length: last - position + 1 }, (_, i) => position + i) });
  }

  follow(model, signal, [
    [() => { data = readPairs(model); }, DATA],
    [drawEmpty, ["columns", "status"]],
    [drawSummary, ["pairs", "done", "right", "direction"]],
    [() => checks.draw(model.get("checks")), ["checks"]],
    [drawGrid, [...DATA, "site", "metric", "scale", "level"]],
    [drawDetail, [...DATA, "site", "metric", "cell", "positions", "dots", "pair", "live"]],
  ]);
}

/** @param {number} p */
const probability = (p) => (p < 0.001 ? "< 0.001" : number(p, 2));

export default { render };
