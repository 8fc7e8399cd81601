/** How often the atoms fire: a histogram of densities on a logarithmic axis, with those that never fire apart. */

import { NEEDS_KERNEL } from "./controls.js";
import { h, hit, s, setAttributes } from "./dom.js";
import { number } from "./numbers.js";

const BIN_WIDTH = 17;
const BIN_HEIGHT = 96;
const NEVER_GAP = 9; // between the atoms that never fire and the others
const BIN_BASE = 34;

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(bin: number) => void} options.onSelect
 * @param {(atom: number) => void} options.onAtom
 */
export function createDensity({ signal, onSelect, onAtom }) {
  const svg = s("svg", { class: "iw-density", role: "listbox", "aria-label": "Atoms by the share of tokens at which they fire", tabindex: -1 });
  const caption = h("p", { class: "iw-quiet iw-hint" });
  const atoms = h("ul", { class: "iw-audit-atoms", "aria-label": "Atoms of the chosen column" });
  const element = h("div", { class: "iw-part" }, h("h3", {}, "How often atoms fire"), svg, caption, atoms);

  /** @param {number[]} bins @param {number[]} edges @param {number} chosen @param {number[]} listed @param {boolean} live */
  function draw(bins, edges, chosen, listed, live) {
    const width = bins.length * BIN_WIDTH + NEVER_GAP + 4;
    const most = Math.max(1, ...bins);
    setAttributes(svg, { viewBox: `0 0 ${width} ${BIN_HEIGHT + BIN_BASE}` });
    /** @param {number} i */
    const x = (i) => 2 + i * BIN_WIDTH + (i ? NEVER_GAP : 0);
    const ticks = edges.flatMap((edge, i) => (Math.abs(Math.log10(edge) - Math.round(Math.log10(edge))) < 1e-6 ? [i] : []));
    svg.replaceChildren(
      s("line", { class: "iw-density-axis", x1: 0, x2: width, y1: BIN_HEIGHT, y2: BIN_HEIGHT }),
      ...bins.map((count, i) => bar(count, i, x(i), count / most, i === chosen, binName(i, edges), i === Math.max(0, chosen))),
      text(x(0), "never", "start"),
      ...ticks.map((i) => text(x(i + 1) + BIN_WIDTH, `${number(100 * edges[i], 2)}%`, i === edges.length - 1 ? "end" : "middle")),
      text(width / 2, "share of tokens at which an atom fires", "middle", BIN_HEIGHT + 29));
    const at = bins[chosen] === undefined ? null : chosen;
    caption.textContent = at === null ? "Press a column to list its atoms."
      : `${bins[at]} atoms ${binName(at, edges)}${listed.length && listed.length < bins[at] ? `, the ${listed.length} that fire most:` : listed.length ? ":" : "."}`;
    atoms.hidden = !listed.length;
    atoms.replaceChildren(...listed.map((atom) => h("li", {}, h("button", { type: "button", class: "iw-button iw-small", "data-atom": atom, disabled: !live || !chosen,
      title: !live ? NEEDS_KERNEL : chosen ? `Measure atom ${atom} over contexts` : "It never fires, so there is nothing to add" }, `#${atom}`))));
  }

  /** @param {number} count @param {number} i @param {number} left @param {number} height @param {boolean} chosen @param {string} what @param {boolean} first */
  function bar(count, i, left, height, chosen, what, first) {
    const title = s("title");
    title.textContent = `${count} atoms ${what}`;
    const drawn = count ? Math.max(1.5, height * (BIN_HEIGHT - 6)) : 0;
    return s("g", { role: "option", class: "iw-density-column", "data-bin": i, "aria-selected": String(chosen), "aria-label": title.textContent, tabindex: first ? 0 : -1 },
      title, s("rect", { class: "iw-density-hit", x: left, y: 0, width: BIN_WIDTH, height: BIN_HEIGHT }),
      s("rect", { class: "iw-density-bar", x: left + 1, y: BIN_HEIGHT - drawn, width: BIN_WIDTH - 2, height: drawn }));
  }

  /** @param {number} at @param {string} words @param {string} anchor @param {number} [y] */
  function text(at, words, anchor, y = BIN_HEIGHT + 13) {
    const label = s("text", { x: at, y, "text-anchor": anchor });
    label.textContent = words;
    return label;
  }

  /** @param {Event} event */
  const binAt = (event) => {
    const column = hit(event, "[data-bin]");
    return column ? Number(column.dataset.bin) : null;
  };
  atoms.addEventListener("click", (event) => {
    const pressed = hit(event, "[data-atom]");
    if (pressed) onAtom(Number(pressed.dataset.atom));
  }, { signal });
  svg.addEventListener("click", (event) => {
    const bin = binAt(event);
    if (bin !== null) onSelect(bin);
  }, { signal });
  svg.addEventListener("keydown", (event) => {
    const bin = binAt(event);
    if (bin === null) return;
    const all = /** @type {SVGElement[]} */ ([...svg.querySelectorAll("[data-bin]")]);
    const to = { ArrowRight: bin + 1, ArrowLeft: bin - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") onSelect(bin);
    else if (to !== undefined) all[Math.min(all.length - 1, Math.max(0, to))]?.focus();
    else return;
    event.preventDefault();
  }, { signal });
  return { element, draw };
}

/** @param {number} bin @param {number[]} edges */
function binName(bin, edges) {
  if (!bin) return "never fire";
  const [from, to] = [edges[bin - 2], edges[bin - 1]].map((edge) => (edge === undefined ? "" : `${number(100 * edge, 2)}%`));
  return from ? `fire at ${from} to ${to} of the tokens` : `fire at up to ${to} of the tokens`;
}
