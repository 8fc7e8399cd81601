/** A small histogram in SVG, with a mark where the value at hand lies. */

import { h, s } from "./dom.js";
import { count, number } from "./numbers.js";

const WIDTH = 380;
const HEIGHT = 120;
const LEFT = 44;
const RIGHT = 12;
const TOP = 16;
const BOTTOM = 22;

/** @typedef {{ low: number, high: number, counts: number[] }} Bins  equal bins from low to high */

/**
 * @param {string} label what is counted, for those who cannot see it
 * @param {AbortSignal} signal
 */
export function createHistogram(label, signal) {
  const svg = s("svg", { class: "iw-lines iw-histogram", role: "listbox", "aria-orientation": "horizontal", viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const caption = h("figcaption", { class: "iw-caption" });
  const element = h("figure", { class: "iw-chart" }, caption, svg);

  /**
   * @param {Bins} bins
   * @param {string} about
   * @param {number} [mark]  a value to mark
   */
  function draw({ low, high, counts }, about, mark) {
    const most = Math.max(...counts, 1);
    const step = (WIDTH - LEFT - RIGHT) / Math.max(1, counts.length);
    /** @param {number} value */
    const x = (value) => LEFT + (high > low ? (value - low) / (high - low) : 0) * (WIDTH - LEFT - RIGHT);
    /** A count of one can still be seen. @param {number} height */
    const tall = (height) => (height ? Math.max(1.5, (height / most) * (HEIGHT - TOP - BOTTOM)) : 0);
    const floor = HEIGHT - BOTTOM;
    /** @param {number} i */
    const named = (i) => `${number(low + (i * (high - low)) / counts.length)} to ${number(low + ((i + 1) * (high - low)) / counts.length)}: ${count(counts[i])}`;
    const marked = mark !== undefined && mark > low && mark <= high;
    caption.textContent = about;
    svg.setAttribute("aria-label", `${label}: ${about}. Most in one bin ${count(most)}${marked ? `; ${number(mark)} at the selected token` : ""}`);
    svg.replaceChildren(
      s("g", { class: "iw-axes" }, s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: floor, y2: floor }),
        s("text", { x: LEFT - 6, y: TOP + 4, "text-anchor": "end" }, count(most)), s("text", { x: LEFT - 6, y: floor + 4, "text-anchor": "end" }, "0"),
        ...[0, 0.5, 1].map((part) => s("text", { x: x(low + part * (high - low)), y: HEIGHT - 6, "text-anchor": part ? (part < 1 ? "middle" : "end") : "start" }, number(low + part * (high - low), 2)))),
      s("g", { class: "iw-bars", role: "presentation" }, ...counts.map((each, i) => s("rect", { x: LEFT + i * step + 0.5, y: floor - tall(each), width: Math.max(0.5, step - 1), height: tall(each), role: "option", tabindex: i ? -1 : 0, "aria-selected": "false", "aria-label": named(i) },
        s("title", {}, named(i))))),
      ...(marked ? [s("line", { class: "iw-mark", x1: x(mark), x2: x(mark), y1: TOP - 4, y2: floor }),
        s("text", { class: "iw-mark-label", x: x(mark), y: TOP - 6, "text-anchor": x(mark) > WIDTH / 2 ? "end" : "start" }, `${number(mark)} here`)] : []),
    );
  }

  svg.addEventListener("keydown", (event) => {
    const bars = /** @type {SVGElement[]} */ ([...svg.querySelectorAll("[role=option]")]);
    const at = bars.findIndex((bar) => bar === event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: bars.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    bars[Math.min(bars.length - 1, Math.max(0, to))].focus();
    event.preventDefault();
  }, { signal });

  return { element, draw };
}
