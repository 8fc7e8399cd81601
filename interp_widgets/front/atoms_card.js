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
 * @prop {Removed | null} removed  null while it is being measured
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
 */

/** Correlation from which on a list of direct weights says what the atom does. */
const TELLING = 0.5;

/**
 * @param {import("./atoms_data.js").AtomsModel} model
 * @param {AbortSignal} signal
 * @param {() => import("./atoms_data.js").AtomsData} data
 * @param {{ choose: (atom: number) => void, pin: (atom: number) => void }} on
 */
export function createCard(model, signal, data, on) {
  const title = h("h3");
  const about = h("p", { class: "iw-quiet" });
  const pin = button("pin", signal, () => on.pin(model.get("atom")), { class: "iw-button iw-small" });
  const link = h("a", { class: "iw-out", target: "_blank", rel: "noopener noreferrer" }, "on Neuronpedia ↗");
  const corpus = createCorpusLine(model, signal);
  const histogram = createHistogram("Activations in the corpus", signal);
  const removed = h("div", { class: "iw-part" });
  const neighbours = h("div", { class: "iw-part" });
  const examples = createExamples(signal, draw);
  const none = h("p", { class: "iw-invite iw-no-corpus" });
  let open = false; // whether the direct weights are shown, from one atom to the next
  const side = h("div", { class: "iw-card-side" }, histogram.element, removed, neighbours);
  const element = h("section", { class: "iw-card", "aria-label": "Atom card" },
    h("div", { class: "iw-tools" }, title, pin, link, corpus.element), about, h("div", { class: "iw-card-columns" }, side, h("div", { class: "iw-card-main" }, examples.element, none)));

  function draw() {
    const atom = model.get("atom");
    const card = /** @type {Card | undefined} */ (model.get("cards")[String(atom)]);
    corpus.draw();
    element.hidden = atom < 0 || !data().count;
    if (element.hidden) return;
    const position = model.get("positions")[0];
    title.textContent = `Atom #${atom}`;
    pin.textContent = model.get("atoms").includes(atom) ? "unpin" : "pin";
    link.hidden = !/^https:\/\//.test(card?.link ?? ""); // a saved card may be a stranger's: its address must not be a script
    if (!link.hidden) link.href = card?.link ?? "";
    about.textContent = !card ? (model.get("live") ? "Looking it up." : "Its card is not stored here.") : card.stats ? describe(card.stats) : "";
    histogram.element.hidden = !card?.histogram;
    if (card?.histogram) histogram.draw(card.histogram, `active on ${count(card.stats?.fired)} of ${count(card.stats?.tokens)} tokens`, data().row(atom)?.values[position]);
    examples.element.hidden = !card?.examples;
    if (card?.examples) examples.draw(card.examples);
    none.hidden = !card || !!card.examples;
    none.textContent = card?.corpus ?? "";
    drawNeighbours(card?.neighbours ?? []);
    removed.replaceChildren(...(card ? drawRemoved(card.removed, position) : []));
  }

  /** @param {[number, number][]} found */
  function drawNeighbours(found) {
    neighbours.hidden = !found.length;
    neighbours.replaceChildren(h("h4", {}, "Nearest directions, by cosine"), h("ul", { class: "iw-chips" }, ...found.map(([atom, cosine]) =>
      h("li", {}, h("button", { type: "button", class: "iw-chip", "data-atom": atom }, `#${atom} `, h("span", { class: "iw-number" }, number(cosine, 2)))))));
  }

  /** @param {Removed | null} found @param {number | undefined} position */
  function drawRemoved(found, position) {
    const heading = h("h4", {}, "Without it, on this text");
    if (!found) return [heading, h("p", { class: "iw-hint" }, model.get("live") ? "Being measured." : "Not measured before this view was saved.")];
    if (!found.active) return [heading, h("p", {}, "It does not fire in this text, so nothing changes."), ...drawDirect(found)];
    const at = position ?? found.kl.length - 1;
    const changes = (found.changes[at] ?? []).filter(([, before, after]) => before !== after);
    return [heading,
      h("p", {}, `log p(${quoted(found.answer)}) after the last token changes by `, h("strong", {}, change(found.effect)),
        known(found.estimate) ? ` (first order: ${change(found.estimate)}${known(found.share) ? `, ${percent(found.share)} of the effect of all atoms and errors` : ""})` : ""),
      h("table", { class: "iw-changes" }, h("caption", {}, `${changes.length ? "Most changed predictions" : "No prediction changes"} after token ${at} ${quoted(model.get("tokens")[at] ?? "")} · KL ${number(found.kl[at], 2)}`),
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
 * @param {import("./atoms_data.js").AtomsModel} model
 * @param {AbortSignal} signal
 */
function createCorpusLine(model, signal) {
  const text = h("span", { class: "iw-quiet" });
  const pause = button("Pause", signal, () => model.send({ type: "pause" }), { class: "iw-button iw-small", title: "Stop reading the corpus; what is read stays" });
  const resume = button("Read on", signal, () => model.send({ type: "read_on" }), { class: "iw-button iw-small", title: "Go on reading the corpus" });
  const element = h("div", { class: "iw-corpus" }, text, pause, resume);
  function draw() {
    const { name, tokens, total, complete, running, more } = model.get("corpus_state");
    const amount = `${count(tokens)}${total ? ` of ${count(total)}` : ""} tokens`;
    text.textContent = tokens === undefined ? "no corpus" : `corpus${name ? ` ${name}` : ""}: ${amount}${complete || running ? "" : ", not complete"}`;
    pause.hidden = !running;
    resume.hidden = !more || !!running;
    needsKernel(pause, model.get("live"));
    needsKernel(resume, model.get("live"));
  }
  return { element, draw };
}
