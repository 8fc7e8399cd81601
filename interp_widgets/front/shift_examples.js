/** Texts that an atom fires in, of both labels, shaded by its activation. */

import { place, SEQUENTIAL, styleAt } from "./color.js";
import { h } from "./dom.js";
import { number, percent, running, signed } from "./numbers.js";
import { nameOf } from "./shift_data.js";
import { walkable } from "./tip.js";

/** @param {import("./shift_data.js").ShiftModel} model @param {AbortSignal} signal */
export function createShiftExamples(model, signal) {
  const heading = h("h3");
  const about = h("p", { class: "iw-readout" });
  const list = h("ol");
  const around = h("div", { class: "iw-shift-texts", "aria-label": "Texts it fires in" }, list);
  walkable(around, signal);
  const element = h("div", { class: "iw-part" }, heading, about, around);

  function draw() {
    const row = model.get("listed").find(({ node }) => node === model.get("node"));
    const found = model.get("examples")[model.get("node")];
    element.hidden = !row;
    if (!row) return;
    heading.textContent = `Atom ${nameOf(row)}`;
    about.textContent = `Fires in ${percent(row.active)} of the texts. Effect ${signed(row.effect)}, 95% interval ${signed(row.low)} to ${signed(row.high)}. `
      + (found ? "Up to four texts of each label, of each the strongest first." : "Its texts are not stored here.");
    list.replaceChildren(...(found?.shown ?? []).map((shown) => drawText(shown, found.maximum)));
  }

  /** @param {import("./shift_data.js").Shown} shown @param {number} maximum */
  function drawText([text, , active], maximum) {
    const { tokens, label, spurious } = model.get("texts")[text];
    const values = new Map(active);
    const gap = model.get("words").some((word) => word.startsWith(" ") || word.startsWith("Ġ")) ? "" : " "; // tokens that are whole words have no space of their own
    return h("li", {}, h("span", { class: "iw-shift-label" }, [label, spurious].filter(Boolean).join(" · ")),
      h("span", { class: "iw-snippet", dir: "auto" }, ...tokens.flatMap((word, i) => {
        const value = values.get(i);
        const token = h("span", { style: value ? styleAt(SEQUENTIAL, place(value, [0, maximum])) : null, title: value ? number(value) : null }, running(model.get("words")[word]));
        return gap && i > 0 ? [gap, token] : [token];
      })));
  }

  return { element, draw };
}
