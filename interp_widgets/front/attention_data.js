/** Attention's traits, as questions that the views ask. Every answer is a look-up, or a sum of a row's look-ups. */

import { bytes, floats, known, number, percent } from "./numbers.js";

/**
 * @typedef {object} AttentionState
 * @prop {string} text
 * @prop {string[]} tokens
 * @prop {number[]} token_ids
 * @prop {number[]} layers
 * @prop {number} head_count
 * @prop {DataView} scores       float32 [S, L, H]
 * @prop {string} effect_of
 * @prop {number} thumbnail
 * @prop {DataView} thumbnails   uint8 [L, H, N]
 * @prop {number} loaded         layer of `patterns`
 * @prop {DataView} patterns     uint8 [H, N]: 255 sqrt(weight)
 * @prop {DataView} peaks        float32 [H]
 * @prop {number} valued         layer of `values`
 * @prop {DataView} values       uint8 [H, N]: 255 sqrt(value-weighted weight / top)
 * @prop {DataView} value_tops   float32 [H]
 * @prop {DataView} value_peaks  float32 [H]
 * @prop {number[]} head         [layer, head] or empty
 * @prop {string} sort
 * @prop {boolean} value_weighted
 * @prop {boolean} leave_first
 * @prop {number[]} query_range  [start, stop) or empty
 * @prop {number[]} key_range
 * @prop {number[]} positions
 * @prop {number[]} key_positions
 * @prop {string} answer
 * @prop {string} foil
 * @prop {boolean} live
 */

/** @typedef {import("@anywidget/types").AnyModel<AttentionState>} AttentionModel */

/** Scores in the order of the trait, and how they are called. @type {[name: string, label: string][]} */
export const SCORES = [["induction", "induction"], ["previous_token", "previous token"], ["duplicate_token", "duplicate token"],
  ["first_token", "first token"], ["entropy", "entropy"], ["effect", "effect"]];

/** What a byte says of its top: a share, sent as its square root. */
const SHARES = Float32Array.from({ length: 256 }, (_, i) => (i / 255) ** 2);

/** Where query q begins in a triangle. @param {number} q */
const rowStart = (q) => (q * (q + 1)) / 2;

/** @param {AttentionModel} model */
export function readAttention(model) {
  const [tokens, layers, heads, size] = [model.get("tokens"), model.get("layers"), model.get("head_count"), model.get("thumbnail")];
  const [scores, thumbnails] = [floats(model.get("scores")), bytes(model.get("thumbnails"))];
  const [layer, head] = model.get("head");
  const ready = layer !== undefined && model.get("loaded") === layer;
  const valued = ready && model.get("value_weighted") && model.get("valued") === layer;
  const [cells, small] = [rowStart(tokens.length), rowStart(size)];
  const plain = triangleOf(model.get("patterns"));
  const shown = valued ? triangleOf(model.get("values")) : plain;
  const top = valued ? floats(model.get("value_tops"))[head] : 1;
  const leavesFirst = model.get("leave_first") && tokens.length > 1;
  const peak = leavesFirst ? floats(valued ? model.get("value_peaks") : model.get("peaks"))[head] : top;

  /** The part of the head shown. @param {DataView} layer */
  function triangleOf(layer) {
    return ready ? bytes(layer).subarray(head * cells, (head + 1) * cells) : new Uint8Array(0);
  }

  /** @param {Uint8Array} triangle @param {number} q @param {number} k  NaN after the query */
  const share = (triangle, q, k) => (k <= q ? SHARES[triangle[rowStart(q) + k]] : NaN);

  /** @param {number[]} range @returns {[number, number]} */
  function range([start = 0, stop = tokens.length]) {
    return start >= 0 && start < stop && stop <= tokens.length ? [start, stop] : [0, tokens.length];
  }
  const [queries, keys] = [range(model.get("query_range")), range(model.get("key_range"))];

  /** @param {string} name @param {number} row @param {number} at @returns {number} */
  const score = (name, row, at) => scores[(SCORES.findIndex(([each]) => each === name) * layers.length + row) * heads + at] ?? NaN;

  /** Index of every head, layer by layer or largest score first; heads without the score come last. @param {string} sort */
  function order(sort) {
    const all = Array.from({ length: layers.length * heads }, (_, i) => i);
    if (sort === "layer") return all;
    const keys = all.map((i) => Math.abs(score(sort, Math.floor(i / heads), i % heads))).map((x) => (known(x) ? x : -1));
    return all.sort((a, b) => keys[b] - keys[a] || a - b);
  }

  /** The keys that a query looks at most, among those shown. @param {number} q @param {number} count */
  function largest(q, count) {
    /** @type {[key: number, weight: number][]} */
    const best = [];
    for (let k = keys[0]; k < Math.min(keys[1], q + 1); k++) {
      const x = share(shown, q, k) * top;
      if (best.length < count || x > best[count - 1][1]) {
        best.push([k, x]);
        best.sort((a, b) => b[1] - a[1]);
        best.length = Math.min(best.length, count);
      }
    }
    return best;
  }

  return {
    tokens, layers, heads, size, layer, head, ready, valued, leavesFirst, peak, queries, keys, score, order, largest,
    /** A cell of a thumbnail, 0 to 255. @param {number} index of the head @param {number} row @param {number} column */
    small: (index, row, column) => thumbnails[index * small + rowStart(row) + column],
    /** What the view shows of a cell. @param {number} q @param {number} k */
    weight: (q, k) => share(shown, q, k) * top,
    /** The plain weight. @param {number} q @param {number} k */
    plain: (q, k) => share(plain, q, k),
    /** Share of a query's attention on the keys shown. @param {number} q */
    sum(q) {
      let total = 0;
      for (let k = keys[0]; k < Math.min(keys[1], q + 1); k++) total += share(plain, q, k);
      return Math.min(1, total);
    },
    /** @param {number} weight  as `weight` gives it */
    format: (weight) => (valued ? number(weight, 2) : weight === 0 ? "0" : percent(weight)),
    /** @param {number} index  of a head @returns {[layer: number, head: number]} */
    at: (index) => [layers[Math.floor(index / heads)], index % heads],
    /** Index of the head shown; -1 for none. */
    index: layer === undefined ? -1 : layers.indexOf(layer) * heads + head,
  };
}

/** @typedef {ReturnType<typeof readAttention>} AttentionData */
