/** The traits of the atoms panel, as questions that the views ask. Every answer is a look-up. */

import { floats, ints } from "./numbers.js";

/**
 * @typedef {object} AtomsState
 * @prop {string} text
 * @prop {string[]} tokens
 * @prop {number[]} token_ids
 * @prop {number[]} masked
 * @prop {string} sae_name
 * @prop {number} top_k
 * @prop {DataView} top_atom          int32 [T, K], -1 where fewer are active
 * @prop {DataView} top_activation    float32 [T, K]
 * @prop {DataView} top_share         float32 [T, K], signed share of the squared norm
 * @prop {DataView} top_effect        float32 [T, K], first-order effect on the answer; empty until computed
 * @prop {DataView} error_effect      float32 [T], the same of the error
 * @prop {string} answer              the answer asked for; empty for the likeliest
 * @prop {string} answered            the answer that the effects are of
 * @prop {Record<string, import("./atoms_card.js").Card>} cards  of the chosen and the pinned atoms
 * @prop {import("./atoms_find.js").Found} found
 * @prop {import("./atoms_card.js").CorpusState} corpus_state
 * @prop {number[]} active
 * @prop {DataView} norm              float32 [T]
 * @prop {DataView} error_norm        float32 [T], |error| / |x|
 * @prop {DataView} error_share       float32 [T]
 * @prop {DataView} bias_share        float32 [T]
 * @prop {number[]} positions
 * @prop {number[]} atoms             pinned atoms
 * @prop {number} atom                the atom that colours the text, or -1
 * @prop {number[]} pinned            atoms of the rows of `pinned_activation`
 * @prop {DataView} pinned_activation float32 [N, T]
 * @prop {number[]} pinned_scale
 * @prop {boolean} complete
 * @prop {boolean} live
 */

/** @typedef {import("@anywidget/types").AnyModel<AtomsState>} AtomsModel */
/** @typedef {{ atom: number, activation: number, share: number, effect: number }} Listed */
/** @typedef {{ values: ArrayLike<number>, largest: number }} Row  an atom's activation at every token */

/** @param {AtomsModel} model */
export function readAtoms(model) {
  const count = model.get("tokens").length;
  const topK = model.get("top_k");
  const topAtom = ints(model.get("top_atom"));
  const [topActivation, topShare] = [floats(model.get("top_activation")), floats(model.get("top_share"))];
  const [topEffect, errorEffect] = [floats(model.get("top_effect")), floats(model.get("error_effect"))];
  const [norm, errorNorm] = [floats(model.get("norm")), floats(model.get("error_norm"))];
  const [errorShare, biasShare] = [floats(model.get("error_share")), floats(model.get("bias_share"))];
  const [pinned, pinnedActivation] = [model.get("pinned"), floats(model.get("pinned_activation"))];
  const masked = new Set(model.get("masked"));

  /** The atoms listed at a token, largest first. @param {number} position @returns {Listed[]} */
  function listed(position) {
    return Array.from({ length: topK }, (_, k) => position * topK + k)
      .filter((at) => topAtom[at] >= 0)
      .map((at) => ({ atom: topAtom[at], activation: topActivation[at], share: topShare[at], effect: topEffect[at] ?? NaN }));
  }

  /** An atom's activations over the text; null if that was not sent. @param {number} atom @returns {Row | null} */
  function row(atom) {
    const at = pinned.indexOf(atom);
    const values = pinnedActivation.subarray(at * count, (at + 1) * count);
    if (at >= 0 && values.length === count) return { values, largest: model.get("pinned_scale")[at] };
    return model.get("complete") ? listedRow(atom) : null;
  }

  /** The same read off the lists of active atoms: those not listed are zero. @param {number} atom @returns {Row | null} */
  function listedRow(atom) {
    const values = new Float32Array(count);
    let largest = 0;
    let found = false;
    topAtom.forEach((each, at) => {
      if (each !== atom) return;
      const position = Math.floor(at / topK);
      values[position] = topActivation[at];
      if (!masked.has(position)) largest = Math.max(largest, topActivation[at]);
      found = true;
    });
    return found ? { values, largest } : null;
  }

  return {
    count, topK, masked, listed, row, answer: model.get("answered"),
    /** @param {number} position */
    token: (position) => ({
      active: model.get("active")[position], norm: norm[position], errorNorm: errorNorm[position],
      errorShare: errorShare[position], biasShare: biasShare[position],
      errorEffect: errorEffect[position] ?? NaN,
    }),
  };
}

/** @typedef {ReturnType<typeof readAtoms>} AtomsData */
