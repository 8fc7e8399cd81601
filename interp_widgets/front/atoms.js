/** SAE atoms: the text coloured by one atom, the atoms active at one token, and the pinned ones as a small grid. */

import { createCard } from "./atoms_card.js";
import { readAtoms } from "./atoms_data.js";
import { createFinder } from "./atoms_find.js";
import { createAtomList } from "./atoms_list.js";
import { gradient, place, SEQUENTIAL, styleAt } from "./color.js";
import { button, createLegend, NEEDS_KERNEL } from "./controls.js";
import { follow, h, hit, save, setAttributes } from "./dom.js";
import { createGrid } from "./grid.js";
import { createPanel, showResults } from "./head.js";
import { number, percent, quoted, visible } from "./numbers.js";
import { createStrip } from "./tokens.js";

const DATA = ["tokens", "masked", "top_k", "top_atom", "top_activation", "top_share", "active", "norm", "error_norm", "error_share",
  "bias_share", "pinned", "pinned_activation", "pinned_scale", "complete", "top_effect", "error_effect", "answered"];

/** @param {import("@anywidget/types").RenderProps<import("./atoms_data.js").AtomsState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Atoms", fields: [{ trait: "text", label: "Text" }, { trait: "answer", label: "Answer", short: true }],
    detail: () => model.get("sae_name"), detailTraits: ["sae_name"] });
  let data = readAtoms(model);

  const empty = h("p", { class: "iw-empty" });
  const strip = createStrip({ label: "Text tokens", signal, onSelect: (positions) => save(model, { positions }), onHover: drawReadout });
  const readout = h("p", { class: "iw-readout" });
  const legend = createLegend();
  const chooser = createChooser();
  const list = createAtomList(model, signal, () => data, { choose, pin });
  const pinned = createPinned();
  const finder = createFinder(model, signal, choose);
  const card = createCard(signal, { choose, pin: () => pin(model.get("atom")), send: (message) => model.send(message) });
  const results = h("div", { class: "iw-results" },
    h("div", { class: "iw-columns" },
      h("div", { class: "iw-main" }, h("div", { class: "iw-tools" }, chooser.element, legend.element), strip.element, readout, finder.element),
      list.element),
    pinned.element, card.element);
  body.append(empty, results);

  /** Colour the text by an atom; pressing the atom that colours it now stops that. @param {number} atom */
  function choose(atom) {
    save(model, { atom: model.get("atom") === atom ? -1 : atom });
  }

  /** @param {number} atom */
  function pin(atom) {
    const atoms = model.get("atoms");
    save(model, { atoms: atoms.includes(atom) ? atoms.filter((each) => each !== atom) : [...atoms, atom] });
  }

  function drawEmpty() {
    showResults(model, results, empty, !data.count, "Type a text above and run it: the dictionary's atoms active at each token appear here.");
  }

  function drawStrip() {
    const atom = model.get("atom");
    const row = atom < 0 ? null : data.row(atom);
    const range = row ? [0, row.largest] : undefined;
    strip.draw({
      tokens: model.get("tokens"), ids: model.get("token_ids"), masked: model.get("masked"),
      style: row ? (position) => (row.values[position] > 0 ? styleAt(SEQUENTIAL, place(row.values[position], range)) : "") : undefined,
      note: row ? (position) => `#${atom} ${number(row.values[position])}` : undefined,
    });
    strip.select(model.get("positions"));
    legend.element.toggleAttribute("data-quiet", !row);
    legend.draw(gradient(SEQUENTIAL), "0", row ? number(row.largest) : "", row ? "activation" : "no atom chosen");
    chooser.draw();
    drawReadout(null);
  }

  /** @param {number | null} position */
  function drawReadout(position) {
    const at = position ?? model.get("positions")[0];
    const token = model.get("tokens")[at];
    if (token === undefined) {
      readout.textContent = "Point at a token to read its values; press it to list its atoms.";
      return;
    }
    const { active, errorNorm, errorShare } = data.token(at);
    const atom = model.get("atom");
    const value = atom < 0 ? undefined : data.row(atom)?.values[at];
    readout.textContent = [
      `token ${at} ${quoted(token)}`,
      value === undefined ? "" : `#${atom} ${number(value)}`,
      `${active ?? "–"} active`,
      `error ${number(errorNorm)} of the norm, ${percent(errorShare)} of its square`,
      data.masked.has(at) ? "left out of scales and sums" : "",
    ].filter(Boolean).join(" · ");
  }

  function drawCard() {
    const [atom, position] = [model.get("atom"), model.get("positions")[0]];
    card.draw(atom < 0 || !data.count ? null : {
      title: `Atom #${atom}`, card: model.get("cards")[String(atom)], live: model.get("live"), tokens: model.get("tokens"), position,
      value: data.row(atom)?.values[position], pinned: model.get("atoms").includes(atom), corpus: model.get("corpus_state"),
    });
  }

  /** Jump to any atom by its number. */
  function createChooser() {
    const input = h("input", { type: "number", min: 0, step: 1, size: 7, "aria-label": "Atom that colours the text" });
    const clear = button("Clear", signal, () => save(model, { atom: -1 }), { class: "iw-button iw-small" });
    const why = h("span", { class: "iw-why", role: "status" });
    const element = h("div", { class: "iw-field iw-chooser" }, h("span", { class: "iw-label" }, "atom #"), input, clear, why);
    input.addEventListener("change", jump, { signal });
    function jump() {
      const atom = input.valueAsNumber;
      const possible = Number.isInteger(atom) && atom >= 0;
      why.textContent = !possible ? "" : model.get("live") || data.row(atom) ? "" : `#${atom} is not stored here. ${NEEDS_KERNEL}.`;
      if (possible && !why.textContent) save(model, { atom });
    }
    function draw() {
      const atom = model.get("atom");
      if (document.activeElement !== input || atom >= 0) input.value = atom < 0 ? "" : String(atom);
      why.textContent = atom >= 0 && data.count ? aboutAtom(atom) : "";
      setAttributes(clear, { disabled: atom < 0 });
    }
    return { element, draw };
  }

  /** What there is to say of the chosen atom beside its colours. @param {number} atom */
  function aboutAtom(atom) {
    const row = data.row(atom);
    if (!row) return model.get("live") ? `#${atom} is being computed.` : `${NEEDS_KERNEL}.`;
    return Array.from(row.values).some((value) => value > 0) ? "" : `#${atom} does not fire in this text.`;
  }

  /** One row per pinned atom, each on its own scale. */
  function createPinned() {
    const grid = createGrid({
      label: "Activation of the pinned atoms at each token", corner: "atom", signal, dense: true,
      onSelect: (row, position) => save(model, { atom: model.get("atoms")[row], positions: [position] }),
      onHover: (at) => drawReadout(at ? at[1] : null),
      tell: (row, position) => {
        const atom = model.get("atoms")[row];
        return `#${atom} ${number(data.row(atom)?.values[position])} at token ${position} ${quoted(model.get("tokens")[position] ?? "")}`;
      },
    });
    const element = h("div", { class: "iw-pinned" }, h("h3", {}, "Pinned atoms"), grid.element);
    element.addEventListener("click", (event) => {
      const [unpin, name] = [hit(event, "[data-unpin]"), hit(event, "[data-choose]")];
      if (unpin) pin(Number(unpin.dataset.unpin));
      else if (name) choose(Number(name.dataset.choose));
    }, { signal });

    function draw() {
      const atoms = model.get("atoms");
      const tokens = model.get("tokens");
      const rows = atoms.map((atom) => data.row(atom));
      element.hidden = !atoms.length || !data.count;
      if (element.hidden) return;
      grid.draw({
        rows: atoms.map((atom) => ({ text: `#${atom}`, extra: rowHead(atom) })),
        columns: tokens.map((token, position) => ({ text: visible(token), title: `${position}: ${quoted(token)}`,
          state: data.masked.has(position) ? "masked" : undefined })),
        cell: (r, position) => {
          const row = rows[r];
          if (!row) return { text: "", state: "pending", title: model.get("live") ? "not computed yet, or never active here" : NEEDS_KERNEL };
          const value = row.values[position];
          const hidden = data.masked.has(position);
          return { text: value > 0 ? number(value, 2) : "", state: hidden ? "masked" : undefined,
            style: hidden || !(value > 0) ? "" : styleAt(SEQUENTIAL, place(value, [0, row.largest])) };
        },
      });
      grid.mark(null, new Set(model.get("positions")));
    }
    /** @param {number} atom */
    const rowHead = (atom) => h("span", { class: "iw-pinned-head" },
      h("button", { type: "button", class: "iw-link", "data-choose": atom, "aria-pressed": String(model.get("atom") === atom), "aria-label": `Colour the text by atom ${atom}` }, `#${atom}`),
      h("button", { type: "button", class: "iw-close", "data-unpin": atom, "aria-label": `Unpin atom ${atom} from the grid` }, "×"));
    return { element, draw };
  }

  follow(model, signal, [
    [() => { data = readAtoms(model); }, DATA],
    [drawEmpty, ["tokens", "status"]],
    [drawStrip, [...DATA, "token_ids", "positions", "atom", "live"]],
    [list.draw, [...DATA, "positions", "atoms", "atom", "live"]],
    [pinned.draw, [...DATA, "positions", "atoms", "atom", "live"]],
    [finder.draw, ["found", "atom", "live"]],
    [drawCard, [...DATA, "cards", "corpus_state", "positions", "atoms", "atom", "status", "live"]],
  ]);
}

export default { render };
