/** The circuits that the threshold can be set to: those of the curve, each measured; without a curve, round numbers of nodes. */

import { floats, ints } from "./numbers.js";

/**
 * @typedef {object} Stop
 * @prop {number} nodes          in the circuit, without answers
 * @prop {number} prefix         so many of the first nodes, answers included
 * @prop {number} threshold      smallest |effect|
 * @prop {number} faithfulness   NaN where not measured, as all below
 * @prop {[number, number]} interval
 * @prop {number} completeness
 * @prop {[number, number]} completenessInterval
 */

export const CURVE = ["curve_nodes", "curve_prefix", "curve", "ways", "way", "baselines"];

/** @param {import("./circuit_data.js").CircuitModel} model @param {string} way @returns {Stop[]} */
export function curveOf(model, way) {
  const w = model.get("ways").indexOf(way);
  const [nodes, prefix, values] = [ints(model.get("curve_nodes")), ints(model.get("curve_prefix")), floats(model.get("curve"))];
  const length = nodes.length / Math.max(1, model.get("ways").length);
  /** @param {number} quantity @param {number} k */
  const at = (quantity, k) => values[quantity * nodes.length + w * length + k] ?? NaN;
  return w < 0 ? [] : Array.from({ length }, (_, k) => ({
    nodes: nodes[w * length + k], prefix: prefix[w * length + k], threshold: at(0, k), faithfulness: at(1, k), interval: /** @type {[number, number]} */ ([at(2, k), at(3, k)]),
    completeness: at(4, k), completenessInterval: /** @type {[number, number]} */ ([at(5, k), at(6, k)]),
  })).filter((stop) => stop.nodes >= 0);
}

/** @param {import("./circuit_data.js").CircuitModel} model @param {import("./circuit_data.js").CircuitData} data @returns {Stop[]} */
export function readStops(model, data) {
  const measured = curveOf(model, model.get("way"));
  if (measured.length) return measured;
  const [all, none] = [data.count - data.answers, /** @type {[number, number]} */ ([NaN, NaN])];
  /** @type {Set<number>} */
  const sizes = new Set();
  for (let size = 1; size < all; size = Math.max(size + 1, Math.round(size * 1.15))) sizes.add(size);
  return [...sizes, ...(all > 0 ? [all] : [])].map((nodes) => ({ nodes, prefix: data.answers + nodes, threshold: Math.abs(data.effect[data.answers + nodes - 1]),
    faithfulness: NaN, interval: none, completeness: NaN, completenessInterval: none }));
}

/** Which of the circuits is shown: the largest that is no larger than `size`, else the smallest. @param {Stop[]} stops @param {number} size */
export function stopAt(stops, size) {
  if (size < 0) return stops.length - 1;
  return Math.max(0, stops.findLastIndex((stop) => stop.nodes <= size));
}
