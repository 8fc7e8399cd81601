/** One atom: how often and how strongly it fires in a corpus, where, what it is like, and what the model does without it. */

import { createExamples, oneIn } from "./atoms_examples.js";
import { button, needsKernel } from "./controls.js";
import { h, hit } from "./dom.js";
import { createHistogram } from "./histogram.js";
import { change, count, known, number, percent, quoted, visible } from "./numbers.js";

/**
 * @typedef {object} Card
 * @prop {number} atom
 * @prop {string} corpus        what the corpus is, or why there is none
 * @prop {{ fired: number, tokens: number, density: number, mean: number, maximum: number } | null} stats
 * @prop {import("./histogram.js").Bins | null} histogram
 * @prop {import("./atoms_examples.js").Examples | null} examples
 * @prop {[number, number][]} neighbours   atom and cosine
 * @prop {Removed | null} [removed]  null while it is being measured; left out where that is not asked for
 * @prop {string} link          a page about this atom elsewhere, or ""
 */
/**
 * @typedef {object} Removed  the model without the atom on this text
 * @prop {boolean} active       whether it fires here at all
 * @prop {string} answer
 * @prop {number} effect        measured change of the answer's log-probability
 * @prop {number | null} estimate  the same to first order, summed over the text
 * @prop {number | null} share  of the effect of all atoms and errors
 * @prop {number[]} kl          [tokens]
 * @prop {[string, number, number][][]} changes  a token: predictions, with the atom and without
 * @prop {number | null} agreement  correlation of direct weights with the measured change
 * @prop {[string, number][]} up
 * @prop {[string, number][]} down
 * @prop {string} [prompt]      which of several prompts the text is
 * @prop {string[]} [tokens]    of that text; left out where they are those of the panel
 */

/** @typedef {Partial<{ name: string, tokens: number, total: number | null, complete: boolean, running: boolean, more: boolean }>} CorpusState */
/**
 * @typedef {object} CardContent
 * @prop {string} title
 * @prop {Card | undefined} card     undefined while it is looked up
 * @prop {boolean} live
 * @prop {string[]} tokens
 * @prop {number | undefined} position
 * @prop {number | undefined} value  the activation there, which is marked in the histogram
 * @prop {boolean | null} pinned     null where cards are not pinned
 * @prop {CorpusState} corpus
 * @prop {(atom: number) => boolean} [within]  whether another atom can be chosen; all if left out
 */

/** Correlation from which on a list of direct weights says what the atom does. */
const TELLING = 0.5;

/**
 * @param {AbortSignal} signal
 * @param {{ choose: (atom: number) => void, pin: () => void, send: (message: { type: string }) => void }} on
 */
