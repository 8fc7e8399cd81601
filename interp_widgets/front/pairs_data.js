/** The traits of the panel of many pairs, as questions that the view asks. Every answer is a look-up. */

import { floats } from "./numbers.js";

/**
 * @typedef {{ clean: string, corrupt: string, answer: string, foil: string }} PromptPair
 * @typedef {{ values?: (number | null)[], baseline?: (number | null)[], low?: number, high?: number }} Dots
 *
 * @typedef {object} PairsState
 * @prop {PromptPair[]} pairs
 * @prop {{ position: number, last: number, token: string, varies: boolean }[]} columns
 * @prop {number} done
 * @prop {{ clean?: number, corrupt?: number }} right
 * @prop {"denoise" | "noise"} direction
 * @prop {string[]} sites
 * @prop {string} site
 * @prop {number[]} layers
 * @prop {"logit_difference" | "probability" | "recovery"} metric
 * @prop {DataView} mean       float32 [S, L, C], as all below
 * @prop {DataView} low
 * @prop {DataView} high
 * @prop {DataView} p
 * @prop {DataView} q
 * @prop {DataView} baseline   empty without one
 * @prop {number} level
 * @prop {number} scale
 * @prop {{ name: string, passed: boolean, text: string }[]} checks
 * @prop {(string | number)[]} cell  [site, layer, position] or empty
 * @prop {number[]} positions
 * @prop {Dots} dots
 * @prop {number} pair         -1: none
 * @prop {boolean} live
 */

/** @typedef {import("@anywidget/types").AnyModel<PairsState>} PairsModel */

/** @param {PairsModel} model */
export function readPairs(model) {
  const [sites, layers, columns] = [model.get("sites"), model.get("layers"), model.get("columns")];
  const grids = { mean: floats(model.get("mean")), low: floats(model.get("low")), high: floats(model.get("high")), p: floats(model.get("p")),
    q: floats(model.get("q")), baseline: floats(model.get("baseline")) };

  /** @param {keyof typeof grids} name @param {string} site @param {number} row @param {number} column @returns {number} */
  const value = (name, site, row, column) => grids[name][(Math.max(0, sites.indexOf(site)) * layers.length + row) * columns.length + column] ?? NaN;

  return { sites, layers, columns, value, hasBaseline: grids.baseline.length > 0,
    /** @param {number} position */
    columnOf: (position) => columns.findIndex((column) => column.position === position) };
}

/** @typedef {ReturnType<typeof readPairs>} PairsData */
