/** Finding atoms: by what they do to the answer, by where they fire, by a token of the corpus, by direction. */

import { button, createSelect, needsKernel } from "./controls.js";
import { h, hit } from "./dom.js";
import { number } from "./numbers.js";

/** How to look, what it is called, and what is typed for it, if anything. @type {[string, string, string][]} */
const WAYS = [
  ["effect", "that carry the answer", ""],
  ["here", "on the selected tokens, not on the others", ""],
  ["contrast", "here and not in this text:", "another text"],
  ["token", "on this token, in the corpus:", "one token"],
  ["similar", "like the chosen atom", ""],
];

/** @typedef {{ how: string, about: string, rows: { atom: number, value: number, detail: string }[] }} Found */

/**
 * @param {import("./atoms_data.js").AtomsModel} model
 * @param {AbortSignal} signal
 * @param {(atom: number) => void} choose
 */
export function createFinder(model, signal, choose) {
  let how = "effect";
  const select = createSelect({ label: "Find atoms", options: WAYS.map(([name, label]) => [name, label]), signal, onChoose: (value) => { how = value; draw(); } });
  const query = h("input", { type: "text", spellcheck: "false", autocomplete: "off" });
  const find = button("Find", signal, send, { class: "iw-button iw-small" });
  const about = h("p", { class: "iw-hint" });
  const list = h("ol", { class: "iw-chips", "aria-label": "Atoms found" });
  const element = h("div", { class: "iw-find" }, h("div", { class: "iw-tools" }, select.element, query, find), about, list);

  function send() {
    model.send({ type: "find", how, query: query.value });
  }
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter") send();
  }, { signal });
  list.addEventListener("click", (event) => {
    const chip = hit(event, "[data-atom]");
    if (chip) choose(Number(chip.dataset.atom));
  }, { signal });

  function draw() {
    const [, , typed] = WAYS.find(([name]) => name === how) ?? WAYS[0];
    select.draw(how);
    query.hidden = !typed;
    query.placeholder = typed;
    query.setAttribute("aria-label", typed || "nothing to type");
    needsKernel(find, model.get("live"));
    const found = /** @type {Found} */ (model.get("found"));
    const rows = found.rows ?? [];
    about.textContent = found.about ?? "";
    list.replaceChildren(...rows.map(({ atom, value, detail }) => h("li", {},
      h("button", { type: "button", class: "iw-chip", "data-atom": atom, "aria-pressed": String(model.get("atom") === atom), title: detail },
        `#${atom} `, h("span", { class: "iw-number" }, number(value, 2))))));
  }

  return { element, draw };
}
