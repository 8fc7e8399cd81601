/** Examples of where atoms fire, out of a table: one atom at a time, with no model beside it. */

import { createExamples } from "./atoms_examples.js";
import { createSelect } from "./controls.js";
import { follow, h, save } from "./dom.js";
import { createPanel } from "./head.js";
import { count } from "./numbers.js";

/**
 * @typedef {object} ExamplesState
 * @prop {number[]} atoms
 * @prop {number} atom          the one shown, or -1
 * @prop {Record<string, import("./atoms_examples.js").Examples>} stored
 * @prop {boolean} live
 */

/** @param {import("@anywidget/types").RenderProps<ExamplesState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Examples", fields: [], runs: false });
  /** @type {[string, string][]} */
  const options = model.get("atoms").map((atom) => [String(atom), `#${atom}`]);
  const choice = createSelect({ label: "Atom", options, signal, onChoose: (value) => save(model, { atom: Number(value) }) });
  const heading = h("h3");
  const about = h("span", { class: "iw-quiet" });
  const none = h("p", { class: "iw-empty" });
  const examples = createExamples(signal, draw);
  body.append(none, h("div", { class: "iw-results" }, h("div", { class: "iw-tools" }, heading, choice.element, about), examples.element));

  function draw() {
    const [atom, atoms] = [model.get("atom"), model.get("atoms")];
    const found = model.get("stored")[String(atom)];
    heading.textContent = atom < 0 ? "" : `Atom #${atom}`;
    heading.hidden = atoms.length !== 1; // of several, the choice says it
    choice.element.hidden = atoms.length < 2;
    choice.draw(String(atom));
    about.textContent = found ? `${count(Object.values(found.kinds).flat().reduce((sum, group) => sum + group.examples.length, 0))} examples` : "";
    none.hidden = !!found;
    none.textContent = !atoms.length ? "The table has no examples." : model.get("live") ? "Looking it up." : "The examples of this atom are not stored here.";
    examples.element.hidden = !found;
    if (found) examples.draw(found);
  }

  follow(model, signal, [[draw, ["atom", "atoms", "stored", "live"]]]);
}

export default { render };
