/** A strip of tokens to read, to colour and to select in: a listbox in which a span can be selected. */

import { h, hit, setAttributes } from "./dom.js";
import { quoted, visible } from "./numbers.js";

const MASKED = "left out of scales (attention sink)";

/**
 * @typedef {object} StripContent
 * @prop {string[]} tokens
 * @prop {number[]} ids
 * @prop {number[]} masked
 * @prop {number[]} [window]             `[start, stop)`; tokens outside are drawn quieter
 * @prop {(position: number) => string} [style]  inline style of a token: its colour
 * @prop {(position: number) => string} [note]   said after the token in its tooltip
 */

/**
 * @param {object} options
 * @param {string} options.label
 * @param {AbortSignal} options.signal
 * @param {(positions: number[]) => void} options.onSelect
 * @param {(position: number | null) => void} [options.onHover]  pointed at or focused; null when left
 */
export function createStrip({ label, signal, onSelect, onHover = () => {} }) {
  const element = h("div", { class: "iw-strip", role: "listbox", "aria-multiselectable": "true", "aria-label": label });
  /** @type {HTMLElement[]} */
  let options = [];
  /** @type {number[]} */
  let selected = [];
  let active = 0; // the option that Tab reaches
  let anchor = 0; // where a span starts
  let spanning = false; // whether the last key has extended it
  let built = "";
  let start = 0; // of the window
  /** @type {string[]} */
  let painted = [];

  /** @param {StripContent} content */
  function draw({ tokens, ids, masked, window = [0, tokens.length], style, note }) {
    const key = JSON.stringify(tokens);
    if (key !== built) build(tokens);
    built = key;
    if (window[0] !== start) requestAnimationFrame(() => { element.scrollTop = (options[window[0]]?.offsetTop ?? 0) - 8; });
    start = window[0];
    const isMasked = new Set(masked);
    options.forEach((option, position) => {
      const token = tokens[position];
      const remarks = [isMasked.has(position) && MASKED, note?.(position)].filter(Boolean).map((remark) => `, ${remark}`).join("");
      option.style.cssText = painted[position] = isMasked.has(position) ? "" : style?.(position) ?? "";
      setAttributes(option, {
        title: `${position}: ${quoted(token)}, id ${ids[position] ?? "?"}${remarks}`,
        "aria-label": `token ${position}: ${quoted(token)}${remarks}`,
        "data-masked": isMasked.has(position),
        "data-outside": position < window[0] || position >= window[1],
      });
    });
  }

  /**
   * Colour the tokens and mark the one that the colours are of; touches only those that change.
   * @param {(position: number) => string} style
   * @param {number | null} [source]
   */
  function paint(style, source = null) {
    options.forEach((option, position) => {
      const text = style(position);
      if (painted[position] !== text) option.style.cssText = painted[position] = text;
      setAttributes(option, { "data-source": position === source });
    });
  }

  /** @param {string[]} tokens */
  function build(tokens) {
    painted = [];
    options = tokens.map((token, position) => h("span", { class: "iw-token", role: "option", "data-position": position }, ...pieces(token)));
    element.replaceChildren(...options.flatMap((option, i) => (tokens[i].includes("\n") ? [option, h("br")] : [option])));
    active = Math.min(active, Math.max(0, options.length - 1));
    select(selected);
  }

  /** Show what is selected. @param {number[]} positions */
  function select(positions) {
    const before = selected;
    selected = positions;
    const on = new Set(positions);
    if (positions.length && String(before) !== String(positions) && !element.contains(document.activeElement)) {
      active = positions[0];
      requestAnimationFrame(reveal);
    }
    options.forEach((option, i) => {
      option.setAttribute("aria-selected", String(on.has(i)));
      option.tabIndex = i === active ? 0 : -1;
    });
  }

  /** Scroll the box, and never the page around it, to the first selected token. */
  function reveal() {
    const option = options[selected[0]];
    if (!option?.isConnected) return;
    const [box, token] = [element, option].map((each) => each.getBoundingClientRect());
    element.scrollTop += Math.max(0, token.bottom - box.bottom + 4) + Math.min(0, token.top - box.top - 4);
  }

  /** @param {number} position */
  function rove(position) {
    if (options[active]) options[active].tabIndex = -1;
    active = position;
    options[position].tabIndex = 0;
  }

  /** @param {number} position */
  function focus(position) {
    const next = Math.min(options.length - 1, Math.max(0, position));
    rove(next);
    options[next].focus();
  }

  /** @param {number} position @param {boolean} extend */
  function press(position, extend) {
    if (extend) {
      const [from, to] = [Math.min(anchor, position), Math.max(anchor, position)];
      return onSelect(Array.from({ length: to - from + 1 }, (_, i) => from + i));
    }
    anchor = position;
    onSelect(selected.length === 1 && selected[0] === position ? [] : [position]);
  }

  element.addEventListener("click", (event) => {
    const option = hit(event, "[role=option]");
    if (!option) return;
    focus(Number(option.dataset.position));
    press(active, event.shiftKey);
  }, { signal });
  element.addEventListener("mousedown", (event) => {
    if (event.shiftKey) event.preventDefault(); // a span of tokens, not of text
  }, { signal });
  element.addEventListener("keydown", (event) => {
    if (!options.length) return;
    if (event.key === "Enter" || event.key === " ") press(active, event.shiftKey);
    else {
      const to = { ArrowRight: active + 1, ArrowLeft: active - 1, ArrowDown: below(1), ArrowUp: below(-1), Home: 0, End: options.length - 1 }[event.key];
      if (to === undefined) return;
      if (event.shiftKey && !spanning && !selected.includes(active)) anchor = active;
      spanning = event.shiftKey; // what is selected arrives later than the next key
      focus(to);
      if (event.shiftKey) press(active, true);
    }
    event.preventDefault();
  }, { signal });

  /** The token under or over the active one, as the eye sees it. @param {1 | -1} direction */
  function below(direction) {
    const here = options[active].getBoundingClientRect();
    const center = here.left + here.width / 2;
    let line = NaN;
    let best = active;
    let distance = Infinity;
    for (let i = active + direction; options[i]; i += direction) {
      const box = options[i].getBoundingClientRect();
      if (Math.abs(box.top - here.top) < 4) continue;
      if (Number.isNaN(line)) line = box.top;
      if (Math.abs(box.top - line) >= 4) break;
      const off = Math.abs(box.left + box.width / 2 - center);
      if (off < distance) [best, distance] = [i, off];
    }
    return best;
  }

  for (const type of ["mouseover", "focusin"]) {
    element.addEventListener(type, (event) => {
      const option = hit(event, "[role=option]");
      if (option && type === "focusin") rove(Number(option.dataset.position)); // whoever put the focus here
      onHover(option ? Number(option.dataset.position) : null);
    }, { signal });
  }
  for (const type of ["mouseleave", "focusout"]) element.addEventListener(type, () => onHover(null), { signal });

  return { element, draw, paint, select };
}

/** A token's text, with its whitespace made visible but quieter than its letters. @param {string} token */
function pieces(token) {
  return token.split(/([ \n\t]+)/).filter(Boolean).map((part) =>
    (/^[ \n\t]/.test(part) ? h("span", { class: "iw-space" }, visible(part)) : visible(part)))
    .concat(token ? [] : [visible("")]);
}
