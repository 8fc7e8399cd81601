/** Where an atom fires in a corpus: over its whole range of activation, at its strongest, or at random; in three context sizes. */

import { place, SEQUENTIAL, styleAt } from "./color.js";
import { createChoice, createTabs } from "./controls.js";
import { h, setAttributes, uniqueId } from "./dom.js";
import { count, number, percent, running } from "./numbers.js";
import { walkable } from "./tip.js";

/**
 * @typedef {object} Example
 * @prop {number[]} tokens      indices into `words`
 * @prop {number} at            which of them the example is of
 * @prop {[number, number][]} active  where in `tokens` the atom is active, and how much
 * @prop {number} activation
 * @prop {string} source        name of the text's source; may be empty
 * @prop {number} text          number of the text in the corpus
 * @prop {number} position      of the token in its text
 * @prop {number} repeats       how many more have the same context
 */
/** @typedef {{ title: string, about: string, examples: Example[] }} Group */
/** @typedef {{ words: string[], maximum: number, kinds: Record<string, Group[]>, notes: string[] }} Examples */

/** @type {[string, string][]} */
const KINDS = [["interval", "Whole range"], ["quantile", "Equal shares"], ["top", "Strongest"], ["random", "At random"]];
/** Tokens before and after the one at hand. @type {Record<string, [number, number]>} */
const CONTEXTS = { short: [3, 2], medium: [12, 6], long: [1000, 1000] };

/**
 * @param {AbortSignal} signal
 * @param {() => void} redraw
 */
export function createExamples(signal, redraw) {
  let kind = "interval";
  let context = "medium";
  const panelId = uniqueId();
  const tabs = createTabs("Which examples", signal, (value) => { kind = value; redraw(); });
  const choice = createChoice({ legend: "Context", options: [["short", "6"], ["medium", "19"], ["long", "all"]], signal,
    onChoose: (value) => { context = value; redraw(); } });
  const list = h("div", { id: panelId, role: "tabpanel", class: "iw-examples" });
  walkable(list, signal);
  const notes = h("p", { class: "iw-hint" });
  const element = h("div", { class: "iw-part" }, h("div", { class: "iw-tools" }, tabs.element, choice.element), list, notes);

  /** @param {Examples} examples */
  function draw(examples) {
    const there = KINDS.filter(([name]) => examples.kinds[name]);
    const shown = examples.kinds[kind] ? kind : there[0]?.[0] ?? kind;
    tabs.draw(there, shown, panelId);
    choice.draw(context);
    setAttributes(list, { "aria-label": KINDS.find(([name]) => name === shown)?.[1], "data-context": context });
    const groups = examples.kinds[shown] ?? [];
    list.replaceChildren(...groups.map((group) => drawGroup(group, examples)));
    notes.textContent = examples.notes.join(" ");
  }

  /** @param {Group} group @param {Examples} examples */
  const drawGroup = ({ title, about, examples: rows }, examples) => h("section", { class: "iw-example-group" },
    h("h4", {}, h("strong", {}, title), ` ${about}`),
    rows.length ? h("ol", {}, ...rows.map((row) => drawExample(row, examples))) : h("p", { class: "iw-hint" }, "never this strong"));

  /** @param {Example} example @param {Examples} examples */
  function drawExample({ tokens, at, active, activation, source, text, position, repeats }, { words, maximum }) {
    const [before, after] = CONTEXTS[context];
    const [from, to] = [Math.max(0, at - before), Math.min(tokens.length, at + after + 1)];
    const values = new Map(active);
    const pieces = tokens.slice(from, to).map((word, i) => {
      const value = values.get(from + i);
      return h("span", { class: from + i === at ? "iw-at" : null, style: value ? styleAt(SEQUENTIAL, place(value, [0, maximum])) : null,
        title: value ? number(value) : null }, shown(words[word]));
    });
    return h("li", { title: `${source ? `${source}, ` : ""}text ${text}, token ${position}` },
      h("span", { class: "iw-number" }, number(activation)),
      h("span", { class: "iw-snippet", dir: "auto" }, from > 0 ? "…" : "", ...pieces, to < tokens.length ? "…" : ""),
      h("span", { class: "iw-source" }, repeats ? `+${repeats} alike ` : "", source));
  }

  return { element, draw };
}

/** A token in running text: spaces as they are, line breaks made visible. @param {string} token */
const shown = (token) => running(token).replaceAll("\n", "") || "∅";

/** @param {number} share */
export const oneIn = (share) => (share > 0 ? `on ${percent(share)} of the tokens (1 in ${count(1 / share)})` : "never");
