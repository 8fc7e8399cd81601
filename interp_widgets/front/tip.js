/** What a pointer reads by resting, for the keyboard: the `title` of what has the focus, and arrow keys through what has a title only. */

import { h, hit, setAttributes } from "./dom.js";

/**
 * A bubble under the focused element with its title. Escape hides it. It is hidden from screen readers, which have the title.
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function createTip(root, signal) {
  const tip = h("div", { class: "iw-tip", "aria-hidden": "true", hidden: true });

  /** @param {Element | null} target */
  function show(target) {
    const text = target?.matches(":focus-visible") ? target.getAttribute("title") ?? target.querySelector(":scope > title")?.textContent : "";
    tip.hidden = !text || (target instanceof HTMLElement && text === target.textContent);
    if (tip.hidden || !target) return;
    tip.textContent = text ?? "";
    const [box, at] = [root.getBoundingClientRect(), target.getBoundingClientRect()];
    tip.style.left = `${Math.max(4, Math.min(at.left - box.left, box.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${at.bottom - box.top + 5}px`;
  }
  root.addEventListener("focusin", (event) => {
    // A grid says what a cell holds when the cell gets the focus, after this.
    requestAnimationFrame(() => show(document.activeElement === event.target ? /** @type {Element} */ (event.target) : null));
  }, { signal });
  root.addEventListener("focusout", () => show(null), { signal });
  root.addEventListener("scroll", () => show(null), { signal, capture: true });
  root.addEventListener("keydown", (event) => { if (event.key === "Escape") show(null); }, { signal, capture: true });
  return tip;
}

/**
 * Let the arrow keys go through the elements of a container that only a pointer could read. One stop for Tab: the container.
 * @param {HTMLElement} container
 * @param {AbortSignal} signal
 * @param {string} [label]  where the container has none yet
 */
export function walkable(container, signal, label) {
  setAttributes(container, { tabindex: 0, role: container.getAttribute("role") ?? "group", "data-walk": true });
  if (label) setAttributes(container, { "aria-label": `${label}. Arrow keys read them one by one.` });
  container.addEventListener("keydown", (event) => {
    const items = /** @type {HTMLElement[]} */ ([...container.querySelectorAll("[title]:not(button, a)")]);
    const at = items.findIndex((item) => item === hit(event, "[title]"));
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: Math.max(0, at - 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape" && at >= 0) container.focus();
    else if (to === undefined || !items[to]) return;
    else {
      items[to].tabIndex = -1;
      items[to].focus();
    }
    event.preventDefault();
  }, { signal });
}
