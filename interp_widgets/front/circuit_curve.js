/** What circuits of growing size carry: faithfulness and completeness with their intervals, baselines beside them; press one to show it. */

import { button, needsKernel } from "./controls.js";
import { curveOf } from "./circuit_stops.js";
import { h, hit, s, setAttributes } from "./dom.js";
import { count, known, level } from "./numbers.js";

const PLOT = { width: 420, height: 230, left: 40, right: 12, top: 12, bottom: 40 };
const BASELINES = ["iw-line-1", "iw-line-2", "iw-line-3"];
/** What circuits can be compared with, and the name of its curve. @type {[string, string][]} */
const COMPARED = [["neurons", "MLP neurons"], ["coordinates", "coordinates"]];

/** Two decimals, and no minus before zero. @param {number | null | undefined} value */
const part = (value) => level(known(value) && Math.abs(value) < 0.005 ? 0 : value);

/** @param {number | null | undefined} value @param {(number | null | undefined)[]} interval */
export const withInterval = (value, [low, high]) => `${part(value)}${known(low) && known(high) ? ` [${part(low)}, ${part(high)}]` : ""}`;

/**
 * @param {AbortSignal} signal
 * @param {(nodes: number) => void} onSelect  number of nodes of a circuit
 * @param {(name: string) => void} onCompare
 */
export function createCircuitCurve(signal, onSelect, onCompare) {
  const svg = s("svg", { class: "iw-curve iw-circuit-curve", role: "listbox", "aria-orientation": "horizontal", viewBox: `0 0 ${PLOT.width} ${PLOT.height}` });
  const caption = h("figcaption", { class: "iw-caption" });
  const legend = h("ul", { class: "iw-curve-legend", "aria-label": "Legend" });
  const compare = COMPARED.map(([name, shown]) => button(`Compare with ${shown}`, signal, () => onCompare(name),
    { class: "iw-button iw-small", title: `Measure circuits of ${shown} of the same sizes` }));
  const tools = h("div", { class: "iw-tools" }, ...compare);
  const element = h("figure", { class: "iw-chart" }, caption, svg, legend, tools);

  /** @param {import("./circuit_data.js").CircuitModel} model @param {import("./circuit_stops.js").Stop | undefined} shown */
  function draw(model, shown) {
    const stops = curveOf(model, model.get("way"));
    const baselines = model.get("baselines");
    element.hidden = !stops.some((stop) => known(stop.faithfulness));
    if (element.hidden) return;
    compare.forEach((each, i) => {
      each.hidden = baselines.some(({ name }) => name === COMPARED[i][1]);
      needsKernel(each, model.get("live"));
    });
    tools.hidden = !model.get("has_model") || compare.every((each) => each.hidden);
    const focused = svg.contains(document.activeElement);
    const { model: whole, nothing } = model.get("ends");
    caption.textContent = known(whole) ? `1: the whole model, ${level(whole)}; 0: nothing of it, ${level(nothing)}${model.get("metric") ? ` (${model.get("metric")})` : ""}` : "1: the whole model; 0: nothing of it";
    caption.title = caption.textContent;
    const values = [0, 1, ...stops.flatMap((stop) => [stop.faithfulness, stop.completeness]), ...baselines.flatMap((each) => each.faithfulness)].filter(known);
    const [low, high] = [Math.max(-1, Math.min(...values)) - 0.04, Math.min(2, Math.max(...values)) + 0.04];
    const most = Math.max(1, ...stops.map((stop) => stop.nodes), ...baselines.flatMap((each) => each.nodes));
    const [right, base] = [PLOT.width - PLOT.right, PLOT.height - PLOT.bottom];
    /** @param {number} nodes */
    const x = (nodes) => PLOT.left + (Math.log1p(nodes) / Math.log1p(most)) * (right - PLOT.left);
    /** @param {number} value */
    const y = (value) => PLOT.top + ((high - Math.min(high, Math.max(low, value))) / (high - low)) * (base - PLOT.top);
    const xs = stops.map((stop) => x(stop.nodes));
    svg.setAttribute("aria-label", `Circuits of ${count(stops[0].nodes)} to ${count(stops.at(-1)?.nodes)} nodes, by what they carry`);
    svg.replaceChildren(
      s("g", { class: "iw-axes" }, ...[-1, -0.5, 0, 0.5, 1, 1.5, 2].filter((value) => value >= low && value <= high).flatMap((value) => [
        s("line", { x1: PLOT.left, x2: right, y1: y(value), y2: y(value) }), text(String(value).replace("-", "−"), PLOT.left - 6, y(value) + 4, "end")]),
      ...ticks(most, x).map((nodes) => text(count(nodes), x(nodes), base + 15, "middle")),
      text("nodes in the circuit (logarithmic)", (PLOT.left + right) / 2, PLOT.height - 7, "middle")),
      ...baselines.flatMap((each, i) => line(each.nodes.map(x), each.faithfulness, each.low ?? [], each.high ?? [], y, BASELINES[i % 3])),
      ...line(xs, stops.map((stop) => stop.completeness), stops.map((stop) => stop.completenessInterval[0]), stops.map((stop) => stop.completenessInterval[1]), y, "iw-line-4"),
      ...line(xs, stops.map((stop) => stop.faithfulness), stops.map((stop) => stop.interval[0]), stops.map((stop) => stop.interval[1]), y, "iw-line-0"),
      ...(shown ? [s("line", { class: "iw-curve-now", x1: x(shown.nodes), x2: x(shown.nodes), y1: PLOT.top - 4, y2: base }),
        ...[[shown.completeness, 3.4], [shown.faithfulness, 4.6]].filter(([value]) => known(value)).map(([value, r]) => s("circle", { class: "iw-curve-point", cx: x(shown.nodes), cy: y(value), r }))] : []),
      ...stops.map((stop, i) => {
        const [from, to] = [i ? (xs[i - 1] + xs[i]) / 2 : PLOT.left, i < xs.length - 1 ? (xs[i] + xs[i + 1]) / 2 : right];
        return s("rect", { class: "iw-curve-hit", role: "option", x: from, y: 0, width: Math.max(1, to - from), height: base, "data-nodes": stop.nodes, tabindex: stop.nodes === shown?.nodes ? 0 : -1,
          "aria-selected": String(stop.nodes === shown?.nodes), "aria-label": describeStop(stop) }, s("title", {}, describeStop(stop)));
      }));
    if (focused) /** @type {SVGElement | null} */ (svg.querySelector("[tabindex='0']"))?.focus();
    legend.replaceChildren(entry("iw-line-0", "faithfulness"), entry("iw-line-4", "completeness"), ...baselines.map(({ name }, i) => entry(BASELINES[i % 3], `faithfulness of ${name}`)));
  }

  const options = () => /** @type {SVGElement[]} */ ([...svg.querySelectorAll("[data-nodes]")]);
  svg.addEventListener("click", (event) => {
    const option = hit(event, "[data-nodes]");
    if (option) onSelect(Number(option.dataset.nodes));
  }, { signal });
  svg.addEventListener("keydown", (event) => {
    const all = options();
    const at = all.findIndex((option) => option === event.target);
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, to))];
    next.focus(); // the next key may come before the redraw
    onSelect(Number(next.dataset.nodes));
  }, { signal });
  setAttributes(svg, { "aria-multiselectable": null });
  return { element, draw };
}

