/** Activation patching: two aligned prompts, their baselines, and a grid of effects for each kind of site. */

import { DIVERGING, gradient, place, styleAt } from "./color.js";
import { createChoice, createLegend, createTabs } from "./controls.js";
import { follow, h, save, setAttributes, uniqueId } from "./dom.js";
import { createGrid } from "./grid.js";
import { createPanel, isRunning } from "./head.js";
import { number, percent, quoted, signed, visible } from "./numbers.js";
import { METRICS, readPatching } from "./patching_data.js";
import { createPromptPair } from "./patching_prompts.js";

const DATA = ["corrupt_tokens", "alignment", "unaffected", "sites", "layers", "logit_difference", "estimate", "probability", "recovery",
  "vocabulary", "vocabulary_ids", "top_k", "top_index", "top_probability"];

/** @type {Record<string, string>} */
const SITE_NAMES = { resid_pre: "Residual stream (before)", resid_mid: "Residual stream (middle)", resid_post: "Residual stream",
  attn_out: "Attention output", mlp_out: "MLP output" };

/** @type {Record<string, [text: string, why: string]>} */
const STATES = {
  pending: ["", "not computed yet"],
  estimated: ["≈", "estimated by attribution patching, not computed yet: the right region, not the right size"],
  unaligned: ["", "not paired with a clean token, so not patched"],
  unaffected: ["0", "same in both prompts up to here: 0 by causality, not computed"],
  undefined: ["–", "not defined: clean and corrupt do not differ in logit difference"],
};

