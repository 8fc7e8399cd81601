/**
 * Elements, and redrawing. Text only ever enters the page as text nodes and attributes: nothing here parses HTML,
 * so a token may look like a script.
 */

/** @typedef {Record<string, string | number | boolean | null | undefined>} Attributes */

/**
 * Set attributes, touching only those that change; `true` sets an empty one, `false`, `null` and `undefined` remove it.
 * @param {Element} element
 * @param {Attributes} attributes
 */
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = value === true ? "" : value === false || value == null ? null : String(value);
    if (name === "style") setStyle(/** @type {HTMLElement} */ (element), text ?? "");
    else if (text === null) element.removeAttribute(name);
    else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** The style that an element was given: read back, a browser has it in its own words. @type {WeakMap<HTMLElement, string>} */
const styled = new WeakMap();

/** A strict content policy forbids the attribute, not this. @param {HTMLElement} element @param {string} text */
function setStyle(element, text) {
  if ((styled.get(element) ?? "") === text) return;
  styled.set(element, text);
  element.style.cssText = text;
}

/**
 * An HTML element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/** A name no other element of the page has: several panels, from several modules, share one page. */
export const uniqueId = () => `iw-${Math.random().toString(36).slice(2, 10)}`;

/**
 * The element with that role or class which an event happened in.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export const hit = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

/** What can have the focus. */
const FOCUSABLE = "button:not(:disabled), input:not(:disabled), select:not(:disabled), textarea, a[href], [tabindex]";

/** What a person would call the same element after it was drawn anew. @param {Element} element */
const keyOf = (element) => [element.tagName, JSON.stringify(/** @type {HTMLElement} */ (element).dataset), element.getAttribute("aria-label") ?? element.textContent].join(" ");

/**
 * Note where the focus is; the function that comes back puts it there again if drawing has taken its element away: on the new one,
 * else on one beside it.
 */
function rememberFocus() {
  const focused = document.activeElement;
  if (!focused?.closest(".iw") || focused === document.body) return () => {};
  const key = keyOf(focused);
  /** @type {Element[]} */
  const around = [];
  for (let at = focused.parentElement; at; at = at.parentElement) around.push(at);
  const place = [...(around[0]?.querySelectorAll(FOCUSABLE) ?? [])].indexOf(focused);
  return () => {
    if (focused.isConnected || document.activeElement !== document.body) return;
    const home = around.find((element) => element.isConnected && element.querySelector(FOCUSABLE));
    const there = /** @type {HTMLElement[]} */ ([...(home?.querySelectorAll(FOCUSABLE) ?? [])]).filter((element) => element.checkVisibility());
    (there.find((element) => keyOf(element) === key) ?? there[Math.min(Math.max(0, place), there.length - 1)])?.focus({ preventScroll: true });
  };
}

/**
 * Draw every part now, and again when one of its traits changed: once per animation frame, however many traits
 * arrived. A part that throws is reported and does not take the others with it.
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {AbortSignal} signal
 * @param {[draw: () => void, traits: string[]][]} parts
 */
export function follow(model, signal, parts) {
  const stale = new Set(parts.map(([draw]) => draw));
  let frame = 0;
  const flush = () => {
    frame = 0;
    const now = parts.filter(([draw]) => stale.has(draw));
    stale.clear();
    const back = rememberFocus();
    for (const [draw] of now) {
      try {
        draw();
      } catch (error) {
        console.error(error);
      }
    }
    back();
  };
  /** @type {[string, () => void][]} */
  const listeners = parts.flatMap(([draw, traits]) =>
    traits.map((trait) => [`change:${trait}`, () => {
      stale.add(draw);
      frame ||= requestAnimationFrame(flush);
    }]));
  for (const [event, listener] of listeners) model.on(event, listener);
  signal.addEventListener("abort", () => {
    cancelAnimationFrame(frame);
    for (const [event, listener] of listeners) model.off(event, listener);
  });
  flush();
}

/**
 * Set a trait and tell the kernel.
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {Record<string, unknown>} traits
 */
export function save(model, traits) {
  for (const [name, value] of Object.entries(traits)) model.set(name, value);
  model.save_changes();
}
