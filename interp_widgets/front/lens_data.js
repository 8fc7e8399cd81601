/** The lens's traits, as questions that the views ask. Every answer is a look-up. */

import { floats, ints, units } from "./numbers.js";

/**
 * @typedef {object} LensState
 * @prop {string} text
 * @prop {string[]} tokens
 * @prop {number[]} token_ids
 * @prop {number[]} masked
 * @prop {number[]} window           [start, stop)
 * @prop {number[]} layers
 * @prop {string[]} vocabulary
 * @prop {number[]} vocabulary_ids
 * @prop {number} top_k
 * @prop {DataView} top_index        int32 [L, W, K]
 * @prop {DataView} top_probability  float32 [L, W, K]
 * @prop {DataView} entropy          float32 [L, W], nats
 * @prop {DataView} kl               float32 [L, W], nats
 * @prop {DataView} rank             float32 [L, W], 1 is most likely
 * @prop {{ token_id: number, token: string }} tracked
 * @prop {Record<string, number[]>} scales
 * @prop {DataView} lines_index      int32 [W, M]
 * @prop {DataView} lines            unit16 [W, M, L]
 * @prop {{ position: number, token_id: number, token: string, probability: number[] }[]} extra_lines
 * @prop {"probability" | "entropy" | "kl" | "rank"} color
 * @prop {number[]} positions
 * @prop {number[]} cell             [layer, position] or empty
 * @prop {number[][]} pins           [position, token_id]
 * @prop {boolean} live
 */

/** @typedef {import("@anywidget/types").AnyModel<LensState>} LensModel */
/** @typedef {{ token: string, id: number, probability: number }} Entry */

/** @param {LensModel} model */
export function readLens(model) {
  const layers = model.get("layers");
  const [start, stop] = model.get("window");
  const width = Math.max(0, stop - start);
  const topK = model.get("top_k");
  const [topIndex, topProbability] = [ints(model.get("top_index")), floats(model.get("top_probability"))];
  const [linesIndex, lines] = [ints(model.get("lines_index")), units(model.get("lines"))];
  const linesPerPosition = width ? Math.floor(linesIndex.length / width) : 0;
  const [texts, ids] = [model.get("vocabulary"), model.get("vocabulary_ids")];
  const extra = model.get("extra_lines");
  const numbers = {
    entropy: floats(model.get("entropy")),
    kl: floats(model.get("kl")),
    rank: floats(model.get("rank")),
  };

  /** @param {number} row @param {number} column @param {number} k @returns {Entry} */
  function entry(row, column, k) {
    const at = (row * width + column) * topK + k;
    const index = topIndex[at] ?? -1;
    return { token: texts[index] ?? "", id: ids[index] ?? -1, probability: topProbability[at] ?? NaN };
  }

  /** @param {string} color @param {number} row @param {number} column @returns {number} */
  function value(color, row, column) {
    if (color === "probability") return topProbability[(row * width + column) * topK] ?? NaN;
    return numbers[/** @type {keyof typeof numbers} */ (color)][row * width + column] ?? NaN;
  }

  /** A token's probability at every layer; null if that was not sent. @param {number} position @param {number} id */
  function line(position, id) {
    const column = position - start;
    for (let m = 0; column >= 0 && column < width && m < linesPerPosition; m++) {
      const at = column * linesPerPosition + m;
      if (ids[linesIndex[at]] === id) return lines.subarray(at * layers.length, (at + 1) * layers.length);
    }
    return extra.find((one) => one.position === position && one.token_id === id)?.probability ?? null;
  }

  /** @param {number} id @returns {string} text of a token that is in a table or a line */
  function textOf(id) {
    const index = ids.indexOf(id);
    return texts[index] ?? extra.find((one) => one.token_id === id)?.token ?? `id ${id}`;
  }

  /** Grid row and column of `[layer, position]`; null if the grid does not show it. @param {number[]} cell @returns {[number, number] | null} */
  function at([layer, position]) {
    const row = layers.indexOf(layer);
    return row >= 0 && position >= start && position < stop ? [row, position - start] : null;
  }

  return {
    layers, start, stop, width, topK, entry, value, line, textOf, at,
    /** @param {number} row @param {number} column */
    entries: (row, column) => Array.from({ length: topK }, (_, k) => entry(row, column, k)).filter(({ id }) => id >= 0),
    /** @param {number} row */
    layerName: (row) => (row === layers.length - 1 ? `${layers[row]} (output)` : String(layers[row])),
    /** The same where there is little room. @param {number} row */
    rowName: (row) => (row === layers.length - 1 ? `${layers[row]} out` : String(layers[row])),
    /** What the model itself predicts, at the last position shown; null before a result. @returns {[number, number] | null} */
    rest: () => (layers.length && width ? [layers.length - 1, width - 1] : null),
  };
}

/** @typedef {ReturnType<typeof readLens>} LensData */
