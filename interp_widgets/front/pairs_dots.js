/** One effect, pair by pair or context by context: a dot each, the mean with its interval, and the same for something random. */

import { h, hit, s, setAttributes } from "./dom.js";

const DOTS_WIDTH = 420;
const ROW = 58;
const MARGIN = 8;

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(pair: number) => void} options.onSelect
 * @param {(pair: number | null) => void} options.onPoint
 * @param {string} [options.label]
 * @param {string} [options.other]  what the second row is of
 */
export function createDots({ signal, onSelect, onPoint, label = "Effect of each pair", other = "from a random pair" }) {
  const svg = s("svg", { class: "iw-dots", role: "listbox", "aria-label": label, tabindex: -1 });
  const element = h("div", { class: "iw-dots-box" }, svg);

  /**
   * @param {import("./pairs_data.js").Dots} dots
   * @param {{ mean: number, low: number, high: number, baseline: number, pair: number, say: (pair: number, value: number | null) => string, format: (value: number) => string }} about
   */
  function draw(dots, { mean, low, high, baseline, pair, say, format }) {
    const [values, wrong, from, to] = [dots.values ?? [], dots.baseline ?? [], dots.low ?? 0, dots.high ?? 0];
    /** @param {number} value */
    const x = (value) => MARGIN + ((value - from) / (to - from || 1)) * (DOTS_WIDTH - 2 * MARGIN);
    const height = (wrong.length ? 2 : 1) * ROW + 22;
    setAttributes(svg, { viewBox: `0 0 ${DOTS_WIDTH} ${height}` });
    svg.replaceChildren(
      s("line", { class: "iw-dots-zero", x1: x(0), x2: x(0), y1: 0, y2: height - 20 }),
      ...cloud(values, 0, x, pair, say, ""),
      ...(Number.isFinite(mean) ? [
        s("line", { class: "iw-dots-interval", x1: x(low), x2: x(high), y1: ROW - 9, y2: ROW - 9 }),
        s("line", { class: "iw-dots-mean", x1: x(mean), x2: x(mean), y1: ROW - 15, y2: ROW - 3 })] : []),
      ...cloud(wrong, ROW, x, -1, (i, value) => `${other}: ${say(i, value)}`, "iw-dot-wrong"),
      ...(wrong.length && Number.isFinite(baseline) ? [s("line", { class: "iw-dots-mean iw-dot-wrong", x1: x(baseline), x2: x(baseline), y1: 2 * ROW - 15, y2: 2 * ROW - 3 })] : []),
      ...[from, to].map((end, i) => {
        const mark = s("text", { x: x(end), y: height - 4, "text-anchor": i ? "end" : "start" });
        mark.textContent = format(end);
        return mark;
      }));
  }

  /**
   * @param {(number | null)[]} values @param {number} top @param {(value: number) => number} x @param {number} chosen
   * @param {(pair: number, value: number | null) => string} say @param {string} extra
   */
  function cloud(values, top, x, chosen, say, extra) {
    return values.flatMap((value, i) => {
      if (value === null) return [];
      const dot = s("circle", { class: `iw-dot ${extra}`, cx: x(value), cy: top + 8 + (i * 7) % 29, r: i === chosen ? 5.5 : 3.6,
        role: "option", "data-pair": extra ? null : i, "aria-selected": String(i === chosen), "aria-disabled": extra ? "true" : null, "aria-label": say(i, value),
        tabindex: !extra && i === Math.max(0, chosen) ? 0 : -1 });
      const title = s("title");
      title.textContent = say(i, value);
      dot.append(title);
      return [dot];
    });
  }

  /** @param {Event} event */
  const pairAt = (event) => {
    const dot = hit(event, "[data-pair]");
    return dot ? Number(dot.dataset.pair) : null;
  };
  svg.addEventListener("click", (event) => {
    const pair = pairAt(event);
    if (pair !== null) onSelect(pair);
  }, { signal });
  svg.addEventListener("keydown", (event) => {
    const pair = pairAt(event);
    const all = /** @type {SVGElement[]} */ ([...svg.querySelectorAll("[role=option]")]);
    const at = all.findIndex((dot) => dot === event.target);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") pair === null || onSelect(pair);
    else if (to !== undefined) all[Math.min(all.length - 1, Math.max(0, to))]?.focus();
    else return;
    event.preventDefault();
  }, { signal });
  for (const type of ["mouseover", "focusin"]) svg.addEventListener(type, (event) => onPoint(pairAt(event)), { signal });
  for (const type of ["mouseleave", "focusout"]) svg.addEventListener(type, () => onPoint(null), { signal });

  return { element, draw };
}
