/** The results that a patching panel has shown: back, on, by name, and naming. Nothing here computes anything anew. */

import { button, needsKernel } from "./controls.js";
import { h } from "./dom.js";

/**
 * @param {import("./patching_data.js").PatchingModel} model
 * @param {AbortSignal} signal
 */
export function createHistory(model, signal) {
  const undo = button("↶", signal, () => model.send({ type: "undo" }), { class: "iw-button iw-small", "aria-label": "Undo", title: "Undo: the result before this one" });
  const redo = button("↷", signal, () => model.send({ type: "redo" }), { class: "iw-button iw-small", "aria-label": "Redo", title: "Redo: the result after this one" });
  const list = h("select", { class: "iw-select", "aria-label": "Results so far", title: "Results so far: choosing one computes nothing" });
  const name = h("input", { type: "text", "aria-label": "Name of this result", maxlength: 60, spellcheck: "false" });
  const rename = button("Rename", signal, () => edit(true), { class: "iw-button iw-small" });
  const element = h("div", { class: "iw-history", role: "group", "aria-label": "History" }, undo, redo, list, name, rename);

  /** @param {boolean} on */
  function edit(on) {
    name.hidden = !on;
    list.hidden = rename.hidden = on;
    if (!on) return;
    name.value = model.get("history")[model.get("history_at")] ?? "";
    name.focus();
    name.select();
  }
  list.addEventListener("change", () => model.send({ type: "recall", index: Number(list.value) }), { signal });
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault(); // or the button that gets the focus would be pressed by the same key
    if (event.key === "Enter") model.send({ type: "rename", name: name.value });
    edit(false);
    rename.focus();
  }, { signal });
  name.addEventListener("blur", () => edit(false), { signal });
  edit(false);

  function draw() {
    const [names, at, live] = [model.get("history"), model.get("history_at"), model.get("live")];
    element.hidden = !names.length;
    list.replaceChildren(...names.map((each, i) => h("option", { value: i }, `${i + 1}: ${each}`)));
    list.value = String(at);
    list.disabled = !live;
    needsKernel(undo, live, at > 0);
    needsKernel(redo, live, at < names.length - 1);
    needsKernel(rename, live, at >= 0);
  }
  return { element, draw };
}
