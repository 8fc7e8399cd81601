/** The agreement's traits, as questions that the views ask. Every answer is a look-up. */

import { bytes, floats, ints } from "./numbers.js";

/**
 * @typedef {object} AgreementState
 * @prop {string} text
 * @prop {string[]} sides
 * @prop {string[]} tokens
 * @prop {number[]} token_ids
 * @prop {number[]} masked
 * @prop {number[]} window                [start, stop)
 * @prop {number[]} layers
 * @prop {string[]} vocabulary
 * @prop {number[]} vocabulary_ids
 * @prop {number} top_k
 * @prop {DataView} top_index             int32 [2, L, W, K]
 * @prop {DataView} top_probability       float32 [2, L, W, K]
 * @prop {DataView} probability_there     float32 [2, L, W, K]
 * @prop {DataView} verdict               uint8 [L, W]
 * @prop {DataView} total_variation       float32 [L, W]
 * @prop {DataView} total_variation_error float32 [L, W]
 * @prop {DataView} logit_difference      float32 [L, W]
 * @prop {DataView} residual_difference   float32 [L, W]
 * @prop {Record<string, number[]>} scales
 * @prop {Color} color
 * @prop {string[]} sentences
 * @prop {number[][]} worst               [layer, position]
 * @prop {number[]} positions
 * @prop {number[]} cell                  [layer, position] or empty
 * @prop {boolean} live
 */

/** @typedef {"total_variation" | "logit_difference" | "residual_difference"} Color */
/** @typedef {import("@anywidget/types").AnyModel<AgreementState>} AgreementModel */
/** @typedef {{ token: string, id: number, probability: number, there: number }} Listed */

/** @type {[Color, string][]} */
export const COLORS = [["total_variation", "total variation"], ["logit_difference", "logit difference"], ["residual_difference", "residual difference"]];

export const SAME = 0;
export const TIE = 1;
export const DIFFERS = 2;
export const BROKEN = 3;

/** @param {AgreementModel} model */
export function readAgreement(model) {
  const layers = model.get("layers");
  const [start, stop] = model.get("window");
  const width = Math.max(0, stop - start);
  const topK = model.get("top_k");
  const [texts, ids] = [model.get("vocabulary"), model.get("vocabulary_ids")];
  const index = ints(model.get("top_index"));
  const [probability, there] = [floats(model.get("top_probability")), floats(model.get("probability_there"))];
  const verdicts = bytes(model.get("verdict"));
  const errors = floats(model.get("total_variation_error"));
  const numbers = {
    total_variation: floats(model.get("total_variation")),
    logit_difference: floats(model.get("logit_difference")),
    residual_difference: floats(model.get("residual_difference")),
  };

  /** @param {number} side 0 or 1 @param {number} row @param {number} column @param {number} k @returns {Listed} */
  function entry(side, row, column, k) {
    const at = ((side * layers.length + row) * width + column) * topK + k;
    const word = index[at] ?? -1;
    return { token: texts[word] ?? "", id: ids[word] ?? -1, probability: probability[at] ?? NaN, there: there[at] ?? NaN };
  }

  /** Grid row and column of `[layer, position]`; null if the grid does not show it. @param {number[]} cell @returns {[number, number] | null} */
  function at([layer, position]) {
    const row = layers.indexOf(layer);
    return row >= 0 && position >= start && position < stop ? [row, position - start] : null;
  }

  return {
    layers, start, stop, width, entry, at,
    /** @param {number} side @param {number} row @param {number} column */
    entries: (side, row, column) => Array.from({ length: topK }, (_, k) => entry(side, row, column, k)).filter(({ id }) => id >= 0),
    /** @param {Color} color @param {number} row @param {number} column @returns {number} */
    value: (color, row, column) => numbers[color][row * width + column] ?? NaN,
    /** @param {number} row @param {number} column @returns {number} */
    error: (row, column) => errors[row * width + column] ?? NaN,
    /** @param {number} row @param {number} column @returns {number} */
    verdict: (row, column) => verdicts[row * width + column] ?? SAME,
    /** @param {number} row */
    layerName: (row) => (row === layers.length - 1 ? `${layers[row]} (output)` : String(layers[row])),
    /** The same where there is little room. @param {number} row */
    rowName: (row) => (row === layers.length - 1 ? `${layers[row]} out` : String(layers[row])),
    /** The output at the last position shown; null before a result. @returns {[number, number] | null} */
    rest: () => (layers.length && width ? [layers.length - 1, width - 1] : null),
  };
}

/** @typedef {ReturnType<typeof readAgreement>} AgreementData */
