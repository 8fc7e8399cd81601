/**
 * The graph as an element. While it moves, the picture that was drawn last is moved; it is drawn anew when it rests, and before that,
 * with the heaviest edges alone, when more comes into sight than was drawn around it.
 */

import { createAxes } from "./circuit_axes.js";
import { edgesOf } from "./circuit_data.js";
import { followGestures } from "./circuit_gestures.js";
import { layOut } from "./circuit_layout.js";
import { paintEdges, paintName, paintRing, paintScene, paintThing } from "./circuit_paint.js";
import { createView } from "./circuit_view.js";
import { h, setAttributes, uniqueId } from "./dom.js";

const TALLEST = 580;
const REST = 140; // milliseconds
/** What is drawn beyond each side, as a share of the box. */
const AROUND = 0.4;
/** Edges drawn while the graph moves: as many as are drawn within a frame. */
const MOVING = 500;
const INKS = ["--iw-surface", "--iw-text", "--iw-muted", "--iw-rule", "--iw-raised", "--iw-accent"];

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(thing: number, more: boolean) => void} options.onSelect  -1 for none; `more` adds to what is selected
 * @param {(thing: number) => void} options.onPoint  -1 when left
 * @param {(thing: number) => string} options.tell
 * @param {(sight: import("./circuit_view.js").Sight) => void} options.onMove
 */
