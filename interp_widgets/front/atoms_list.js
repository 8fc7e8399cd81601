/** What one token is made of: its atoms by activation, and always what they leave unexplained. */

import { button, createSelect, NEEDS_KERNEL } from "./controls.js";
import { h, hit } from "./dom.js";
import { change, level, number, quoted, share } from "./numbers.js";

const FIRST = 10;

/** @typedef {import("./atoms_data.js").Listed} Listed */
/** What the list is sorted by; its last column is the effect, or else the share. @type {Record<string, (each: Listed) => number>} */
const ORDERS = { activation: (each) => each.activation, share: (each) => Math.abs(each.share), effect: (each) => Math.abs(each.effect) };

/**
 * @param {import("./atoms_data.js").AtomsModel} model
 * @param {AbortSignal} signal
 * @param {() => import("./atoms_data.js").AtomsData} data
 * @param {{ choose: (atom: number) => void, pin: (atom: number) => void }} on
 */
export function createAtomList(model, signal, data, on) {
  const heading = h("h3");
  const hint = h("p", { class: "iw-invite" }, "Press a token: its active atoms are listed here, with what they leave unexplained. Press an atom there to colour the text by it.");
  // What the columns are; the list says it to those who cannot see them.
  const names = h("div", { class: "iw-atoms-head", "aria-hidden": "true" }, ...["atom", "activation", ""].map((name) => h("span", {}, name)));
  const order = createSelect({ label: "Sort by", options: [["activation", "activation"], ["share", "share of |x|²"], ["effect", "effect on the answer"]], signal,
    onChoose: (value) => { by = value; draw(); } });
  const effects = h("p", { class: "iw-hint" });
  const list = h("ol", { class: "iw-atoms", "aria-label": "Active atoms, largest first" });
  const more = button("", signal, () => { all = !all; draw(); }, { class: "iw-button iw-small" });
  const rest = h("dl", { class: "iw-rest", "aria-label": "What the atoms leave unexplained" });
  const element = h("div", { class: "iw-side" }, h("div", { class: "iw-part" }, heading, hint, order.element, effects, names, list, more, rest));
  let all = false;
  let by = "activation";

  function draw() {
    const position = model.get("positions")[0];
    const token = model.get("tokens")[position];
    const atoms = token === undefined ? [] : data().listed(position).sort((a, b) => ORDERS[by](b) - ORDERS[by](a));
    const span = model.get("positions").length;
    hint.hidden = token !== undefined;
    heading.hidden = names.hidden = rest.hidden = order.element.hidden = token === undefined;
    effects.hidden = token === undefined || by !== "effect";
    effects.textContent = data().answer ? `First-order change of log p(${quoted(data().answer)}) after the last token, if the atom were removed here.` : "The effects are being computed.";
    names.lastElementChild?.replaceChildren(by === "effect" ? "effect" : "share of |x|²");
    order.draw(by);
    heading.textContent = token === undefined ? "" : `Token ${position} ${quoted(token)}${span > 1 ? ` (first of ${span} selected)` : ""}`;
    more.hidden = atoms.length <= FIRST;
    more.textContent = all ? `Show the first ${FIRST}` : `Show all ${atoms.length}`;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const again = list.contains(focused) && `[data-${focused?.dataset.pin ? "pin" : "atom"}="${focused?.dataset.pin ?? focused?.dataset.atom}"]`;
    const about = token === undefined ? null : data().token(position);
    const axis = shareAxis(by === "effect" ? [...atoms.map((atom) => atom.effect), about?.errorEffect ?? 0]
      : [...atoms.map((atom) => atom.share), about?.biasShare ?? 0, about?.errorShare ?? 0]);
    list.toggleAttribute("data-all", all);
    list.replaceChildren(...atoms.slice(0, all ? undefined : FIRST).map((each) => drawAtom(each, axis)));
    if (about) drawRest(about, atoms.length, axis);
    if (again) /** @type {HTMLElement | null} */ (list.querySelector(again))?.focus();
  }

  /** @param {Listed} each @param {Axis} axis */
  function drawAtom({ atom, activation, share: part, effect }, axis) {
    const pinned = model.get("atoms").includes(atom);
    const off = !model.get("live") && !data().row(atom);
    return h("li", {},
      h("button", { type: "button", class: "iw-entry", "data-atom": atom, "aria-pressed": String(model.get("atom") === atom), disabled: off,
        title: off ? NEEDS_KERNEL : "Colour the text by this atom and open its card" },
      h("span", { class: "iw-entry-token" }, `#${atom}`), h("span", { class: "iw-number" }, level(activation)),
      ...(by === "effect" ? [shareBar(effect, axis), h("span", { class: "iw-number" }, change(effect))]
        : [shareBar(part, axis), h("span", { class: "iw-number" }, share(part))])),
      h("button", { type: "button", class: "iw-button iw-small", "data-pin": atom, "aria-pressed": String(pinned), disabled: off,
        title: off ? NEEDS_KERNEL : null, "aria-label": `${pinned ? "Unpin" : "Pin"} atom ${atom}` }, pinned ? "unpin" : "pin"));
  }

  /** @param {ReturnType<import("./atoms_data.js").AtomsData["token"]>} about @param {number} listed @param {Axis} axis */
  function drawRest({ active, norm, errorNorm, errorShare, biasShare, errorEffect }, listed, axis) {
    rest.replaceChildren(
      ...(by === "effect" ? pair("reconstruction error", shareBar(errorEffect, axis), change(errorEffect))
        : [...pair("bias", shareBar(biasShare, axis), share(biasShare)), ...pair("reconstruction error", shareBar(errorShare, axis), share(errorShare))]),
      ...pair("|error| / |activation|", "", number(errorNorm)),
      ...pair("|activation|", "", number(norm)),
      ...pair("active atoms", "", `${active ?? "–"}${active > listed ? ` (${listed} listed)` : ""}`),
    );
  }

  list.addEventListener("click", (event) => {
    const [atom, pin] = [hit(event, "[data-atom]"), hit(event, "[data-pin]")];
    if (pin) on.pin(Number(pin.dataset.pin));
    else if (atom) on.choose(Number(atom.dataset.atom));
  }, { signal });

  return { element, draw };
}

/** @param {string} name @param {Node | string} bar @param {string} value */
const pair = (name, bar, value) => [h("dt", {}, name), h("dd", {}, bar, h("span", { class: "iw-number" }, value))];

/** @typedef {{ low: number, width: number }} Axis  from the most negative share (or 0) to the largest */

/** @param {number[]} shares @returns {Axis} */
function shareAxis(shares) {
  const known = shares.filter(Number.isFinite);
  const low = Math.min(0, ...known);
  return { low, width: Math.max(1e-9, Math.max(0, ...known) - low) };
}

/** A bar from zero to the share: negative ones go left, in the other colour. @param {number} value @param {Axis} axis */
function shareBar(value, { low, width }) {
  const fill = h("span", { "data-negative": value < 0 });
  const part = Number.isFinite(value) ? value : 0;
  fill.style.left = `${(100 * (Math.min(0, part) - low)) / width}%`;
  fill.style.width = `${(100 * Math.abs(part)) / width}%`;
  return h("span", { class: "iw-share" }, fill);
}
