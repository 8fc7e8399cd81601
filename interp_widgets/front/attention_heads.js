/** All heads as thumbnails: a listbox in the order of the layers, or sorted by a score. */

import { paintCells, paintedCanvas } from "./canvas.js";
import { h, hit, setAttributes } from "./dom.js";

/**
 * @typedef {object} HeadsContent
 * @prop {number} count
 * @prop {number} perLayer
 * @prop {number[]} order                     indices of the heads; layer by layer if `grouped`
 * @prop {boolean} grouped
 * @prop {(index: number) => string} name     such as L5 H3
 * @prop {(index: number) => string} note     the score that they are sorted by
 */

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(index: number) => void} options.onSelect
 * @param {(index: number) => string} options.tell  all there is to say of a head
 */
export function createHeads({ signal, onSelect, tell }) {
  const element = h("div", { class: "iw-heads", role: "listbox", "aria-label": "Heads" });
  /** @type {HTMLElement[]} */
  let options = []; // by index
  /** @type {number[]} */
  let order = [];
  let arranged = "";
  let active = 0; // the head that Tab reaches
  let selected = -1;

  /** @param {number} size @param {(index: number, row: number, column: number) => number} step */
  function paint(size, step) {
    options.forEach((option, index) => paintCells(/** @type {HTMLCanvasElement} */ (option.firstChild), size, size,
      (row, column) => (column <= row ? step(index, row, column) : -1)));
  }

  /** @param {HeadsContent} content */
  function draw(content) {
    if (content.count !== options.length) {
      options = Array.from({ length: content.count }, (_, index) =>
        h("div", { class: "iw-head-card", role: "option", "data-index": index, tabindex: -1 }, paintedCanvas(), h("span"), document.createTextNode(""), h("small")));
      active = Math.min(active, Math.max(0, content.count - 1));
      arranged = "";
    }
    arrange(content);
    options.forEach((option, index) => {
      const [name, note] = [content.name(index), content.note(index)];
      if (option.children[1].textContent !== name) option.children[1].textContent = name;
      if (option.children[2].textContent !== note) option.children[2].textContent = note;
      setAttributes(option, { "aria-label": [name, note].filter(Boolean).join(" "), title: null });
      /** @type {Text} */ (option.childNodes[2]).data = note ? " " : "";
    });
  }

  /** @param {HeadsContent} content */
  function arrange({ order: wanted, grouped, perLayer }) {
    const key = `${grouped} ${wanted}`;
    if (key === arranged) return;
    arranged = key;
    order = wanted;
    const cards = order.map((index) => options[index]);
    const rows = grouped ? Array.from({ length: cards.length / perLayer }, (_, i) => cards.slice(i * perLayer, (i + 1) * perLayer)) : [cards];
    element.replaceChildren(...rows.map((row, i) =>
      h("div", { class: "iw-heads-row", role: "group", "aria-label": grouped ? `layer ${i}` : "all layers" }, ...row)));
  }

  /** @param {number} index  of the head shown */
  function select(index) {
    const before = selected;
    selected = index;
    if (index !== before && index >= 0) rove(index);
    options.forEach((option, i) => setAttributes(option, { "aria-selected": String(i === index), tabindex: i === active ? 0 : -1 }));
    if (index !== before) requestAnimationFrame(() => reveal());
  }

  /** Scroll the box, and never the page around it, to the head shown; rows out of sight only guess their height, so look again. */
  function reveal(again = 2) {
    if (!options[selected]?.isConnected) return;
    if (again) requestAnimationFrame(() => reveal(again - 1));
    const [box, card] = [element, options[selected]].map((each) => each.getBoundingClientRect());
    element.scrollTop += Math.max(0, card.bottom - box.bottom + 6) + Math.min(0, card.top - box.top - 6);
  }

  /** @param {number} index */
  function rove(index) {
    options[active]?.setAttribute("tabindex", "-1");
    active = index;
    options[index]?.setAttribute("tabindex", "0");
  }

  /** The head above or below the active one, as the eye sees it. @param {1 | -1} direction */
  function below(direction) {
    const here = options[active].getBoundingClientRect();
    let [best, line, distance] = [active, NaN, Infinity];
    for (let i = order.indexOf(active) + direction; order[i] !== undefined; i += direction) {
      const box = options[order[i]].getBoundingClientRect();
      if (Math.abs(box.top - here.top) < 4) continue;
      if (Number.isNaN(line)) line = box.top;
      if (Math.abs(box.top - line) >= 4) break;
      if (Math.abs(box.left - here.left) < distance) [best, distance] = [order[i], Math.abs(box.left - here.left)];
    }
    return best;
  }

  element.addEventListener("click", (event) => {
    const option = hit(event, "[role=option]");
    if (!option) return;
    rove(Number(option.dataset.index));
    option.focus({ preventScroll: true });
    onSelect(active);
  }, { signal });
  element.addEventListener("keydown", (event) => {
    if (!hit(event, "[role=option]")) return;
    const at = order.indexOf(active);
    if (event.key === "Enter" || event.key === " ") onSelect(active);
    else {
      const to = { ArrowRight: order[at + 1], ArrowLeft: order[at - 1], ArrowDown: below(1), ArrowUp: below(-1), Home: order[0], End: order.at(-1) }[event.key];
      if (to === undefined) return;
      rove(to);
      options[to].focus();
    }
    event.preventDefault();
  }, { signal });
  for (const type of ["mouseover", "focusin"]) {
    element.addEventListener(type, (event) => {
      const option = hit(event, "[role=option]");
      if (option && type === "focusin") rove(Number(option.dataset.index));
      if (option) setAttributes(option, { title: tell(Number(option.dataset.index)) });
    }, { signal });
  }
  return { element, draw, paint, select };
}
