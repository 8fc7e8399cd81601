/** A feature circuit: tokens across, the forward pass upwards; what carries the answer, and what is left without it. */

import { createCard } from "./atoms_card.js";
import { createCircuitCurve } from "./circuit_curve.js";
import { KIND, NODES, readCircuit, readShown } from "./circuit_data.js";
import { ZOOM_STEP } from "./circuit_gestures.js";
import { createGraph } from "./circuit_graph.js";
import { createNodeList } from "./circuit_list.js";
import { createNodeView } from "./circuit_node.js";
import { CURVE, readStops, stopAt } from "./circuit_stops.js";
import { createHeatStrip } from "./circuit_strip.js";
import { createPrediction } from "./circuit_switches.js";
import { createThresholds } from "./circuit_thresholds.js";
import { DIVERGING, gradient } from "./color.js";
import { button, createChoice, createLegend } from "./controls.js";
import { follow, h, s, save, setAttributes } from "./dom.js";
import { createPanel, showResults } from "./head.js";
import { change, count, known, number } from "./numbers.js";

/** @type {[string, string][]} */
const METHODS = [["attribution", "attribution"], ["integrated_gradients", "integrated gradients"], ["exact", "exact"]];
const FIELDS = [{ trait: "clean", label: "Clean" }, { trait: "corrupt", label: "Corrupt" },
  { trait: "answer", label: "Answer", short: true, hint: "One token, or several with a bar between" }, { trait: "foil", label: "Foil", short: true, hint: "One token, or several with a bar between" }];
const SHOWN = [...NODES, ...CURVE, "size", "edge_threshold", "pinned", "hidden", "total", "summed"];
const SELECTED = ["selected", "labels", "switches"];

