/** A dose-response curve: one metric over strengths, the given direction as a line, random ones as a band; press a strength to read it. */

import { h, hit, s, setAttributes } from "./dom.js";
import { known, number } from "./numbers.js";

const CURVE = { width: 460, height: 256, left: 54, right: 14, top: 12, bottom: 58 };

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(index: number) => void} options.onSelect
 */
export function createCurve({ signal, onSelect }) {
  const svg = s("svg", { class: "iw-curve", role: "listbox", "aria-label": "Strengths", viewBox: `0 0 ${CURVE.width} ${CURVE.height}` });
  const caption = h("figcaption", { class: "iw-caption" });
  const legend = h("ul", { class: "iw-curve-legend", "aria-label": "Legend" });
  const element = h("figure", { class: "iw-chart" }, caption, svg, legend);

  /** @param {import("./steering_data.js").SteeringData} data @param {number} randoms */
  function draw(data, randoms) {
    const { strengths, ratios, levels, at, format } = data;
    const focused = svg.contains(document.activeElement);
    caption.textContent = data.about();
    const [x, y] = [across(strengths), up(levels)];
    const right = CURVE.width - CURVE.right;
    const base = CURVE.height - CURVE.bottom;
    const band = points(strengths.map(x), data.low, y).concat(points(strengths.map(x), data.high, y).reverse());
    svg.replaceChildren(
      s("g", { class: "iw-axes" }, ...levels.flatMap((value) => [
        s("line", { x1: CURVE.left, x2: right, y1: y(value), y2: y(value) }),
        label(format(value), CURVE.left - 6, y(value) + 4, "end")])),
      ...(band.length > 2 ? [s("polygon", { class: "iw-curve-band", points: band.join(" ") })] : []),
      ...(known(data.baseline) ? [s("line", { class: "iw-curve-base", x1: CURVE.left, x2: right, y1: y(data.baseline), y2: y(data.baseline) })] : []),
      s("polyline", { class: "iw-curve-random", points: points(strengths.map(x), data.mean, y).join(" ") }),
      ...strengths.flatMap((strength, i) => (known(data.mean[i]) ? [s("circle", { class: "iw-curve-mean", cx: x(strength), cy: y(data.mean[i]), r: 2.2 })] : [])),
      s("g", { class: "iw-line-0" }, s("polyline", { class: "iw-line", points: points(strengths.map(x), data.given, y).join(" ") })),
      ...(at >= 0 ? [s("line", { class: "iw-curve-now", x1: x(strengths[at]), x2: x(strengths[at]), y1: CURVE.top - 6, y2: base })] : []),
      ...strengths.flatMap((strength, i) => (known(data.given[i]) ? [s("circle", { class: "iw-curve-point", cx: x(strength), cy: y(data.given[i]), r: i === at ? 5.5 : 3.4 })] : [])),
      ...shownTicks(strengths.map(x)).flatMap((i) => [
        label(number(strengths[i]), x(strengths[i]), base + 20, "middle", i === at ? "iw-curve-at" : ""),
        label(number(ratios[i], 2), x(strengths[i]), base + 35, "middle", i === at ? "iw-curve-at" : "")]),
      label("strength", 0, base + 20, "start"), label("ratio", 0, base + 35, "start"),
      label("ratio: median of |change| / |activation|", (CURVE.left + right) / 2, CURVE.height - 5, "middle"),
      ...strengths.map((strength, i) => {
        const [from, to] = [between(strengths, i - 1, x) ?? CURVE.left, between(strengths, i, x) ?? right];
        const option = s("rect", { class: "iw-curve-hit", role: "option", x: from - (i ? 0 : 10), y: 0, width: Math.max(1, to - from + (i ? 0 : 10)), height: CURVE.height - 18, "data-index": i,
          tabindex: i === Math.max(0, at) ? 0 : -1, "aria-selected": String(i === at), "aria-label": describe(data, i, randoms) });
        const title = s("title");
        title.textContent = describe(data, i, randoms);
        option.append(title);
        return option;
      }));
    if (focused) /** @type {SVGElement | null} */ (svg.querySelector("[tabindex='0']"))?.focus();
    legend.replaceChildren(
      entry("iw-line-0", "iw-line", "given direction"),
      ...(randoms ? [entry("", "iw-curve-random", randoms === 1 ? "a random direction" : `random, mean of ${randoms}`)] : []),
      ...(randoms > 1 ? [entry("", "iw-curve-band", "their range")] : []),
      entry("", "iw-curve-base", "baseline"));
  }

  /** @param {Event} event */
  const indexAt = (event) => {
    const option = hit(event, "[data-index]");
    return option ? Number(option.dataset.index) : null;
  };
  svg.addEventListener("click", (event) => {
    const index = indexAt(event);
    if (index !== null) onSelect(index);
  }, { signal });
  svg.addEventListener("keydown", (event) => {
    const index = indexAt(event);
    const last = svg.querySelectorAll("[data-index]").length - 1;
    if (index === null) return;
    const to = { ArrowRight: index + 1, ArrowUp: index + 1, ArrowLeft: index - 1, ArrowDown: index - 1, Home: 0, End: last, Enter: index, " ": index }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    onSelect(Math.min(last, Math.max(0, to)));
  }, { signal });
  setAttributes(svg, { "aria-orientation": "horizontal" });
  return { element, draw };
}

