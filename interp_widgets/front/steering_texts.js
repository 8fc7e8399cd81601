/** What the runs say, side by side: what a text shares with the baseline is quiet, what differs stands out. */

import { h } from "./dom.js";
import { known, MISSING, number, percent, quoted, running } from "./numbers.js";
import { walkable } from "./tip.js";

/** @param {AbortSignal} signal */
export function createSteeringTexts(signal) {
  const element = h("div", { class: "iw-steered-texts" });
  walkable(element, signal, "What the runs say, token by token");

  /**
   * @param {import("./steering_data.js").SteeringSaid} said
   * @param {import("./steering_data.js").SteeringData} data
   * @param {number[]} seeds
   * @param {boolean} waiting  whether what is missing is still to come
   */
  function draw(said, data, seeds, waiting) {
    const given = said.given?.[data.at] ?? null;
    const random = said.random?.[data.at] ?? null;
    const gap = said.gap ?? "";
    const strength = `strength ${number(data.strengths[data.at])}`;
    const missing = waiting ? "…" : MISSING;
    element.replaceChildren(
      block("Baseline", "", said.baseline ? tokens(said.baseline, given?.baseline_differs ?? null, null, gap) : missing),
      block(`Steered, ${strength}`, about(given, said), given ? tokens(given.tokens, given.differs, given.first, gap) : missing),
      ...(seeds.length ? [block(`Random direction of the same length, ${strength}`, about(random, said), random ? tokens(random.tokens, random.differs, random.first, gap) : missing)] : []));
  }

  return { element, draw };
}

/** @param {string} title @param {string} remark @param {HTMLElement[] | string} content */
const block = (title, remark, content) => h("section", { class: "iw-steered-text", "aria-label": title }, h("h3", {}, title), h("p", { class: "iw-steered-body", dir: "auto" }, ...content), h("p", { class: "iw-hint" }, remark));

/** @param {import("./steering_data.js").Steered | null} one @param {import("./steering_data.js").SteeringSaid} said */
function about(one, said) {
  if (!one || !said.baseline) return "";
  if (one.first === null && one.tokens.length === said.baseline.length) return `the same ${one.tokens.length} tokens as the baseline`;
  const first = known(one.first) ? `first difference at new token ${one.first + 1}` : "ends earlier";
  return `${first} · ${one.shared} of ${one.tokens.length} tokens shared with the baseline`;
}

/**
 * @param {import("./steering_data.js").NewToken[]} list
 * @param {boolean[] | null} differs
 * @param {number | null} first
 * @param {string} gap
 */
const tokens = (list, differs, first, gap) => list.map(({ token, token_id: id, probability }, i) =>
  h("span", { "data-differs": differs?.[i] ?? false, "data-shared": differs ? !differs[i] : false, "data-first": i === first,
    title: `new token ${i + 1}: ${quoted(token)}, id ${id}, ${percent(probability)}` }, gap && i ? gap : "", running(token)));
