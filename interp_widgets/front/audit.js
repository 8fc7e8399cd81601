/** Audit: a table of numbers with intervals and baselines, and three small plots beside it. */

import { COLUMN_NAMES, interval, readAudit, written } from "./audit_data.js";
import { createDensity } from "./audit_density.js";
import { createEffect } from "./audit_effect.js";
import { createAuditTable } from "./audit_table.js";
import { follow, h, save } from "./dom.js";
import { createPanel, showResults } from "./head.js";
import { createLines } from "./lines.js";
import { known, level, quoted, share } from "./numbers.js";

const DATA = ["dictionaries", "sources", "quantities", "columns", "values", "counts", "edges", "histogram"];

/** @param {import("@anywidget/types").RenderProps<import("./audit_data.js").AuditState>} props */
function render({ model, el, signal }) {
  const shown = () => model.get("dictionaries")[model.get("dictionary")];
  const body = createPanel({ model, el, signal, name: "Audit", fields: [{ trait: "text", label: "This text" }],
    detail: () => {
      const { name, site, width } = shown() ?? {};
      return name ? `${name} (${site}, ${width} atoms)` : "";
    }, detailTraits: ["dictionaries", "dictionary"] });
  let data = readAudit(model);
  /** @type {string | null} */
  let pointed = null;

  const empty = h("p", { class: "iw-empty" });
  const dictionaries = createChooser("dictionary", (value) => save(model, { dictionary: Number(value), bin: -1 }));
  const sources = createChooser("texts", (source) => save(model, { source }));
  const table = createAuditTable({ signal, onSelect: (quantity) => save(model, { quantity }), onPoint: (quantity) => { pointed = quantity; drawReadout(); } });
  const heading = h("h3");
  const readout = h("p", { class: "iw-readout" });
  const density = createDensity({ signal, onSelect: (bin) => save(model, { bin: model.get("bin") === bin ? -1 : bin }), onAtom: (atom) => effect.ask(atom) });
  const lines = createLines("Share of the answer that is kept, by number of atoms kept", { x: "atoms kept, each at its own position", y: "share of the answer" });
  const curve = h("div", { class: "iw-part" }, h("h3", {}, "What the atoms carry of the answer"), lines.element);
  const effect = createEffect(model, signal, { measure: (atom) => model.send({ type: "effect", atom }), select: (context) => save(model, { context }) });
  const results = h("div", { class: "iw-results" }, h("div", { class: "iw-columns" },
    h("div", { class: "iw-main" }, h("div", { class: "iw-tools" }, dictionaries.element, sources.element), table.element, h("div", { class: "iw-part" }, heading, readout), effect.element),
    h("div", { class: "iw-side" }, h("div", { class: "iw-parts" }, curve, density.element))));
  body.append(empty, results);

  /** @param {string} label @param {(value: string) => void} onChoose */
  function createChooser(label, onChoose) {
    const select = h("select", { class: "iw-select", "aria-label": label });
    const element = h("label", { class: "iw-field iw-short" }, h("span", { class: "iw-label" }, label), select);
    select.addEventListener("change", () => onChoose(select.value), { signal });
    /** @param {[value: string, text: string][]} options @param {string} chosen */
    function draw(options, chosen) {
      select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
      select.value = chosen;
      element.hidden = options.length < 2;
    }
    return { element, draw };
  }

  function drawTable() {
    const baselines = ["pca", "random", "identity"].filter((column) => model.get("quantities").some(({ name }) => known(data.cell(model.get("dictionary"), model.get("source"), name, column)[0])));
    dictionaries.draw(model.get("dictionaries").map(({ name, site }, i) => [String(i), `${name} · ${site}`]), String(model.get("dictionary")));
    sources.draw(model.get("sources").map((source) => [source, source === "all" ? "all texts" : source]), model.get("source"));
    table.draw(data, { dictionary: model.get("dictionary"), name: shown()?.name ?? "", source: model.get("source"), quantities: model.get("quantities"), baselines, chosen: model.get("quantity") });
  }

  /** The definition of the row that is pointed at or selected, with all its numbers. */
  function drawReadout() {
    const { name, label, format, definition } = model.get("quantities").find((each) => each.name === (pointed ?? model.get("quantity"))) ?? model.get("quantities")[0] ?? { name: "", label: "", format: "", definition: "" };
    const [d, source] = [model.get("dictionary"), model.get("source")];
    const n = data.count(d, source, name);
    const numbers = model.get("columns").flatMap((column) => {
      const [value, low, high] = data.cell(d, source, name, column);
      const between = interval(format, low, high);
      return Number.isFinite(value) ? [`${COLUMN_NAMES[column]} ${written(format, value)}${between && ` [${between}]`}`] : [];
    });
    heading.textContent = label;
    readout.textContent = [`${definition}.`, n >= 0 ? `On ${source === "all" ? "all texts" : source}, n = ${n}: ${numbers.join(" · ")}` : `Not measured on ${source === "all" ? "all texts" : source}.`].join(" ");
  }

  function drawPlots() {
    density.draw(data.bins(model.get("dictionary"), model.get("source")), model.get("edges"), model.get("bin"), model.get("listed"), model.get("live"));
    const found = model.get("curves")[model.get("dictionary")];
    curve.hidden = !found?.kept;
    if (!found?.kept) return;
    lines.draw(found.kept, [
      { name: "with errors", values: found.with_errors.map((value) => value ?? NaN), className: "iw-line-0" },
      { name: "without", values: found.without_errors.map((value) => value ?? NaN), className: "iw-line-1" },
    ], `Logit of ${quoted(found.answer ?? "")}${found.foil ? ` less that of ${quoted(found.foil)}` : " less the mean"}: ${level(found.model)}, with nothing ${level(found.nothing)}. Error share ${share(found.share)}.`, undefined, [found.low, found.high]);
  }

  follow(model, signal, [
    [() => { data = readAudit(model); }, DATA],
    [() => showResults(model, results, empty, !model.get("dictionaries").length, "Nothing is measured yet. Press Run."), ["dictionaries", "status"]],
    [drawTable, [...DATA, "dictionary", "source", "quantity"]],
    [drawReadout, [...DATA, "dictionary", "source", "quantity"]],
    [drawPlots, [...DATA, "dictionary", "source", "bin", "listed", "curves", "live"]],
    [effect.draw, ["spread", "atom", "context", "live"]],
  ]);
}

export default { render };
