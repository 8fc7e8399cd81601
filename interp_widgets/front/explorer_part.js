/** One panel inside the explorer: whether its result is of the text, which of its positions are which tokens, and its place. */

import { h } from "./dom.js";

/** @typedef {import("@anywidget/types").AnyModel<any>} AnyModel */
/** @typedef {{ name: string, label: string, panel: AnyModel | null, reference: string }} Part */

/** @type {[name: string, label: string][]} */
export const NAMES = [["lens", "Lens"], ["atoms", "Atoms"], ["attention", "Attention"], ["patching", "Patching"]];

const NO_DICTIONARY = "Atoms need a dictionary: iw.Explorer(model, text, sae=iw.load_sae(…)).";
const OTHER_TEXT = "What was computed here belongs to another text. Run to compute it on this one.";
const NO_PAIR = "The text above is the clean prompt. Type the corrupt prompt that goes with it, the answer and a foil, and run them here.";

/** @param {unknown} one @param {unknown} two */
export const same = (one, two) => String(one) === String(two);

/** @param {Part} part @returns {number[]} */
const idsOf = ({ name, panel }) => panel?.get(name === "patching" ? "clean_ids" : "token_ids") ?? [];

/** Whether a part has a result, and it is of this text. @param {Part} part @param {number[]} ids */
export const isCurrent = (part, ids) => ids.length > 0 && same(idsOf(part), ids);

/** Pairs of positions, of the text and of the part; null where they are the same. @param {Part} part @returns {number[][] | null} */
const pairsOf = ({ name, panel }) => (name === "patching" && panel?.get("direction") === "denoise" ? panel.get("alignment") : null);

/** Positions of the text as the part counts them; those without a partner are left out. @param {Part} part @param {number[]} positions */
export const toPart = (part, positions) => pairsOf(part)?.filter(([ours]) => positions.includes(ours)).map(([, theirs]) => theirs) ?? positions;

/** Positions of the part as the text counts them. @param {Part} part @param {number[]} positions */
export const toText = (part, positions) => pairsOf(part)?.filter(([, theirs]) => positions.includes(theirs)).map(([ours]) => ours) ?? positions;

/** Whether a part's selection says the same as the text's. @param {Part} part @param {number[]} positions */
export const agrees = (part, positions) =>
  same(part.panel?.get("positions"), toPart(part, positions)) || same(toText(part, part.panel?.get("positions")), positions);

/** Whether the part's job runs. @param {Part} part */
export const isWorking = ({ panel }) => panel?.get("status").state === "running";

/**
 * The place of a part. Its panel is drawn when it is first shown; where it has nothing to show of this text, stands why.
 * @param {Part} part
 * @param {AnyModel} model  of the explorer
 * @param {any} host
 * @param {AbortSignal} signal
 */
export function createPlace(part, model, host, signal) {
  const why = h("p", { class: "iw-empty" });
  const place = h("div", {});
  const element = h("div", { class: "iw-explorer-part", role: "tabpanel", "aria-label": part.label, "data-part": part.name }, why, place);
  let mounted = false;

  async function mount() {
    if (mounted || !part.panel) return;
    mounted = true;
    try {
      const widget = await host.getWidget(part.reference);
      if (!signal.aborted) await widget.render({ el: place, signal });
    } catch (error) {
      place.replaceChildren(h("p", { class: "iw-error", role: "alert" }, `${part.label} cannot be drawn: ${error}`));
    }
  }

  /** Why nothing is to be seen of this text; empty when the panel has something, or says so itself. */
  function reason() {
    const ids = model.get("token_ids");
    if (!part.panel) return NO_DICTIONARY;
    if (isCurrent(part, ids)) return "";
    if (!model.get("live")) return `${part.label} had no result on this text when the page was saved.`;
    if (part.name === "patching") return ids.length ? NO_PAIR : "";
    return idsOf(part).length ? OTHER_TEXT : "";
  }

  /** @param {boolean} shown */
  function draw(shown) {
    element.hidden = !shown;
    if (!shown) return;
    mount();
    const [text, working] = [reason(), isWorking(part) && idsOf(part).length > 0];
    why.hidden = !text;
    why.textContent = working ? "" : text;
    why.toggleAttribute("data-loading", working);
    place.toggleAttribute("data-without", !!text);
  }
  return { element, draw };
}