/** @param {import("./circuit_stops.js").Stop} stop */
export const describeStop = (stop) => `${count(stop.nodes)} ${stop.nodes === 1 ? "node" : "nodes"}: faithfulness ${withInterval(stop.faithfulness, stop.interval)}, completeness ${withInterval(stop.completeness, stop.completenessInterval)}`;

/**
 * A line with the band of its intervals.
 * @param {number[]} xs @param {ArrayLike<number | null>} values @param {(number | null)[]} low @param {(number | null)[]} high @param {(value: number) => number} y @param {string} className
 */
function line(xs, values, low, high, y, className) {
  /** @param {ArrayLike<number | null>} list */
  const points = (list) => xs.flatMap((x, i) => (known(list[i]) ? [`${x.toFixed(1)},${y(/** @type {number} */ (list[i])).toFixed(1)}`] : []));
  const band = [...points(low), ...points(high).reverse()];
  return [s("g", { class: className }, ...(band.length > 3 ? [s("polygon", { class: "iw-circuit-band", points: band.join(" ") })] : []), s("polyline", { class: "iw-line", points: points(values).join(" ") }))];
}

/** Numbers of nodes to name: powers of ten, and none that touch. @param {number} most @param {(nodes: number) => number} x */
function ticks(most, x) {
  const out = [0];
  for (let nodes = 1; nodes <= most; nodes *= 10) if (x(nodes) - x(out[out.length - 1]) > 30) out.push(nodes);
  if (x(most) - x(out[out.length - 1]) > 40) out.push(most);
  return out;
}

/** @param {string} content @param {number} x @param {number} y @param {string} anchor */
const text = (content, x, y, anchor) => s("text", { x, y, "text-anchor": anchor }, content);

/** @param {string} group @param {string} name */
const entry = (group, name) => h("li", { class: group }, s("svg", { class: "iw-swatch", viewBox: "0 0 18 6", "aria-hidden": "true" }, s("line", { x1: 0, x2: 18, y1: 3, y2: 3 })), name);