export function createGraph({ signal, onSelect, onPoint, tell, onMove }) {
  const [scene, over] = [h("canvas", { "aria-hidden": "true" }), h("canvas", { "aria-hidden": "true" })];
  // A canvas has no parts to name: the thing that the keys have reached is told by one of these two, in turn, so that each move is heard.
  const spoken = [0, 1].map(() => h("div", { role: "option", id: uniqueId(), class: "iw-unseen" }));
  const probes = INKS.map((name) => h("i", { class: "iw-graph-probe", style: `color: var(${name})`, "aria-hidden": "true" }));
  const element = h("div", { class: "iw-graph", role: "listbox", tabindex: 0, "aria-multiselectable": "true", "aria-orientation": "horizontal" },
    scene, over, ...spoken, ...probes);
  const axes = createAxes(element);
  const view = createView();
  /** @type {import("./circuit_paint.js").Picture | undefined} */
  let picture;
  /** @type {import("./circuit_paint.js").Ink | undefined} */
  let ink;
  let drawn = { left: 0, top: 0, zoom: 1, sharp: 1 };
  let [cursor, pointed, turn, frame, timer] = [-1, -1, 0, 0, 0];
  /** @type {number[]} */
  let selected = [];

  /** @param {Omit<import("./circuit_paint.js").Picture, "layout">} content @param {{ corrupt: string[], variants: Record<string, string[]>, label: string }} about */
  function draw(content, { corrupt, variants, label }) {
    const layout = layOut(content.data, content.shown.things, { ...view.page(), height: TALLEST - 54 });
    picture = { ...content, layout };
    view.take(layout, TALLEST);
    setAttributes(element, { "aria-label": label });
    element.style.height = `${view.box.height}px`;
    axes.build(content.data, corrupt, variants);
    if (!content.shown.isShown[cursor]) cursor = -1;
    if (!content.shown.isShown[pointed]) pointed = -1;
    speak();
    render();
  }

  /** @param {number[]} things */
  function select(things) {
    selected = things;
    speak();
    renderOver();
  }

  /** @param {number} thing  -1 for none @param {boolean} [byKeys] */
  function point(thing, byKeys = false) {
    if (byKeys) {
      cursor = thing;
      speak();
    }
    if (thing === pointed && !byKeys) return;
    pointed = thing;
    element.toggleAttribute("data-pointing", pointed >= 0);
    renderOver();
    onPoint(thing);
  }

  /** Name the thing that the keys have reached, else the one they start from. */
  function speak() {
    const at = start();
    turn = 1 - turn;
    setAttributes(spoken[turn], { hidden: at < 0, "aria-label": at < 0 ? null : tell(at), "aria-selected": String(selected.includes(at)) });
    setAttributes(spoken[1 - turn], { hidden: true });
    setAttributes(element, { "aria-activedescendant": at < 0 ? null : spoken[turn].id });
  }

  /** Where the keys are, or begin: at what is selected, else at the answer, else at the strongest. */
  function start() {
    if (cursor >= 0 || !picture) return cursor;
    const { data, shown } = picture;
    return selected.findLast((thing) => shown.isShown[thing]) ?? shown.things.find((thing) => thing < data.answers) ?? shown.things[0] ?? -1;
  }

  /** After the view has changed. */
  function move() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (isUncovered()) render(MOVING);
      else transform();
      clearTimeout(timer);
      timer = window.setTimeout(render, REST);
    });
  }

  /** Where the drawn picture is now, in pixels of the box, and how much larger than drawn. */
  function placed() {
    const { at, box } = view;
    const by = at.zoom / drawn.zoom;
    return { x: (drawn.left - at.left) * at.zoom - AROUND * box.width * by, y: (drawn.top - at.top) * at.zoom - AROUND * box.height * by, by };
  }

  /** Whether there is more in sight than was drawn. */
  function isUncovered() {
    const [{ x, y, by }, { width, height }] = [placed(), view.box];
    const whole = (1 + 2 * AROUND) * by;
    return x > 0 || y > 0 || x + width * whole < width || y + height * whole < height;
  }

  /** Bring the drawn picture to where it belongs now. */
  function transform() {
    if (!picture) return;
    const [{ at, box }, { x, y, by }] = [view, placed()];
    for (const canvas of [scene, over]) canvas.style.transform = `translate(${x}px, ${y}px) scale(${by / drawn.sharp})`;
    axes.place(picture.data, picture.layout, at, box, picture.positions);
    element.style.touchAction = view.overflows() ? "none" : "pan-y";
    onMove(view.sight());
  }

  /** @param {number} [most] edges */
  function render(most = Infinity) {
    clearTimeout(timer);
    const now = picture;
    if (!now || signal.aborted) return;
    drawn = { ...view.at, sharp: most < Infinity ? 1 : Math.min(2, window.devicePixelRatio || 1) };
    const colors = readInk();
    ink = colors;
    paint(scene, (context, around, area) => paintScene(context, now, around, colors, area, most));
    renderOver();
    transform();
  }

  /** What is pointed at or selected, with its edges, over the rest, which fades. */
  function renderOver() {
    const [now, colors] = [picture, ink];
    if (!now || !colors) return;
    const { data, shown, layout, off } = now;
    const chosen = selected.filter((thing) => shown.isShown[thing]);
    const lit = pointed >= 0 ? [pointed] : chosen;
    setAttributes(scene, { "data-faded": pointed >= 0 ? "much" : chosen.length ? "a little" : null });
    paint(over, (context, around) => {
      const edges = lit.flatMap((thing) => Object.values(edgesOf(shown.edges, thing)).flat());
      paintEdges(context, data, edges, layout, around, colors, 1.6);
      const ends = [...new Set([...lit, ...edges.flatMap(({ source, target }) => [source, target])])];
      for (const thing of ends) paintThing(context, data, layout, thing, around, colors, off);
      if (!layout.boxes) for (const thing of ends.slice(0, lit.length + 10)) paintName(context, data, layout, thing, around, colors, true);
      for (const thing of chosen) paintRing(context, data, layout, thing, around, colors.accent, false);
      if (cursor >= 0 && element.matches(":focus-visible")) paintRing(context, data, layout, cursor, around, colors.text, true);
    });
  }

  /** @param {HTMLCanvasElement} canvas @param {(context: CanvasRenderingContext2D, around: import("./circuit_paint.js").View, area: import("./circuit_layout.js").Size) => void} paintInto */
  function paint(canvas, paintInto) {
    const { width, height } = view.box;
    const area = { width: width * (1 + 2 * AROUND), height: height * (1 + 2 * AROUND) };
    const most = Math.min(2, window.devicePixelRatio || 1); // while it moves, a part of the canvas is drawn on and enlarged
    const [across, down] = [Math.round(area.width * most), Math.round(area.height * most)];
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    context.setTransform(drawn.sharp, 0, 0, drawn.sharp, 0, 0);
    paintInto(context, { left: drawn.left - (AROUND * width) / drawn.zoom, top: drawn.top - (AROUND * height) / drawn.zoom, zoom: drawn.zoom }, area);
  }

  /** @returns {import("./circuit_paint.js").Ink} */
  function readInk() {
    const [surface, text, muted, rule, band, accent] = probes.map((probe) => getComputedStyle(probe).color);
    const style = getComputedStyle(element);
    return { dark: style.getPropertyValue("--iw-is-dark").trim() === "1", surface, text, muted, rule, band, accent, font: style.fontFamily };
  }

  followGestures({ element, signal, view, move, point, onSelect, start, picture: () => picture });
  // The first probe is as wide as the page is dark, so that a change of theme is heard as one of size.
  const observer = new ResizeObserver(() => {
    const width = element.clientWidth;
    const dark = getComputedStyle(element).getPropertyValue("--iw-is-dark").trim() === "1";
    if (!width || !picture || (width === view.box.width && dark === ink?.dark)) return;
    const resized = width !== view.box.width;
    view.box.width = width;
    if (resized) {
      picture.layout = layOut(picture.data, picture.shown.things, { ...view.page(), height: TALLEST - 54 });
      view.take(picture.layout, TALLEST);
      element.style.height = `${view.box.height}px`;
    }
    render();
  });
  for (const each of [element, probes[0]]) observer.observe(each);
  signal.addEventListener("abort", () => { observer.disconnect(); clearTimeout(timer); cancelAnimationFrame(frame); });

  return {
    element, draw, select, point,
    fit: () => { view.fit(); render(); },
    /** @param {number} factor */
    zoom: (factor) => { view.zoomBy(factor); move(); },
    /** Bring a cell into the middle, large enough to read. @param {number} column @param {number} row */
    show: (column, row) => { view.centre(column + 0.5, row + 0.5, 1); render(); },
  };
}
