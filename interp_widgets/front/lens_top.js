/** The lens's right column: lines over layers, the pinned ones by name, and the top k of the selected cell. */

import { NEEDS_KERNEL } from "./controls.js";
import { h, hit, save } from "./dom.js";
import { createLines, swatch } from "./lines.js";
import { inText, percent, quoted, visible } from "./numbers.js";

const LINE_STYLES = 6; // as many as the stylesheet has

/** @param {number} index of a pin */
const lineClass = (index) => `iw-line-${index % LINE_STYLES}`;

/** @param {number[]} pin @param {import("./lens_data.js").LensData} lens */
const pinName = ([position, id], lens) => `${inText(lens.textOf(id))} @${position}`;

/** @param {number[]} a @param {number[]} b */
const samePin = (a, b) => a[0] === b[0] && a[1] === b[1];

/**
 * @param {import("./lens_data.js").LensModel} model
 * @param {AbortSignal} signal
 * @param {() => import("./lens_data.js").LensData} data
 */
export function createLensTop(model, signal, data) {
  const chart = createLines("Probability over layers");
  const pinned = h("ul", { class: "iw-pins", "aria-label": "Pinned lines" });
  const heading = h("h3", {}, "");
  const list = h("ol", { class: "iw-top", "aria-label": "Most likely tokens at the selected cell" });
  const hint = h("p", { class: "iw-hint" });
  const element = h("div", { class: "iw-side" }, h("div", { class: "iw-parts" },
    h("div", { class: "iw-part" }, chart.element, pinned), h("div", { class: "iw-part" }, heading, list, hint)));

  /**
   * The line of the cell pointed at (else of the selected one, else what the model predicts) over the pinned lines.
   * @param {[number, number] | null} pointed
   */
  function drawLines(pointed) {
    const lens = data();
    const asked = pointed ?? lens.at(model.get("cell"));
    const at = asked ?? lens.rest();
    const entry = at && lens.entry(at[0], at[1], 0);
    const now = at && entry ? [lens.start + at[1], entry.id] : [];
    /** @type {import("./lines.js").Series[]} */
    const series = model.get("pins").flatMap((pin, i) => {
      const values = lens.line(pin[0], pin[1]);
      const className = samePin(pin, now) ? `${lineClass(i)} iw-line-strong` : lineClass(i);
      return values ? [{ name: pinName(pin, lens), values, className }] : [];
    });
    const values = entry && lens.line(now[0], now[1]);
    if (values && !model.get("pins").some((pin) => samePin(pin, now))) series.push({ name: inText(entry.token), values, className: asked ? "iw-line-now" : "iw-line-rest" });
    chart.draw(lens.layers, series, about(entry, now[0], Boolean(values), Boolean(asked)), asked?.[0]);
  }

  /** @param {import("./lens_data.js").Entry | null} entry @param {number} position @param {boolean} stored @param {boolean} asked */
  function about(entry, position, stored, asked) {
    if (!entry || entry.id < 0) return "";
    if (!stored) return `${inText(entry.token)} at position ${position}: no line stored${model.get("live") ? "; press the cell, then the token" : ""}`;
    return `${inText(entry.token)} at position ${position}${asked ? "" : ", the model's prediction"}`;
  }

  function drawPins() {
    const lens = data();
    pinned.replaceChildren(...model.get("pins").map((pin, i) => {
      const name = pinName(pin, lens);
      const unpin = h("button", { type: "button", class: "iw-close", "data-pin": i, "aria-label": `Unpin ${name}` }, "×");
      const missing = lens.line(pin[0], pin[1]) ? "" : model.get("live") ? " (waiting)" : ` (${NEEDS_KERNEL.toLowerCase()})`;
      return h("li", { class: lineClass(i) }, swatch(), name + missing, unpin);
    }));
  }

  function drawTop() {
    const lens = data();
    const chosen = lens.at(model.get("cell"));
    const at = chosen ?? lens.rest();
    const entries = at ? lens.entries(...at) : [];
    hint.textContent = chosen ? "Press a token to keep its line." : "Press a cell to list its tokens here, and a token to keep its line.";
    heading.hidden = !entries.length;
    heading.textContent = at ? `Layer ${lens.layerName(at[0])}, position ${lens.start + at[1]}` : "";
    list.replaceChildren(...entries.map((entry) => drawEntry(entry, lens.start + (at?.[1] ?? 0), lens)));
  }

  /** @param {import("./lens_data.js").Entry} entry @param {number} position @param {import("./lens_data.js").LensData} lens */
  function drawEntry({ token, id, probability }, position, lens) {
    const live = model.get("live");
    const pin = model.get("pins").findIndex((each) => samePin(each, [position, id]));
    const off = pin < 0 && !live && !lens.line(position, id);
    const bar = h("span", { class: "iw-bar" });
    bar.style.setProperty("--share", String(probability));
    return h("li", { class: pin < 0 ? "" : lineClass(pin) },
      h("button", { type: "button", class: "iw-entry", "data-id": id, "aria-pressed": String(pin >= 0), disabled: off,
        title: off ? NEEDS_KERNEL : `${quoted(token)}, id ${id}: ${pin < 0 ? "keep" : "remove"} its line` },
      swatch(), h("span", { class: "iw-entry-token" }, visible(token)), h("span", { class: "iw-id" }, `id ${id}`),
      bar, h("span", { class: "iw-number" }, percent(probability))),
      h("button", { type: "button", class: "iw-button iw-small", "data-track": id, disabled: !live,
        title: live ? "Colour the grid by this token's rank" : NEEDS_KERNEL, "aria-label": `Colour by the rank of ${inText(token)}, id ${id}` }, "rank"));
  }

  list.addEventListener("click", (event) => {
    const at = data().at(model.get("cell")) ?? data().rest();
    const position = data().start + (at?.[1] ?? 0);
    const entry = hit(event, ".iw-entry");
    if (entry) togglePin([position, Number(entry.dataset.id)]);
    const track = hit(event, "[data-track]");
    if (track) {
      model.send({ type: "track", token_id: Number(track.dataset.track) });
      save(model, { color: "rank" });
    }
  }, { signal });
  pinned.addEventListener("click", (event) => {
    const unpin = hit(event, "[data-pin]");
    if (unpin) togglePin(model.get("pins")[Number(unpin.dataset.pin)]);
  }, { signal });

  /** @param {number[]} pin */
  function togglePin(pin) {
    const pins = model.get("pins");
    const rest = pins.filter((each) => !samePin(each, pin));
    const isNew = rest.length === pins.length;
    save(model, { pins: isNew ? [...pins, pin] : rest });
    const [position, token_id] = pin;
    if (isNew && !data().line(position, token_id)) model.send({ type: "line", position, token_id });
  }

  /** Redraw the list without losing the keyboard's place in it. */
  function drawList() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const selector = list.contains(focused) && (focused?.dataset.id ? `[data-id="${focused.dataset.id}"]` : `[data-track="${focused?.dataset.track}"]`);
    drawTop();
    if (selector) /** @type {HTMLElement | null} */ (list.querySelector(selector))?.focus();
  }

  return { element, drawLines, drawPins, drawTop: drawList };
}