/** @param {import("@anywidget/types").RenderProps<import("./patching_data.js").PatchingState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Patching", fields: [
    { trait: "clean", label: "Clean" }, { trait: "corrupt", label: "Corrupt" },
    { trait: "answer", label: "Answer", short: true }, { trait: "foil", label: "Foil", short: true }] });
  let data = readPatching(model);
  /** @type {[number, number] | null} */
  let pointed = null;

  const empty = h("p", { class: "iw-empty" });
  const prompts = createPromptPair(model, signal);
  const baselines = h("table", { class: "iw-table" });
  const identity = h("p", { class: "iw-identity" });
  const panelId = uniqueId();
  const tabs = createTabs("Kind of site", signal, (site) => save(model, { site }));
  const metric = createChoice({ legend: "Effect on", options: METRICS, signal, onChoose: (value) => save(model, { metric: value }) });
  const legend = createLegend();
  const grid = createGrid({ label: "Effect of patching each layer and position", corner: "layer", signal, onSelect: selectCell, onHover: point,
    tell: describe });
  const readout = h("p", { class: "iw-readout" });
  const values = h("div", { class: "iw-cell-values" });
  const detail = h("div", { class: "iw-detail" });
  const sitePanel = h("div", { id: panelId, role: "tabpanel" }, grid.element);
  const main = h("div", { class: "iw-main" }, tabs.element, h("div", { class: "iw-tools" }, metric.element, legend.element), sitePanel, readout, identity);
  const side = h("div", { class: "iw-parts" }, h("div", { class: "iw-part" }, h("h3", {}, "Without patching"), baselines, values), detail);
  const results = h("div", { class: "iw-results" }, prompts.element,
    h("div", { class: "iw-columns" }, main, h("div", { class: "iw-side" }, side)));
  body.append(empty, results);

  const site = () => model.get("site") || model.get("sites")[0] || "";

  function drawEmpty() {
    const nothing = !model.get("corrupt_tokens").length;
    const running = isRunning(model);
    results.hidden = nothing;
    empty.hidden = !nothing;
    empty.textContent = running ? "" : "Type two prompts that differ in what matters, the answer and a foil, and run: the grid shows where patching the clean run into the corrupt one brings the answer back.";
    empty.toggleAttribute("data-loading", running);
  }

  function drawBaselines() {
    const { clean, corrupt } = model.get("baselines");
    /** @param {string} name @param {string} a @param {string} b */
    const row = (name, a, b) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, a), h("td", {}, b));
    baselines.replaceChildren(
      h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "clean"), h("th", { scope: "col" }, "corrupt"))),
      h("tbody", {}, row("logit difference", signed(clean?.logit_difference), signed(corrupt?.logit_difference)),
        row("P(answer)", percent(clean?.probability), percent(corrupt?.probability))));
  }

  function drawIdentity() {
    const { cells, largest, tolerance, passed } = model.get("identity");
    identity.hidden = cells === undefined;
    setAttributes(identity, { role: passed ? null : "alert", "data-passed": passed });
    identity.textContent = passed
      ? `✓ identity check: largest change ${number(largest, 2)} over ${cells} cells (tolerance ${number(tolerance, 2)})`
      : `Patching a run with its own activations changed the result by ${number(largest, 2)} (tolerance ${number(tolerance, 2)}): do not trust this grid.`;
  }

  function drawGrid() {
    const [tokens, by, shown] = [model.get("corrupt_tokens"), model.get("metric"), site()];
    const most = model.get("scales")[by];
    const format = by === "probability" ? signedPercent : signed;
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
    sitePanel.setAttribute("aria-label", SITE_NAMES[shown] ?? shown);
    metric.draw(by);
    const what = by === "recovery" ? "1 is the clean run, 0 the corrupt one" : "patched minus corrupt";
    const note = by === "logit_difference" && data.estimated ? `${what} · ≈ estimated` : what;
    legend.draw(gradient(DIVERGING), format(most === undefined ? NaN : -most), format(most), note);
  }

  function drawMarks() {
    const at = selected();
    grid.mark(at && [at[0], data.columnOf(at[1])], new Set(model.get("positions").map(data.columnOf)));
    drawReadout();
    drawDetail(at);
  }

  /** Grid row and position of the selected cell, if this grid shows it. @returns {[number, number] | null} */
  function selected() {
    const [of, layer, position] = model.get("cell");
    const row = data.layers.indexOf(Number(layer));
    return of === site() && row >= 0 && Number(position) < data.width ? [row, Number(position)] : null;
  }

  function drawReadout() {
    const at = selected();
    readout.textContent = pointed ? describe(...pointed) : at ? describe(at[0], data.columnOf(at[1]))
      : "Point at a cell to read its effect; press it to compare predictions. Arrow keys move, Enter selects, Ctrl+C copies.";
  }

  /** @param {number} row @param {number} column */
  function describe(row, column) {
    const [position, last] = data.columns[column] ?? [column, column];
    if (position < last) return `Layer ${data.layers[row]}, positions ${position} to ${last} · ${STATES.unaffected[1]}`;
    const [by, shown] = [model.get("metric"), site()];
    const state = data.state(by, shown, row, position);
    const partner = data.partner.get(position);
    const format = by === "probability" ? signedPercent : signed;
    return [
      `${SITE_NAMES[shown] ?? shown}, layer ${data.layers[row]}, position ${position} ${quoted(model.get("corrupt_tokens")[position] ?? "")}`,
      partner === undefined ? "" : `clean position ${partner} ${quoted(model.get("clean_tokens")[partner] ?? "")}`,
      state === "estimated" ? `logit difference ≈${format(data.estimate(shown, row, position))}` : "",
      state ? STATES[state][1] : `${METRICS.find(([key]) => key === by)?.[1]} ${format(data.value(by, shown, row, position))}`,
    ].filter(Boolean).join(" · ");
  }

  /** The selected cell: every metric, and what is predicted with and without the patch. @param {[number, number] | null} at */
  function drawDetail(at) {
    const { clean, corrupt } = model.get("baselines");
    const shown = site();
    const patched = at ? data.predictions(shown, ...at) : [];
    const numbers = at && METRICS.map(([by, label]) => {
      const state = data.state(by, shown, ...at);
      const value = data.value(by, shown, ...at);
      if (state === "estimated") return [label, `≈${signed(data.estimate(shown, ...at))}`];
      return [label, state ? STATES[state][0] || STATES[state][1] : by === "probability" ? signedPercent(value) : signed(value)];
    });
    values.replaceChildren(...(at && numbers ? [h("h3", {}, `Effect of patching layer ${data.layers[at[0]]}, position ${at[1]}`),
      h("dl", { class: "iw-values" }, ...numbers.flatMap(([label, text]) => [h("dt", {}, label), h("dd", {}, text)]))] : []));
    detail.replaceChildren(
      h("h3", {}, "Likeliest next tokens"),
      h("div", { class: "iw-predictions" }, predictions("clean", clean?.top ?? []),
        ...(at ? [predictions("patched", patched)] : []), predictions("corrupt", corrupt?.top ?? [])));
  }

  /** @param {[number, number] | null} at */
  function point(at) {
    pointed = at;
    drawReadout();
  }

  /** @param {number} row @param {number} column */
  function selectCell(row, column) {
    const [position, last] = data.columns[column];
    if (position < last) { // nothing to compare there: the positions are selected, and no cell
      save(model, { cell: [], positions: Array.from({ length: last - position + 1 }, (_, i) => position + i) });
      return;
    }
    const cell = [site(), data.layers[row], position];
    save(model, String(model.get("cell")) === String(cell) ? { cell: [] } : { cell, positions: [position] });
  }

  follow(model, signal, [
    [() => { data = readPatching(model); }, DATA],
    [drawEmpty, ["corrupt_tokens", "status"]],
    [prompts.draw, ["clean_tokens", "corrupt_tokens", "clean_ids", "corrupt_ids", "alignment", "alignment_note", "live"]],
    [prompts.drawSelected, ["positions"]],
    [drawBaselines, ["baselines"]],
    [drawIdentity, ["identity"]],
    [drawGrid, [...DATA, "site", "metric", "scales"]],
    [drawMarks, [...DATA, "site", "metric", "cell", "positions", "baselines"]],
  ]);
}

/** @param {number | undefined} value */
const signedPercent = (value) => (value === undefined || Number.isNaN(value) ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${percent(Math.abs(value))}`);

/** @param {string} name @param {import("./patching_data.js").Prediction[]} top */
function predictions(name, top) {
  return h("div", {}, h("h4", {}, name), h("ol", { "aria-label": `Likeliest next tokens, ${name}` }, ...top.map(({ token, token_id: id, probability }) =>
    h("li", { title: `${quoted(token)}, id ${id}` }, h("span", { class: "iw-entry-token" }, visible(token)), h("span", { class: "iw-number" }, percent(probability))))));
}

export default { render };