/** From strengths to places. @param {number[]} strengths @returns {(strength: number) => number} */
function across(strengths) {
  const [from, to] = [strengths[0] ?? 0, strengths[strengths.length - 1] ?? 0];
  const [left, width] = [CURVE.left + 12, CURVE.width - CURVE.left - CURVE.right - 24];
  return (strength) => left + (to > from ? (strength - from) / (to - from) : 0.5) * width;
}

/** From values to places. @param {number[]} levels @returns {(value: number) => number} */
function up(levels) {
  const [low, high, height] = [levels[0], levels[levels.length - 1], CURVE.height - CURVE.top - CURVE.bottom];
  return (value) => CURVE.top + (high > low ? (high - value) / (high - low) : 0.5) * height;
}

/** @param {number[]} xs @param {number[]} values @param {(value: number) => number} y */
const points = (xs, values, y) => values.flatMap((value, i) => (known(value) ? [`${xs[i].toFixed(1)},${y(value).toFixed(1)}`] : []));

/** Half-way between a strength and the next. @param {number[]} strengths @param {number} i @param {(strength: number) => number} x */
const between = (strengths, i, x) => (i < 0 || i >= strengths.length - 1 ? null : (x(strengths[i]) + x(strengths[i + 1])) / 2);

/** Which strengths get a label: as many as do not touch. @param {number[]} xs */
function shownTicks(xs) {
  /** @type {number[]} */
  const out = [];
  xs.forEach((at, i) => { if (!out.length || at - xs[out[out.length - 1]] >= 40) out.push(i); });
  return out;
}

/** @param {string} text @param {number} x @param {number} y @param {string} anchor @param {string} [className] */
function label(text, x, y, anchor, className = "") {
  const element = s("text", { x, y, "text-anchor": anchor, class: className || null });
  element.textContent = text;
  return element;
}

/** @param {string} group @param {string} kind @param {string} text */
const entry = (group, kind, text) => h("li", {}, s("svg", { class: "iw-swatch-wide", viewBox: "0 0 26 10", "aria-hidden": "true" },
  s("g", { class: group || null }, kind === "iw-curve-band" ? s("rect", { class: kind, x: 0, y: 0, width: 26, height: 10 }) : s("line", { class: kind, x1: 0, x2: 26, y1: 5, y2: 5 }))), text);

/** @param {import("./steering_data.js").SteeringData} data @param {number} i @param {number} randoms */
function describe({ strengths, ratios, given, mean, low, high, format }, i, randoms) {
  const random = !randoms || !known(mean[i]) ? "" : randoms === 1 ? `, random ${format(mean[i])}` : `, random ${format(mean[i])} [${format(low[i])}, ${format(high[i])}]`;
  return `strength ${number(strengths[i])}, norm ratio ${number(ratios[i], 2)}: ${format(given[i])}${random}`;
}