export function createCard(signal, on) {
  const title = h("h3");
  const about = h("p", { class: "iw-quiet" });
  const pin = button("pin", signal, on.pin, { class: "iw-button iw-small" });
  const link = h("a", { class: "iw-out", target: "_blank", rel: "noopener noreferrer" }, "on Neuronpedia ↗");
  const corpus = createCorpusLine(signal, on.send);
  const histogram = createHistogram("Activations in the corpus", signal);
  const removed = h("div", { class: "iw-part" });
  const neighbours = h("div", { class: "iw-part" });
  const examples = createExamples(signal, () => draw(shown));
  const none = h("p", { class: "iw-invite iw-no-corpus" });
  let open = false; // whether the direct weights are shown, from one atom to the next
  /** @type {CardContent | null} */
  let shown = null;
  const side = h("div", { class: "iw-card-side" }, histogram.element, removed, neighbours);
  const element = h("section", { class: "iw-card", "aria-label": "Atom card" },
    h("div", { class: "iw-tools" }, title, pin, link, corpus.element), about, h("div", { class: "iw-card-columns" }, side, h("div", { class: "iw-card-main" }, examples.element, none)));

  /** @param {CardContent | null} content */
  function draw(content) {
    shown = content;
    element.hidden = !content;
    if (!content) return;
    const { card, live, position, pinned } = content;
    corpus.draw(content.corpus, live);
    title.textContent = content.title;
    pin.hidden = pinned === null;
    pin.textContent = pinned ? "unpin" : "pin";
    link.hidden = !/^https:\/\//.test(card?.link ?? ""); // a saved card may be a stranger's: its address must not be a script
    if (!link.hidden) link.href = card?.link ?? "";
    about.textContent = !card ? (live ? "Looking it up." : "Its card is not stored here.") : card.stats ? describe(card.stats) : "";
    histogram.element.hidden = !card?.histogram;
    if (card?.histogram) histogram.draw(card.histogram, `active on ${count(card.stats?.fired)} of ${count(card.stats?.tokens)} tokens`, content.value);
    examples.element.hidden = !card?.examples;
    if (card?.examples) examples.draw(card.examples);
    none.hidden = !card || !!card.examples;
    none.textContent = card?.corpus ?? "";
    drawNeighbours(card?.neighbours ?? [], content.within);
    removed.replaceChildren(...(card?.removed === undefined ? [] : drawRemoved(card.removed, position, content)));
  }

  /** @param {[number, number][]} found @param {(atom: number) => boolean} [within] */
  function drawNeighbours(found, within = () => true) {
    neighbours.hidden = !found.length;
    neighbours.replaceChildren(h("h4", {}, "Nearest directions, by cosine"), h("ul", { class: "iw-chips" }, ...found.map(([atom, cosine]) =>
      h("li", {}, h("button", { type: "button", class: "iw-chip", "data-atom": atom, disabled: !within(atom), title: within(atom) ? null : "Not in this graph" }, `#${atom} `, h("span", { class: "iw-number" }, number(cosine, 2)))))));
  }

  /** @param {Removed | null} found @param {number | undefined} position @param {CardContent} content */
  function drawRemoved(found, position, { live, tokens }) {
    const heading = h("h4", {}, `Without it, on ${found?.prompt ?? "this text"}`);
    if (!found) return [heading, h("p", { class: "iw-hint" }, live ? "Being measured." : "Not measured before this view was saved.")];
    if (!found.active) return [heading, h("p", {}, "It does not fire in this text, so nothing changes."), ...drawDirect(found)];
    const at = position ?? found.kl.length - 1;
    const changes = (found.changes[at] ?? []).filter(([, before, after]) => before !== after);
    return [heading,
      h("p", {}, `log p(${quoted(found.answer)}) after the last token changes by `, h("strong", {}, change(found.effect)),
        known(found.estimate) ? ` (first order: ${change(found.estimate)}${known(found.share) ? `, ${percent(found.share)} of the effect of all atoms and errors` : ""})` : ""),
      h("table", { class: "iw-changes" }, h("caption", {}, `${changes.length ? "Most changed predictions" : "No prediction changes"} after token ${at} ${quoted((found.tokens ?? tokens)[at] ?? "")} · KL ${number(found.kl[at], 2)}`),
        h("thead", { hidden: !changes.length }, h("tr", {}, ...["token", "with", "without"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, ...changes.map(([token, before, after]) =>
          h("tr", {}, h("th", { scope: "row" }, visible(token)), h("td", { class: "iw-number" }, percent(before)), h("td", { class: "iw-number" }, percent(after)))))),
      ...drawDirect(found)];
  }

  /** @param {Removed} found */
  function drawDirect({ up, down, agreement, active }) {
    if (!up.length) return []; // what it writes is no part of the stream
    const telling = known(agreement) && agreement >= TELLING;
    const judged = active && known(agreement) ? `They agree with the change measured here with r = ${number(agreement, 2)}${telling ? "." : ": at this depth they mean little."}`
      : "Later layers are left out, so at this depth they may mean little.";
    const details = h("details", { class: "iw-direct", open }, h("summary", {}, "Direct logit weights"), h("p", { class: telling ? "iw-hint" : "iw-hint iw-why" }, judged),
      h("p", {}, "up: ", ...listWords(up)), h("p", {}, "down: ", ...listWords(down)));
    details.addEventListener("toggle", () => { open = details.open; }, { signal });
    return [details];
  }

  neighbours.addEventListener("click", (event) => {
    const chip = hit(event, "[data-atom]");
    if (chip) on.choose(Number(chip.dataset.atom));
  }, { signal });

  return { element, draw };
}

/** @param {[string, number][]} list */
const listWords = (list) => list.flatMap(([token, weight]) => [h("span", { class: "iw-word" }, visible(token)), ` ${number(weight, 2)} `]);

/** @param {NonNullable<Card["stats"]>} stats */
const describe = ({ density, mean, maximum }) => `In the corpus it fires ${oneIn(density)}, at ${number(mean)} on average and ${number(maximum)} at most.`;

/**
 * What has been read of the corpus, and a way to go on reading.
 * @param {AbortSignal} signal
 * @param {(message: { type: string }) => void} send
 */
function createCorpusLine(signal, send) {
  const text = h("span", { class: "iw-quiet" });
  const pause = button("Pause", signal, () => send({ type: "pause" }), { class: "iw-button iw-small", title: "Stop reading the corpus; what is read stays" });
  const resume = button("Read on", signal, () => send({ type: "read_on" }), { class: "iw-button iw-small", title: "Go on reading the corpus" });
  const element = h("div", { class: "iw-corpus" }, text, pause, resume);
  /** @param {CorpusState} state @param {boolean} live */
  function draw({ name, tokens, total, complete, running, more }, live) {
    const amount = `${count(tokens)}${total ? ` of ${count(total)}` : ""} tokens`;
    text.textContent = tokens === undefined ? "no corpus" : `corpus${name ? ` ${name}` : ""}: ${amount}${complete || running ? "" : ", not complete"}`;
    pause.hidden = !running;
    resume.hidden = !more || !!running;
    needsKernel(pause, live);
    needsKernel(resume, live);
  }
  return { element, draw };
}
