/** SHIFT: atoms to strike out, the texts they fire in, and how often the probe is right before and after. */

import { button, needsKernel } from "./controls.js";
import { follow, h, save } from "./dom.js";
import { createPanel, showResults } from "./head.js";
import { percent } from "./numbers.js";
import { createShiftExamples } from "./shift_examples.js";
import { createShiftList } from "./shift_list.js";

/** @param {import("@anywidget/types").RenderProps<import("./shift_data.js").ShiftState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Shift", fields: [], detail: () => (model.get("site") ? `probe at ${model.get("site")}` : ""), detailTraits: ["site"] });
  const empty = h("p", { class: "iw-empty" });
  const list = createShiftList({ signal, onSelect: (node) => save(model, { node }), onStrike: (node, struck) => strike(struck ? [...model.get("struck"), node] : model.get("struck").filter((each) => each !== node)) });
  const examples = createShiftExamples(model, signal);
  const count = h("span", { class: "iw-quiet" });
  const clear = button("Strike none", signal, () => strike([]), { class: "iw-button iw-small" });
  const compare = button("Compare", signal, () => model.send({ type: "compare" }), { class: "iw-button iw-small", title: "Measure as many random atoms, and the atoms and neurons that labels would choose" });
  const head = h("thead");
  const rows = h("tbody");
  const table = h("div", { class: "iw-audit-scroll", role: "region", "aria-label": "Accuracy by group", tabindex: 0 }, h("table", { class: "iw-table iw-shift-table" }, head, rows));
  const results = h("div", { class: "iw-results" },
    h("div", { class: "iw-columns" },
      h("div", { class: "iw-main" }, h("div", { class: "iw-tools" }, h("h3", {}, "What the probe rests on"), count, clear), list.element),
      h("div", { class: "iw-side" }, examples.element)),
    h("div", { class: "iw-part iw-shift-accuracy" }, h("div", { class: "iw-tools" }, h("h3", {}, "Accuracy on the test split"), compare), table));
  body.append(empty, results);

  /** @param {string[]} struck */
  const strike = (struck) => save(model, { struck });

  function drawList() {
    const [struck, live] = [model.get("struck"), model.get("live")];
    list.draw(model.get("listed"), struck, model.get("node"), live);
    count.textContent = `${struck.length} of ${model.get("listed").length} struck out`;
    needsKernel(clear, live, struck.length > 0);
    needsKernel(compare, live, struck.length > 0);
  }

  function drawTable() {
    const sizes = model.get("accuracy")[0]?.cells.map(({ n }) => n) ?? [];
    head.replaceChildren(h("tr", {}, h("th", { scope: "col" }, "probe"), h("th", { scope: "col" }, "struck"),
      ...model.get("groups").map(([, name], i) => h("th", { scope: "col" }, name, h("small", {}, `n = ${sizes[i] ?? ""}`)))));
    rows.replaceChildren(...model.get("accuracy").map(({ condition, name, nodes, draws, cells }) => h("tr", { "data-condition": condition },
      h("th", { scope: "row" }, draws > 1 ? `${name}, ${draws} draws` : name), h("td", {}, String(nodes)),
      ...cells.map(({ accuracy, low, high }) => h("td", {}, h("span", { class: "iw-shift-share", style: `--share: ${accuracy}` }, percent(accuracy)), h("small", {}, `${percent(low).replace("%", "")} to ${percent(high)}`))))));
  }

  follow(model, signal, [
    [() => showResults(model, results, empty, !model.get("accuracy").length, "Nothing is measured yet. Press Run."), ["accuracy", "status"]],
    [drawList, ["listed", "struck", "node", "live"]],
    [examples.draw, ["listed", "node", "examples", "texts", "words"]],
    [drawTable, ["accuracy", "groups"]],
  ]);
}

export default { render };