/** @param {import("@anywidget/types").RenderProps<import("./circuit_data.js").CircuitState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Circuit", fields: FIELDS, runs: model.get("has_model"),
    detail: () => [model.get("dictionaries"), model.get("metric")].filter(Boolean).join(" · "), detailTraits: ["dictionaries", "metric"] });
  let data = readCircuit(model);
  let stops = readStops(model, data);
  let at = stopAt(stops, model.get("size"));
  let shown = readShown(model, data, data.count);

  const now = () => ({ data, stops, at, shown, chosen: chosen() });
  const empty = h("p", { class: "iw-empty" });
  const method = createChoice({ legend: "Effects by", options: METHODS, signal,
    onChoose: (name) => { model.send({ type: "method", method: name }); method.draw(model.get("method")); } });
  const strip = createHeatStrip({ signal, onSelect: showCell });
  const graph = createGraph({ signal, onSelect: select, onPoint: (thing) => node.draw(thing), tell, onMove: strip.look });
  const list = createNodeList(signal, select);
  const legend = createLegend();
  const kinds = h("ul", { class: "iw-curve-legend", "aria-label": "Kinds of nodes" });
  const zooms = [button("−", signal, () => graph.zoom(1 / ZOOM_STEP), { class: "iw-button iw-small", "aria-label": "Zoom out" }),
    button("+", signal, () => graph.zoom(ZOOM_STEP), { class: "iw-button iw-small", "aria-label": "Zoom in" }),
    button("Fit", signal, graph.fit, { class: "iw-button iw-small", title: "Show the whole graph" })];
  const asList = button("As a list", signal, () => save(model, { listed: !model.get("listed") }), { class: "iw-button iw-small", title: "The shown nodes as a table" });
  const nothing = h("p", { class: "iw-invite" }, "No node is shown at these thresholds.");
  const thresholds = createThresholds(model, signal, now);
  const curve = createCircuitCurve(signal, (nodes) => save(model, { size: nodes }), (name) => model.send({ type: "compare", name }));
  const node = createNodeView(model, signal, now, select);
  const prediction = createPrediction(model, signal, () => data);
  const card = createCard(signal, { choose: chooseAtom, pin: () => {}, send: (message) => model.send(message) });
  const results = h("div", { class: "iw-results" },
    h("div", { class: "iw-columns" },
      h("div", { class: "iw-main" }, method.element, strip.element, thresholds.element, h("div", { class: "iw-tools iw-graph-tools" }, ...zooms, asList, kinds, legend.element), graph.element, list.element, nothing),
      h("div", { class: "iw-side" }, h("div", { class: "iw-parts" }, curve.element, prediction.element, node.element))),
    card.element);
  body.append(empty, results);

  /** The things that are selected. */
  const chosen = () => [...new Set(model.get("selected").map(data.thing))].filter((thing) => thing >= 0);

  /** @param {number} thing  -1 for none @param {boolean} more */
  function select(thing, more) {
    const before = model.get("selected");
    const names = thing < 0 ? [] : data.namesOf(thing);
    const has = names.every((name) => before.includes(name));
    const others = before.filter((name) => !names.includes(name));
    if (thing < 0) return more ? undefined : save(model, { selected: [] });
    const selected = more ? (has ? others : [...others, ...names]) : has && !others.length ? [] : names;
    save(model, model.get("summed") || !selected.length ? { selected } : { selected, positions: [data.column[thing]] });
  }

  /** Another atom of the same dictionary at the same token. @param {number} atom */
  function sibling(atom) {
    const last = data.index.get(model.get("selected").at(-1) ?? "") ?? -1;
    return last < 0 ? -1 : data.names.findIndex((_, i) => data.atom[i] === atom && data.row[i] === data.row[last] && data.column[i] === data.column[last]);
  }

  /** @param {number} atom */
  function chooseAtom(atom) {
    const i = sibling(atom);
    if (i >= 0) save(model, { selected: [data.names[i]] });
  }

  /** @param {number} column @param {number} row */
  function showCell(column, row) {
    save(model, model.get("summed") ? { listed: false } : { listed: false, positions: [column] });
    drawGraph(); // now, not with the next frame: it is moved
    graph.show(column, row);
  }

  /** @param {number} thing */
  function tell(thing) {
    const [low, high] = data.interval(thing);
    const effect = known(data.effect[thing]) ? `, ${model.get("measure")} ${change(data.effect[thing])}${known(low) && known(high) ? ` [${number(low, 2)}, ${number(high, 2)}]` : ""}` : "";
    return `${data.full(thing)}${effect}`;
  }

  function read() {
    data = readCircuit(model);
    stops = readStops(model, data);
  }

  function readThresholds() {
    at = stopAt(stops, model.get("size"));
    shown = readShown(model, data, stops[at]?.prefix ?? data.count);
  }

  function drawGraph() {
    const [none, listed] = [!shown.things.length, model.get("listed")];
    nothing.hidden = !none;
    graph.element.hidden = none || listed;
    list.element.hidden = none || !listed;
    for (const each of [...zooms, kinds]) each.hidden = listed;
    setAttributes(asList, { "aria-pressed": String(listed) });
    drawLegend();
    if (listed) return list.draw(model, data, shown, chosen());
    const off = new Set(Object.keys(model.get("switches")).map(data.thing));
    const named = new Set([...model.get("pinned").map(data.thing), ...shown.things.filter((thing) => data.isGroup(thing) || data.kind[thing] === KIND.logit)]);
    graph.draw({ data, shown, named, off, positions: model.get("positions") }, {
      corrupt: model.get("corrupt_tokens"), variants: model.get("variants"),
      label: `Graph of ${count(shown.things.length)} nodes and ${count(shown.edges.length)} edges. Arrow keys go from node to node, Enter selects; plus, minus and 0 zoom, Shift and arrow keys move it.`,
    });
    graph.select(chosen());
  }

  function drawLegend() {
    const signs = data.effect.some((value) => value < 0);
    legend.draw(gradient(signs ? DIVERGING : DIVERGING.slice(64)), signs ? number(-data.largest, 2) : "0", change(data.largest), model.get("measure"));
    const there = [KIND.atom, KIND.error, KIND.embedding, KIND.logit, KIND.group].filter((kind) => data.kind.includes(kind));
    kinds.replaceChildren(...there.map((kind) => h("li", {}, s("svg", { class: "iw-kind", viewBox: "0 0 12 12", "aria-hidden": "true" }, s("path", { d: FORMS[kind] })), NAMES[kind])));
  }

  function drawCard() {
    const name = model.get("selected").at(-1) ?? "";
    const i = data.index.get(name) ?? -1;
    const stored = model.get("cards")[name];
    const wanted = i >= 0 && data.groupOf[i] < 0 && (stored || (data.kind[i] === KIND.atom && data.atom[i] >= 0 && model.get("has_model")));
    card.draw(!wanted ? null : {
      title: data.full(i), card: stored, live: model.get("live"), tokens: model.get("tokens"), position: model.get("summed") ? undefined : data.column[i],
      value: data.activations(i)[0], pinned: null, corpus: model.get("corpus_state"), within: (atom) => sibling(atom) >= 0,
    });
  }

  follow(model, signal, [
    [read, [...NODES, ...CURVE, "summed"]],
    [readThresholds, SHOWN],
    [() => showResults(model, results, empty, !data.count, model.get("has_model") ? "Type a clean and a corrupt prompt and the answer above, and run it: the nodes that carry the answer appear here." : "The graph has no nodes."), [...NODES, "status"]],
    [() => { method.offer(model.get("methods")); method.draw(model.get("method")); }, ["method", "methods"]],
    [() => strip.draw(model, data), [...NODES, "strip", "measure"]],
    [thresholds.draw, [...SHOWN, "edged", "total_edges", "has_model", "measure", "live"]],
    [drawGraph, [...SHOWN, ...SELECTED, "listed", "positions", "corrupt_tokens", "variants", "measure"]],
    [() => curve.draw(model, stops[at]), [...CURVE, ...NODES, "size", "ends", "metric", "has_model", "live"]],
    [() => node.draw(-1), [...SHOWN, ...SELECTED, "activation", "corrupt_activation", "measure", "has_model", "live"]],
    [prediction.draw, ["prediction", "mean_change", "prompt", "prompt_texts", "metric", "switches", "labels", "has_model", "live", ...NODES]],
    [drawCard, ["selected", "cards", "corpus_state", "has_model", "live", ...NODES]],
  ]);
}

/** The forms of the kinds, for the legend. @type {Record<number, string>} */
const FORMS = { 0: "M6 1a5 5 0 1 0 .01 0z", 1: "M6 1l5.4 9.6H.6z", 2: "M1.5 1.5h9v9h-9z", 3: "M.5 3.2q0-1.2 1.2-1.2h8.6q1.2 0 1.2 1.2v5.6q0 1.2-1.2 1.2H1.7q-1.2 0-1.2-1.2z", 5: "M.5 3.2q0-1.2 1.2-1.2h8.6q1.2 0 1.2 1.2v5.6q0 1.2-1.2 1.2H1.7q-1.2 0-1.2-1.2zM3 4.5h6M3 7.5h6" };
/** @type {Record<number, string>} */
const NAMES = { 0: "atom", 1: "error", 2: "embedding", 3: "answer", 5: "group" };

export default { render };
