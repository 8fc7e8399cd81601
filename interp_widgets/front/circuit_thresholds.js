/** How much of the graph is shown: a slider over circuits, one over edges, what that circuit carries, and what is hidden. */

import { describeStop, withInterval } from "./circuit_curve.js";
import { button, createChoice, needsKernel } from "./controls.js";
import { h, save, setAttributes } from "./dom.js";
import { count, known, number } from "./numbers.js";

const STEPS_OF_EDGES = 60;
/** @type {[string, string][]} */
const WAYS = [["nodes", "are nodes"], ["kept", "are kept"], ["removed", "are removed"]];

/**
 * @param {import("./circuit_data.js").CircuitModel} model
 * @param {AbortSignal} signal
 * @param {() => { data: import("./circuit_data.js").CircuitData, stops: import("./circuit_stops.js").Stop[], at: number, shown: import("./circuit_data.js").Shown }} now
 */
export function createThresholds(model, signal, now) {
  const nodes = createSlider("Nodes", signal, (step) => save(model, { size: now().stops[step].nodes }));
  const edges = createSlider("Edges", signal, (step) => save(model, { edge_threshold: levels()[step] }));
  const ways = createChoice({ legend: "Errors", options: WAYS, signal, onChoose: (way) => save(model, { way }) });
  const carried = h("dl", { class: "iw-carried" });
  const hidden = h("p", { class: "iw-hint", role: "status" });
  const all = button("Show all", signal, showAll, { class: "iw-button iw-small" });
  const more = button("", signal, () => model.send({ type: "edges", nodes: bound() }), { class: "iw-button iw-small" });
  const element = h("div", { class: "iw-thresholds" }, nodes.element, edges.element,
    h("div", { class: "iw-tools" }, carried, ways.element), h("div", { class: "iw-tools iw-hidden-nodes" }, hidden, all, more));

  /** What the slider of edges can be set to: 0 for all, then up to the heaviest in equal factors. */
  function levels() {
    const { edges: every } = now().data;
    const [most, least] = [Math.abs(every[0]?.weight ?? 0), Math.abs(every[every.length - 1]?.weight ?? 0)];
    return [0, ...(least > 0 && most > least ? Array.from({ length: STEPS_OF_EDGES }, (_, i) => least * (most / least) ** ((i + 1) / STEPS_OF_EDGES)) : [])];
  }

  /** One more than the last node that is shown. */
  const bound = () => {
    const { stops, at, data } = now();
    return Math.max(data.answers, stops[at]?.prefix ?? data.count);
  };

  function showAll() {
    const { stops } = now();
    save(model, { hidden: [], size: stops.at(-1)?.nodes ?? -1, edge_threshold: 0 });
  }

  function draw() {
    const { data, stops, at, shown } = now();
    const stop = stops[at];
    const total = model.get("total");
    nodes.draw(at, Math.max(0, stops.length - 1), amountOf(stop?.nodes ?? 0, total), stop && known(stop.threshold) ? `|${model.get("measure")}| ≥ ${number(stop.threshold, 2)}` : "", stop ? (known(stop.faithfulness) ? describeStop(stop) : `${count(stop.nodes)} nodes`) : "none");
    const [steps, threshold] = [levels(), model.get("edge_threshold")];
    const step = Math.max(0, steps.findLastIndex((each) => each <= threshold * 1.0001));
    edges.element.hidden = !data.edges.length;
    edges.draw(step, steps.length - 1, `${count(shown.edges.length)} of ${count(model.get("total_edges"))}`, threshold ? `|weight| ≥ ${number(threshold, 2)}` : "", `${count(shown.edges.length)} edges`);
    ways.offer(model.get("ways"));
    ways.draw(model.get("way"));
    const measured = stop && known(stop.faithfulness);
    carried.replaceChildren(...(measured ? [["faithfulness", withInterval(stop.faithfulness, stop.interval)], ["completeness", withInterval(stop.completeness, stop.completenessInterval)]]
      : []).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    carried.hidden = !measured;
    const parts = [shown.below && `${count(shown.below)} below the threshold`, shown.hidden && `${count(shown.hidden)} by hand`, shown.errors && `${count(shown.errors)} errors, which are removed`].filter(Boolean);
    const cut = total > data.count - data.answers ? ` The ${count(data.count - data.answers)} strongest of ${count(total)} can be drawn.` : "";
    const sum = shown.below + shown.hidden + shown.errors;
    hidden.textContent = `Hidden: ${sum ? `${count(sum)} ${sum === 1 ? "node" : "nodes"} (${parts.join(", ")}).` : "no node."}${cut}`;
    const first = stops[stops.length - 1];
    all.hidden = !shown.hidden && at === stops.length - 1 && !threshold;
    setAttributes(all, { title: first ? `Nothing hidden by hand, ${count(first.nodes)} nodes, all edges` : null });
    const missing = bound() > model.get("edged") && model.get("has_model");
    more.hidden = !missing;
    more.textContent = model.get("edged") ? `Edges are of the first ${count(model.get("edged") - data.answers)} nodes: compute those of all ${count(bound() - data.answers)}` : "Compute edges";
    needsKernel(more, model.get("live"));
  }

  return { element, draw };
}

/** The largest circuit of the curve may be the whole model, with nodes that change nothing. @param {number} nodes @param {number} total */
const amountOf = (nodes, total) => (nodes > total ? `${count(nodes)}, ${count(total)} with an effect` : `${count(nodes)} of ${count(total)}`);

/**
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {(step: number) => void} onChange
 */
function createSlider(name, signal, onChange) {
  const input = h("input", { type: "range", min: 0, step: 1 });
  const [amount, limit] = [h("span", { class: "iw-amount" }), h("span", { class: "iw-quiet" })];
  const element = h("label", { class: "iw-threshold" }, h("span", { class: "iw-label" }, name), input, amount, limit);
  input.addEventListener("input", () => onChange(input.valueAsNumber), { signal });
  /** @param {number} at @param {number} most @param {string} shown @param {string} least @param {string} said */
  function draw(at, most, shown, least, said) {
    setAttributes(input, { max: most, disabled: most < 1, "aria-label": name, "aria-valuetext": [said, least].filter(Boolean).join(", ") });
    if (input.valueAsNumber !== at) input.value = String(at);
    amount.textContent = shown;
    limit.textContent = least;
  }
  return { element, draw };
}
