/** One atom in many contexts: does adding its direction always push the same way? */

import { button, needsKernel } from "./controls.js";
import { h } from "./dom.js";
import { number, quoted, share, signed } from "./numbers.js";
import { createDots } from "./pairs_dots.js";

/**
 * @param {import("./audit_data.js").AuditModel} model
 * @param {AbortSignal} signal
 * @param {{ measure: (atom: number) => void, select: (context: number) => void }} on
 */
export function createEffect(model, signal, on) {
  const input = h("input", { type: "number", min: 0, step: 1, "aria-label": "Atom" });
  const measure = button("Measure", signal, () => ask(), { class: "iw-button iw-small", title: "Add the atom's direction at the end of many contexts and measure a logit" });
  const about = h("p", { class: "iw-hint" });
  const dots = createDots({ signal, label: "Effect in each context", other: "random direction", onSelect: (i) => on.select(model.get("context") === i ? -1 : i), onPoint: (i) => { pointed = i; drawContext(); } });
  const table = h("table", { class: "iw-table" });
  const one = h("p", { class: "iw-audit-context" });
  const split = h("p", { class: "iw-audit-split" });
  const result = h("div", {}, about, h("div", { class: "iw-parts" }, h("div", {}, dots.element, one), table), split);
  const element = h("div", { class: "iw-part" }, h("h3", {}, "One atom over contexts"),
    h("form", { class: "iw-tools" }, h("label", { class: "iw-field iw-short" }, h("span", { class: "iw-label" }, "atom"), input), measure), result);
  /** @type {number | null} */
  let pointed = null;

  /** @param {number} [atom] */
  function ask(atom) {
    if (atom !== undefined) input.value = String(atom);
    if (input.value !== "") on.measure(Number(input.value));
  }
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    if (model.get("live")) ask();
  }, { signal });

  function draw() {
    const spread = model.get("spread");
    needsKernel(measure, model.get("live"));
    if (model.get("atom") >= 0 && document.activeElement !== input) input.value = String(model.get("atom"));
    result.hidden = !spread.summary;
    if (!spread.summary) return;
    const [atom] = spread.summary;
    about.textContent = `Atom ${spread.atom} of ${spread.dictionary}, added with ${number(spread.strength)} (its mean activation) at the last token of ${atom.contexts} contexts: change of the logit of ${quoted(spread.token)}, less the mean logit. Upper row: the atom, with its mean and one standard deviation. Lower row: a random direction of the same length, on ${quoted(spread.random_token)}.`;
    dots.draw({ values: spread.values, baseline: spread.random, low: spread.from, high: spread.to },
      { mean: atom.mean, low: spread.low, high: spread.high, baseline: spread.summary[1]?.mean ?? NaN, pair: model.get("context"), format: signed,
        say: (i, effect) => `context ${i}: ${effect === null ? "–" : signed(effect)}` });
    table.replaceChildren(
      h("thead", {}, h("tr", {}, ...["direction", "mean", "sd", "other sign"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...spread.summary.map(({ direction, mean, sd, flips, low, high }) => h("tr", {}, h("th", { scope: "row" }, direction),
        h("td", {}, signed(mean)), h("td", {}, sd === null ? "–" : number(sd, 2)), h("td", {}, share(flips), h("small", {}, ` ${share(low).replace("%", "")} to ${share(high)}`))))));
    split.textContent = spread.split ? describeSplit(spread.split) : "";
    drawContext();
  }

  /** The end of the context that is pointed at or selected. */
  function drawContext() {
    const spread = model.get("spread");
    const index = pointed ?? model.get("context");
    const text = spread.contexts?.[index];
    one.textContent = text === undefined ? "Point at a dot to read its context." : `${signed(spread.values[index])} after ${quoted(text)}`;
  }

  return { element, draw, ask };
}

/** What becomes of an atom in a wider dictionary. @param {import("./audit_data.js").Split} split */
function describeSplit({ wider, rows, explained, n }) {
  const pieces = rows.map(([atom, cosine, together]) => `#${atom} (cosine ${number(cosine, 2)}${together === null ? "" : `, fires on ${share(together)} of its tokens`})`);
  const all = explained === null ? "" : ` Together they explain ${share(explained)} of the variance of its activation.`;
  return `In ${wider}: ${pieces.join(", ")}.${all}${n ? ` On ${n} tokens where it fires.` : ""}`;
}
