/** The traits of the steering panel, as questions that the views ask. Every answer is a look-up. */

import { floats, number, percent, signed } from "./numbers.js";

/**
 * @typedef {"logit_difference" | "probability" | "kl" | "fluency"} SteeringMetric
 * @typedef {{ token: string, token_id: number, probability: number }} NewToken
 * @typedef {{ tokens: NewToken[], differs: boolean[], baseline_differs: boolean[], first: number | null, shared: number }} Steered
 * @typedef {{ baseline?: NewToken[], given?: (Steered | null)[], random?: (Steered | null)[], gap?: string }} SteeringSaid
 *
 * @typedef {object} SteeringState
 * @prop {string} text
 * @prop {string} site
 * @prop {string} answer
 * @prop {string} foil
 * @prop {string} mode
 * @prop {string} where
 * @prop {number[]} positions
 * @prop {number} atom            -1 where the direction is no atom
 * @prop {number} atoms           number of atoms to choose from
 * @prop {{ name?: string, made?: string, norm?: number }} direction
 * @prop {boolean} stale
 * @prop {string[]} tokens
 * @prop {number[]} token_ids
 * @prop {number[]} masked
 * @prop {string[]} measured      answer and foil
 * @prop {number[]} strengths
 * @prop {number[]} norm_ratio
 * @prop {number} strength
 * @prop {SteeringMetric} metric
 * @prop {DataView} given         float32 [M, S], NaN where not run yet
 * @prop {DataView} random        float32 [3, M, S]: mean, least, largest
 * @prop {number[]} seeds
 * @prop {number[]} baseline      [M]
 * @prop {number[][]} levels      [M]: values that get a line, ascending; the ends of the axis are the outer ones
 * @prop {SteeringSaid} said
 * @prop {{ name: string, passed: boolean, text: string }[]} checks
 * @prop {{ state?: string }} status
 * @prop {boolean} live
 */

/** @typedef {import("@anywidget/types").AnyModel<SteeringState>} SteeringModel */

/** @type {[SteeringMetric, string][]} */
export const STEERING_METRICS = [["logit_difference", "logit difference"], ["probability", "P(answer)"], ["kl", "KL"], ["fluency", "fluency"]];

/** @type {[string, string][]} */
export const STEERING_MODES = [["add", "add"], ["project_out", "project out"], ["clamp", "clamp"], ["ablate", "ablate"]];

/** @type {[string, string][]} */
export const STEERING_PLACES = [["all", "prompt and new tokens"], ["prompt", "prompt only"], ["new", "new tokens only"]];

/** @param {SteeringModel} model */
export function readSteering(model) {
  const strengths = model.get("strengths");
  const count = strengths.length;
  const metrics = STEERING_METRICS.length;
  const [given, random] = [floats(model.get("given")), floats(model.get("random"))];
  const which = STEERING_METRICS.findIndex(([name]) => name === model.get("metric"));
  /** @param {Float32Array} values @param {number} row */
  const line = (values, row) => Array.from(values.subarray((row * metrics + which) * count, (row * metrics + which + 1) * count));
  const [answer, foil] = model.get("measured").map((token) => token.trim() || token);

  /** What the metric is, with the tokens that it is of. */
  const about = () => ({ logit_difference: `logit(${answer}) − logit(${foil}) after the prompt`, probability: `probability of “${answer}” after the prompt`,
    kl: "KL(baseline ‖ this run) of the next token, nats", fluency: "mean log-probability a new token, unsteered model" })[model.get("metric")];

  return {
    strengths, about,
    name: STEERING_METRICS[which]?.[1] ?? "",
    at: strengths.indexOf(model.get("strength")),
    ratios: model.get("norm_ratio"),
    given: line(given, 0),
    mean: line(random, 0), low: line(random, 1), high: line(random, 2),
    baseline: model.get("baseline")[which],
    levels: model.get("levels")[which] ?? [],
    format: { logit_difference: signed, probability: percent, kl: number, fluency: signed }[model.get("metric")],
  };
}

/** @typedef {ReturnType<typeof readSteering>} SteeringData */
