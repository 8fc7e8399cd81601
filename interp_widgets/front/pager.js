/** Buttons that move the window over a prompt longer than the grid. */

import { button, needsKernel } from "./controls.js";
import { h } from "./dom.js";

/**
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {AbortSignal} signal
 * @param {() => { start: number, stop: number, width: number }} data  the positions that the grid shows
 */
export function createPager(model, signal, data) {
  const before = button("‹ earlier", signal, () => move(data().start - data().width), { class: "iw-button iw-small" });
  const after = button("later ›", signal, () => move(data().start + data().width), { class: "iw-button iw-small" });
  const where = h("span");
  const element = h("div", { class: "iw-pager" }, before, where, after);

  /** @param {number} start */
  function move(start) {
    const furthest = model.get("tokens").length - data().width;
    if (model.get("live")) model.send({ type: "window", start: Math.max(0, Math.min(furthest, start)) });
  }

  /** Move to a position that the grid does not show. @param {number | undefined} position */
  function reach(position) {
    const { start, stop, width } = data();
    if (position !== undefined && (position < start || position >= stop)) move(position - Math.floor(width / 2));
  }

  function draw() {
    const { start, stop, width } = data();
    const count = model.get("tokens").length;
    const live = model.get("live");
    element.hidden = width >= count;
    where.textContent = `The grid shows positions ${start} to ${stop - 1} of ${count}.`;
    needsKernel(before, live, start > 0);
    needsKernel(after, live, stop < count);
  }

  return { element, draw, reach };
}
