/** Attention: every head as a thumbnail; one head as two strips of tokens that answer each other, and as a pattern. */

import { readAttention, SCORES } from "./attention_data.js";
import { createEffect, createRanges } from "./attention_tools.js";
import { createHeads } from "./attention_heads.js";
import { createPattern } from "./attention_pattern.js";
import { gradient, place, SEQUENTIAL, styleAt } from "./color.js";
import { button, createLegend, createSelect, needsKernel } from "./controls.js";
import { follow, h, save, setAttributes } from "./dom.js";
import { createPanel, showResults } from "./head.js";
import { known, number, percent, quoted, signed, visible } from "./numbers.js";
import { createStrip } from "./tokens.js";

const DATA = ["tokens", "layers", "head_count", "scores", "thumbnail", "thumbnails", "loaded", "patterns", "peaks", "valued", "values",
  "value_tops", "value_peaks", "head", "value_weighted", "leave_first", "query_range", "key_range"];

/** @param {import("@anywidget/types").RenderProps<import("./attention_data.js").AttentionState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Attention", fields: [{ trait: "text", label: "Text" }] });
  let data = readAttention(model);
  /** @type {import("./attention_pattern.js").Pointed} */
  let pointed = [null, null];

  const empty = h("p", { class: "iw-empty" });
  const sort = createSelect({ label: "Heads by", options: [["layer", "layer"], ...SCORES], signal, onChoose: (value) => save(model, { sort: value }) });
  const heads = createHeads({ signal, tell: describeHead, onSelect: (index) => save(model, { head: data.at(index) }) });
  const effect = createEffect(model, signal);
  const heading = h("h3");
  const about = h("p", { class: "iw-quiet iw-hint" });
  const missing = h("p", { class: "iw-invite" });
  const weighted = button("Value-weighted", signal, () => save(model, { value_weighted: !model.get("value_weighted") }),
    { class: "iw-button iw-small", title: "Multiply each weight by the length of what its value adds to the stream" });
  const leave = button("Leave out position 0", signal, () => save(model, { leave_first: !model.get("leave_first") }),
    { class: "iw-button iw-small", title: "End the colour scale at the largest weight beside position 0" });
  const legend = createLegend();
  const ranges = createRanges(model, signal, () => data);
  const queryStrip = createStrip({ label: "Queries: the tokens that look", signal, onSelect: (positions) => save(model, { positions }), onHover: (q) => point([q, null]) });
  const keyStrip = createStrip({ label: "Keys: the tokens looked at", signal, onSelect: (positions) => save(model, { key_positions: positions.slice(-1) }), onHover: (k) => point([null, k]) });
  const pattern = createPattern({ signal, onHover: (cell) => point(cell ?? [null, null]), onSelect: selectCell, tell: sentence });
  const readout = h("p", { class: "iw-readout" });
  const shown = h("div", { class: "iw-attention-shown" },
    h("div", { class: "iw-strips" }, h("span", { class: "iw-label" }, "Queries"), queryStrip.element, h("span", { class: "iw-label" }, "Keys"), keyStrip.element),
    readout, pattern.element);
  const results = h("div", { class: "iw-results" }, h("div", { class: "iw-columns" },
    h("div", { class: "iw-main" }, h("div", { class: "iw-tools" }, sort.element), heads.element, effect.element),
    h("div", { class: "iw-side" }, h("div", { class: "iw-part" }, heading, about,
      h("div", { class: "iw-tools" }, weighted, leave, legend.element), ranges.element, missing, shown))));
  body.append(empty, results);

  function drawEmpty() {
    showResults(model, results, empty, !model.get("tokens").length, "Type a text above and run it: the attention pattern of every head appears here.");
  }

  function drawHeads() {
    const by = model.get("sort");
    sort.draw(by);
    heads.draw({
      count: data.layers.length * data.heads, perLayer: data.heads, order: data.order(by), grouped: by === "layer",
      name: (index) => data.at(index).map((n, i) => "LH"[i] + n).join(" "),
      note: (index) => (by === "layer" ? "" : formatScore(by, index)),
    });
  }

  /** @param {string} name @param {number} index */
  function formatScore(name, index) {
    const value = data.score(name, Math.floor(index / data.heads), index % data.heads);
    return name === "effect" ? signed(value) : known(value) ? value.toFixed(2) : number(value);
  }

  /** All scores of a head that are known. @param {number} index */
  function scoresOf(index) {
    return SCORES.filter(([name]) => known(data.score(name, Math.floor(index / data.heads), index % data.heads)))
      .map(([name, label]) => `${label} ${formatScore(name, index)}${name === "entropy" ? " nats" : ""}`).join(" · ");
  }

  /** @param {number} index */
  function describeHead(index) {
    const [layer, head] = data.at(index);
    return `Layer ${layer}, head ${head}: ${scoresOf(index)}`;
  }

  function drawThumbnails() {
    heads.paint(data.size, data.small);
  }

  function drawHead() {
    heads.select(data.index);
    const live = model.get("live");
    heading.textContent = data.index < 0 ? "" : `Layer ${data.layer}, head ${data.head}`;
    about.textContent = data.index < 0 ? "" : scoresOf(data.index);
    missing.hidden = data.ready || live;
    missing.textContent = `The patterns of layer ${data.layer} are not stored in this page: needs a running kernel. The thumbnails and scores of all heads are.`;
    shown.hidden = !data.ready && !live;
    shown.toggleAttribute("data-stale", !data.ready || (model.get("value_weighted") && !data.valued));
    setAttributes(weighted, { "aria-pressed": String(model.get("value_weighted")) });
    setAttributes(leave, { "aria-pressed": String(model.get("leave_first")) });
    needsKernel(weighted, live || model.get("valued") === data.layer);
    legend.draw(gradient(SEQUENTIAL), "0", data.ready ? data.format(data.peak) : "", data.valued ? "weight × |v W_O|" : "of a query's attention");
    ranges.draw();
    if (!data.ready) return;
    const label = `Attention of layer ${data.layer}, head ${data.head}`;
    const content = { tokens: data.tokens, ids: model.get("token_ids") };
    queryStrip.draw({ ...content, masked: [], window: data.queries, note: attendsTo });
    keyStrip.draw({ ...content, masked: [], window: data.keys });
    const scale = 255 / (data.peak || 1);
    pattern.draw({
      label, tokens: data.tokens, queries: data.queries, keys: data.keys, leavesFirst: data.leavesFirst,
      step: (q, k) => (data.leavesFirst && k === 0 ? -1 : Math.min(255, Math.round(data.weight(q, k) * scale))),
    });
    drawPointed();
  }

  /** For those who cannot see the colours. @param {number} q */
  function attendsTo(q) {
    const best = data.largest(q, 3).map(([k, weight]) => `${k} ${quoted(data.tokens[k])} ${data.format(weight)}`);
    return best.length ? `attends most to ${best.join(", ")}` : "sees none of the keys shown";
  }

  /** What the strips show: pointed at, else selected, else the last query. */
  function asked() {
    const [q, k] = [pointed[0] ?? model.get("positions").filter((position) => position < data.tokens.length).at(-1) ?? null, pointed[1] ?? model.get("key_positions")[0] ?? null];
    return /** @type {import("./attention_pattern.js").Pointed} */ ([q ?? (k === null ? data.queries[1] - 1 : null), k]);
  }

  function drawPointed() {
    if (!data.ready) return;
    const [q, k] = asked();
    /** @param {number} weight */
    const style = (weight) => styleAt(SEQUENTIAL, place(weight, [0, data.peak || 1]));
    keyStrip.paint((key) => (q === null || key > q || (data.leavesFirst && key === 0) ? "" : style(data.weight(q, key))), k);
    queryStrip.paint((query) => (k === null || k > query ? "" : style(data.weight(query, k))), q);
    pattern.mark([q, k], model.get("positions"), model.get("key_positions"));
    readout.textContent = sentence(q, k);
  }

  /** @param {number | null} q @param {number | null} k */
  function sentence(q, k) {
    /** @param {number} position */
    const named = (position) => `${position} ${quoted(data.tokens[position])}`;
    /** @param {number} query */
    const part = (query) => (data.keys[1] - data.keys[0] < data.tokens.length ? ` · ${percent(data.sum(query))} on the keys shown` : "");
    const rest = q !== null && pointed.every((each) => each === null) && !model.get("positions").length ? " (the last query; point at a token, press to hold it)" : "";
    if (q !== null && k !== null && k > q) return `Query ${named(q)} comes before key ${named(k)} and cannot see it.`;
    if (q !== null && k !== null) {
      const value = data.valued ? `, times |v W_O| ${data.format(data.weight(q, k))}` : "";
      return `Query ${named(q)} → key ${named(k)}: ${percent(data.plain(q, k))}${value}${part(q)}`;
    }
    if (q !== null) return `Query ${named(q)} ${attendsTo(q)}${part(q)}${rest}`;
    if (k !== null) return `Key ${named(k)}: the queries are coloured by how much they look at it.`;
    return "";
  }

  /** @param {import("./attention_pattern.js").Pointed} at */
  function point(at) {
    if (String(at) === String(pointed)) return;
    pointed = at;
    drawPointed();
  }

  /** @param {number} q @param {number} k */
  function selectCell(q, k) {
    const again = String([model.get("positions"), model.get("key_positions")]) === String([[q], [k]]);
    save(model, again ? { positions: [], key_positions: [] } : { positions: [q], key_positions: [k] });
  }

  function drawMarks() {
    queryStrip.select(model.get("positions"));
    keyStrip.select(model.get("key_positions"));
    drawPointed();
  }

  follow(model, signal, [
    [() => { data = readAttention(model); }, DATA],
    [drawEmpty, ["tokens", "status"]],
    [drawHeads, ["layers", "head_count", "scores", "sort"]],
    [drawThumbnails, ["layers", "head_count", "thumbnail", "thumbnails"]],
    [drawHead, [...DATA, "token_ids", "live"]],
    [drawMarks, [...DATA, "positions", "key_positions"]],
    [effect.draw, ["answer", "foil", "effect_of", "live", "tokens"]],
  ]);
}

export default { render };
