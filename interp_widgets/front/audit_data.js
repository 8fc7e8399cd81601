/** The traits of an audit, as questions that the view asks. Every answer is a look-up. */

import { floats, ints, MISSING, number, share } from "./numbers.js";

/**
 * @typedef {{ name: string, label: string, format: string, definition: string }} Quantity
 * @typedef {{ name: string, site: string, width: number, k: number, done: number, total: number }} Audited
 * @typedef {{ answer?: string, foil?: string, model: number, nothing: number, share: number | null, kept: number[],
 *   with_errors: (number | null)[], without_errors: (number | null)[], low: number, high: number }} Curve
 * @typedef {{ direction: string, contexts: number, mean: number, sd: number | null, flips: number, low: number, high: number }} Spreading
 * @typedef {{ wider: string, rows: [number, number, number | null][], explained: number | null, n: number | null }} Split
 * @typedef {{ dictionary?: string, split?: Split, atom: number, strength: number, token: string, random_token: string, summary: Spreading[],
 *   values: number[], random: number[], contexts: string[], low: number, high: number, from: number, to: number }} Spread
 *
 * @typedef {object} AuditState
 * @prop {string} text
 * @prop {Audited[]} dictionaries
 * @prop {number} dictionary
 * @prop {string[]} sources
 * @prop {string} source
 * @prop {Quantity[]} quantities
 * @prop {string} quantity
 * @prop {string[]} columns
 * @prop {DataView} values     float32 [D, S, Q, C, 3]
 * @prop {DataView} counts     int32 [D, S, Q]
 * @prop {number[]} edges
 * @prop {DataView} histogram  int32 [D, S, B]
 * @prop {number} bin
 * @prop {number[]} listed
 * @prop {Curve[]} curves
 * @prop {number} atom
 * @prop {Spread} spread
 * @prop {number} context
 * @prop {boolean} live
 *
 * @typedef {import("@anywidget/types").AnyModel<AuditState>} AuditModel
 */

/** The source that is one text, looked at by itself. */
export const THIS_TEXT = "this text";

/** How the columns are called. @type {Record<string, string>} */
export const COLUMN_NAMES = { sae: "dictionary", pca: "PCA", random: "random", identity: "coordinates", model: "model as it is", mean: "mean", zero: "zeros" };

/** @param {AuditModel} model */
export function readAudit(model) {
  const [values, counts, histogram] = [floats(model.get("values")), ints(model.get("counts")), ints(model.get("histogram"))];
  const [sources, quantities, columns] = [model.get("sources"), model.get("quantities"), model.get("columns")];
  const bins = model.get("edges").length + 1;

  /** @param {number} d @param {string} source @param {string} quantity @returns {number} */
  const rowAt = (d, source, quantity) =>
    (d * sources.length + sources.indexOf(source)) * quantities.length + quantities.findIndex(({ name }) => name === quantity);

  return {
    sources,
    hasText: sources.includes(THIS_TEXT),
    /** Value and interval. @param {number} d @param {string} source @param {string} quantity @param {string} column @returns {[number, number, number]} */
    cell(d, source, quantity, column) {
      const at = 3 * (rowAt(d, source, quantity) * columns.length + columns.indexOf(column));
      return [values[at] ?? NaN, values[at + 1] ?? NaN, values[at + 2] ?? NaN];
    },
    /** On how many tokens or predictions. @param {number} d @param {string} source @param {string} quantity */
    count: (d, source, quantity) => counts[rowAt(d, source, quantity)] ?? -1,
    /** Atoms by density; the first are those that never fire. @param {number} d @param {string} source */
    bins: (d, source) => [...histogram.subarray((d * sources.length + sources.indexOf(source)) * bins).subarray(0, bins)],
  };
}

/** A number as its row writes it. @param {string} format @param {number} value */
export function written(format, value) {
  if (!Number.isFinite(value)) return MISSING;
  if (format === "share") return share(value);
  if (format === "small") return `${number(100 * value, 2)}%`;
  return value.toFixed(format === "count" ? 1 : 3).replace("-", "−");
}

/** Nothing where both ends are written alike. @param {string} format @param {number} low @param {number} high */
export const interval = (format, low, high) =>
  (Number.isFinite(low) && written(format, low) !== written(format, high) ? `${written(format, low).replace("%", "")} to ${written(format, high)}` : "");
