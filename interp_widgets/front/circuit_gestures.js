/** What a pointer and the keyboard do to the graph. */

import { neighbour, thingAt } from "./circuit_layout.js";

const STEP = 60; // pixels that a key moves the graph
const CLICK = 4; // pixels that a press may move and still be none
/** Most that counts of a wheel event: trackpads send a pinch as many small ones, a wheel a few of 100 and more. */
const NOTCH = 40;
export const ZOOM_STEP = 1.3;

/**
 * @param {object} options
 * @param {HTMLElement} options.element
 * @param {AbortSignal} options.signal
 * @param {ReturnType<typeof import("./circuit_view.js").createView>} options.view
 * @param {() => void} options.move  the view has changed
 * @param {(thing: number, byKeys?: boolean) => void} options.point
 * @param {(thing: number, more: boolean) => void} options.onSelect
 * @param {() => number} options.start  where the keys are
 * @param {() => import("./circuit_paint.js").Picture | undefined} options.picture
 */
export function followGestures({ element, signal, view, move, point, onSelect, start, picture }) {
  /** @type {{ x: number, y: number, moved: boolean } | null} */
  let drag = null;
  /** The fingers on the graph, where they were last. @type {Map<number, [x: number, y: number]>} */
  const fingers = new Map();

  /** Where the box begins in the window. */
  const origin = () => {
    const box = element.getBoundingClientRect();
    return [box.left + element.clientLeft, box.top + element.clientTop];
  };
  /** @param {MouseEvent} event @returns {[number, number]} */
  const placeOf = (event) => [event.clientX - origin()[0], event.clientY - origin()[1]];
  /** @param {MouseEvent} event */
  const under = (event) => {
    const now = picture();
    return now ? thingAt(now.layout, now.shown.things, ...view.place(...placeOf(event))) : -1;
  };

  /** The middle of the first two fingers, and how far they are apart. */
  function between() {
    const [[x, y], [x2, y2]] = fingers.values();
    return { x: (x + x2) / 2, y: (y + y2) / 2, apart: Math.max(1, Math.hypot(x - x2, y - y2)) };
  }

  /** Two fingers: what is between them stays between them. @param {PointerEvent} event */
  function pinch(event) {
    if (!fingers.has(event.pointerId)) return;
    const was = between();
    fingers.set(event.pointerId, placeOf(event));
    const is = between();
    point(-1);
    view.zoomBy(is.apart / was.apart, was.x, was.y);
    view.panBy(is.x - was.x, is.y - was.y);
    move();
  }

  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, placeOf(event));
    drag = { x: event.clientX, y: event.clientY, moved: fingers.size > 1 };
    element.setPointerCapture(event.pointerId);
  }, { signal });
  element.addEventListener("pointermove", (event) => {
    if (!drag) return point(under(event));
    if (fingers.size > 1) return pinch(event);
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < CLICK) return;
    if (!drag.moved) point(-1);
    drag = { x: event.clientX, y: event.clientY, moved: true };
    element.toggleAttribute("data-dragged", true);
    if (view.panBy(dx, dy)) move();
  }, { signal });
  for (const type of ["pointerup", "pointercancel"]) {
    element.addEventListener(type, (event) => {
      const press = /** @type {PointerEvent} */ (event);
      const pressed = drag && !drag.moved && type === "pointerup";
      fingers.delete(press.pointerId);
      const [stays] = fingers.values();
      drag = stays ? { x: stays[0] + origin()[0], y: stays[1] + origin()[1], moved: true } : null;
      element.toggleAttribute("data-dragged", !!stays);
      if (pressed) onSelect(under(press), press.shiftKey || press.ctrlKey || press.metaKey);
    }, { signal });
  }
  element.addEventListener("pointerleave", () => point(-1), { signal });
  element.addEventListener("wheel", (event) => {
    const zooms = event.ctrlKey || event.metaKey;
    const scale = event.deltaMode ? 16 : 1;
    if (zooms) view.zoomBy(Math.exp(-0.01 * Math.min(NOTCH, Math.max(-NOTCH, event.deltaY * scale))), ...placeOf(event));
    else if (!view.panBy(-(event.shiftKey ? event.deltaX || event.deltaY : event.deltaX) * scale, -(event.shiftKey ? 0 : event.deltaY) * scale)) return; // at its end: the page scrolls
    event.preventDefault();
    move();
  }, { signal, passive: false });

  /** With two fingers the page neither scrolls nor zooms, also where one of them scrolls it. */
  element.addEventListener("touchmove", (event) => { if (event.touches.length > 1 && event.cancelable) event.preventDefault(); }, { signal, passive: false });

  element.addEventListener("keydown", (event) => {
    const now = picture();
    if (!now || event.altKey) return;
    /** @type {Record<string, [number, number]>} */
    const ways = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    const at = start();
    if (ways[event.key] && event.shiftKey) view.panBy(...ways[event.key]);
    else if (ways[event.key]) {
      const next = neighbour(now.layout, now.data, now.shown.things, at, event.key);
      point(next < 0 ? at : next, true);
      reveal(now.layout, next < 0 ? at : next);
    } else if (event.key === "Enter" || event.key === " ") onSelect(at, event.shiftKey || event.ctrlKey || event.metaKey);
    else if (event.key === "Escape") onSelect(-1, false);
    else if (event.key === "+" || event.key === "=") view.zoomBy(ZOOM_STEP);
    else if (event.key === "-") view.zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0") view.fit();
    else return;
    event.preventDefault();
    move();
  }, { signal });

  /** Move the graph until the thing that the keys have reached is in sight. @param {import("./circuit_layout.js").Layout} layout @param {number} thing */
  function reveal(layout, thing) {
    if (thing < 0) return;
    const { at, box } = view;
    const [x, y] = [(layout.x[thing] - at.left) * at.zoom, (layout.y[thing] - at.top) * at.zoom];
    view.panBy(Math.max(0, 110 - x) - Math.max(0, x - box.width + 50), Math.max(0, 30 - y) - Math.max(0, y - box.height + 66));
  }

  element.addEventListener("focusin", () => { if (element.matches(":focus-visible")) point(start(), true); }, { signal });
  element.addEventListener("focusout", () => point(-1, true), { signal });
}
