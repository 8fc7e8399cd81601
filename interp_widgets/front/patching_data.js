/** The traits of the patching panel, as questions that the views ask. Every answer is a look-up. */

import { floats, ints } from "./numbers.js";

/**
 * @typedef {{ token_id: number, token: string, probability: number }} Prediction
 * @typedef {{ logit_difference: number, probability: number, top: Prediction[] }} Baseline
 * @typedef {"logit_difference" | "probability" | "recovery"} Metric
 *
 * @typedef {object} Patch           one run: of the selected cell, perhaps moved, perhaps past frozen positions
 * @prop {{ cell: (string | number)[], origin: (string | number)[], frozen: number[] }} [place]
 * @prop {boolean} [pending]
 * @prop {boolean} [failed]
 * @prop {Record<Metric, number | null>} [effect]
 * @prop {Prediction[]} [top]
 * @prop {Record<string, Prediction[]>} [said]
 *
 * @typedef {object} PatchingState
 * @prop {string} clean
 * @prop {string} corrupt
 * @prop {string} answer
 * @prop {string} foil
 * @prop {string[]} clean_tokens
 * @prop {string[]} corrupt_tokens
 * @prop {number[]} clean_ids
 * @prop {number[]} corrupt_ids
 * @prop {number[][]} alignment      pairs [clean position, corrupt position], ascending
 * @prop {string} alignment_note
 * @prop {string[]} sites
 * @prop {string} site
 * @prop {number[]} layers
 * @prop {Metric} metric
 * @prop {DataView} logit_difference float32 [S, L, P], NaN where not computed
 * @prop {DataView} estimate         float32 [S, L, P], NaN where not estimated
 * @prop {DataView} probability      float32 [S, L, P]
 * @prop {DataView} recovery         float32 [S, L, P]
 * @prop {Record<string, number>} scales
 * @prop {string[]} vocabulary
 * @prop {number[]} vocabulary_ids
 * @prop {number} top_k
 * @prop {DataView} top_index        int32 [S, L, P, K]
 * @prop {DataView} top_probability  float32 [S, L, P, K]
 * @prop {{ clean?: Baseline, corrupt?: Baseline }} baselines
 * @prop {number[]} unaffected
 * @prop {{ name: string, passed: boolean, text: string }[]} checks
 * @prop {"denoise" | "noise"} direction
 * @prop {string[]} history
 * @prop {number} history_at
 * @prop {number[]} frozen           positions
 * @prop {(string | number)[]} origin  as cell; empty: the selected cell itself
 * @prop {Patch} patch
 * @prop {(string | number)[]} cell  [site, layer, position] or empty
 * @prop {number[]} positions
 * @prop {boolean} live
 */

/** @typedef {import("@anywidget/types").AnyModel<PatchingState>} PatchingModel */

/** @type {[Metric, string][]} */
export const METRICS = [["logit_difference", "logit difference"], ["probability", "P(answer)"], ["recovery", "recovery"]];

/** @type {Record<string, string>} */
export const SITE_NAMES = { resid_pre: "Residual stream (before)", resid_mid: "Residual stream (middle)", resid_post: "Residual stream",
  attn_out: "Attention output", mlp_out: "MLP output", mlp_act: "MLP neurons", head_out: "Attention heads" };

/** Why a cell shows no computed value. @type {Record<string, [text: string, why: string]>} */
export const STATES = {
  pending: ["", "not computed yet"],
  estimated: ["≈", "estimated by attribution patching, not computed yet: the right region, not the right size"],
  unaligned: ["", "not paired with a token of the other prompt, so not patched"],
  unaffected: ["0", "same in both prompts up to here: 0 by causality, not computed"],
  undefined: ["–", "not defined: clean and corrupt do not differ in logit difference"],
};

/** @param {PatchingModel} model */
export function readPatching(model) {
  const layers = model.get("layers");
  const noise = model.get("direction") === "noise";
  const [tokens, others] = noise ? [model.get("clean_tokens"), model.get("corrupt_tokens")] : [model.get("corrupt_tokens"), model.get("clean_tokens")];
  const width = tokens.length;
  const sites = model.get("sites");
  const topK = model.get("top_k");
  const values = Object.fromEntries(METRICS.map(([metric]) => [metric, floats(model.get(metric))]));
  const estimates = floats(model.get("estimate"));
  const [topIndex, topProbability] = [ints(model.get("top_index")), floats(model.get("top_probability"))];
  const [texts, ids] = [model.get("vocabulary"), model.get("vocabulary_ids")];
  const partner = new Map(model.get("alignment").map(([clean, corrupt]) => (noise ? [clean, corrupt] : [corrupt, clean])));
  const unaffected = new Set(model.get("unaffected"));

  const columns = gridColumns(width, unaffected);

  /** @param {string} site @param {number} row @param {number} position */
  const index = (site, row, position) => (Math.max(0, sites.indexOf(site)) * layers.length + row) * width + position;

  /** @param {string} metric @param {string} site @param {number} row @param {number} position @returns {number} */
  const value = (metric, site, row, position) => values[metric][index(site, row, position)] ?? NaN;

  /** Why a cell shows no computed value; undefined if it does. @param {string} metric @param {string} site @param {number} row @param {number} position */
  function state(metric, site, row, position) {
    if (unaffected.has(position)) return "unaffected";
    if (!partner.has(position)) return "unaligned";
    if (!Number.isNaN(value(metric, site, row, position))) return undefined;
    if (!Number.isNaN(value("logit_difference", site, row, position))) return "undefined";
    return metric === "logit_difference" && !Number.isNaN(estimate(site, row, position)) ? "estimated" : "pending";
  }

  /** @param {string} site @param {number} row @param {number} position @returns {number} */
  const estimate = (site, row, position) => estimates[index(site, row, position)] ?? NaN;

  /** The likeliest next tokens of a patched run. @param {string} site @param {number} row @param {number} position @returns {Prediction[]} */
  function predictions(site, row, position) {
    const start = index(site, row, position) * topK;
    return Array.from({ length: topK }, (_, k) => start + k)
      .filter((at) => topIndex[at] >= 0)
      .map((at) => ({ token: texts[topIndex[at]] ?? "", token_id: ids[topIndex[at]] ?? -1, probability: topProbability[at] }));
  }

  /** Whether a patch of a kind of site at a row changes the same kind at another row, above it. @param {string} site @param {number} from @param {number} row */
  const reaches = (site, from, row) => row > from || (row === from && site === "resid_pre");

  return {
    reaches, layers, width, tokens, others, patched: noise ? "clean" : "corrupt", source: noise ? "corrupt" : "clean", partner, unaffected, value, estimate, estimated: estimates.length > 0, state, predictions, columns,
    /** The grid's column that shows a position; -1 if none does. @param {number} position */
    columnOf: (position) => columns.findIndex(([first, last]) => position >= first && position <= last),
  };
}

/**
 * The positions `[first, last]` of each grid column: one each, but a leading run of unaffected ones is one column.
 * @param {number} width
 * @param {Set<number>} unaffected
 * @returns {[number, number][]}
 */
function gridColumns(width, unaffected) {
  let run = 0;
  while (run < width && unaffected.has(run)) run++;
  if (run < 2 || run === width) run = 0;
  const single = Array.from({ length: width - run }, (_, i) => /** @type {[number, number]} */ ([run + i, run + i]));
  return run ? [[0, run - 1], ...single] : single;
}

/** @typedef {ReturnType<typeof readPatching>} PatchingData */
