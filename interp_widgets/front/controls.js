/** Small controls that several panels use. */

import { h, setAttributes, uniqueId } from "./dom.js";

/** Why a control is off in an exported page. */
export const NEEDS_KERNEL = "Needs a running kernel";

/**
 * @param {string} text
 * @param {AbortSignal} signal
 * @param {(event: MouseEvent) => void} onPress
 * @param {import("./dom.js").Attributes} [attributes]
 */
export function button(text, signal, onPress, attributes = {}) {
  const element = h("button", { type: "button", class: "iw-button", ...attributes }, text);
  element.addEventListener("click", onPress, { signal });
  return element;
}

/**
 * Switch a control off where no kernel answers, and say why.
 * @param {HTMLElement} control
 * @param {boolean} live
 * @param {boolean} [possible]  whether it has something to do at all
 */
export function needsKernel(control, live, possible = true) {
  control.dataset.hint ??= control.title;
  setAttributes(control, { disabled: !live || !possible, title: live ? control.dataset.hint || null : NEEDS_KERNEL });
}

/**
 * One of a few, as a row of radio buttons.
 * @param {object} options
 * @param {string} options.legend
 * @param {[value: string, label: string][]} options.options
 * @param {AbortSignal} options.signal
 * @param {(value: string) => void} options.onChoose
 */
export function createChoice({ legend, options, signal, onChoose }) {
  const name = uniqueId();
  const inputs = options.map(([value]) => h("input", { type: "radio", name, value }));
  const element = h("fieldset", { class: "iw-choice" }, h("legend", {}, legend),
    ...options.map(([, label], i) => h("label", {}, inputs[i], h("span", {}, label))));
  element.addEventListener("change", (event) => onChoose(/** @type {HTMLInputElement} */ (event.target).value), { signal });
  /** @param {string} value */
  const draw = (value) => inputs.forEach((input) => { input.checked = input.value === value; });
  /** Show those of the options that can be chosen now; nothing where that is no choice. @param {string[]} values */
  const offer = (values) => {
    for (const input of inputs) setAttributes(/** @type {Element} */ (input.parentElement), { hidden: !values.includes(input.value) });
    element.hidden = values.length < 2;
  };
  return { element, draw, offer };
}

/**
 * One of many, as a list that opens.
 * @param {object} options
 * @param {string} options.label
 * @param {[value: string, label: string][]} options.options
 * @param {AbortSignal} options.signal
 * @param {(value: string) => void} options.onChoose
 */
export function createSelect({ label, options, signal, onChoose }) {
  const select = h("select", {}, ...options.map(([value, text]) => h("option", { value }, text)));
  const element = h("label", { class: "iw-field iw-short" }, h("span", { class: "iw-label" }, label), select);
  select.addEventListener("change", () => onChoose(select.value), { signal });
  /** @param {string} value */
  const draw = (value) => { select.value = value; };
  return { element, draw };
}

/**
 * Tabs: one of several views of the same panel.
 * @param {string} label
 * @param {AbortSignal} signal
 * @param {(value: string) => void} onChoose
 */
export function createTabs(label, signal, onChoose) {
  const element = h("div", { class: "iw-tabs", role: "tablist", "aria-label": label });
  let drawn = "";

  /** @param {[value: string, label: string][]} options @param {string} chosen @param {string} panelId */
  function draw(options, chosen, panelId) {
    if (drawn !== String(options)) {
      element.replaceChildren(...options.map(([value, text]) =>
        h("button", { type: "button", class: "iw-tab", role: "tab", "data-value": value, "aria-controls": panelId }, text)));
    }
    drawn = String(options);
    for (const tab of tabs()) setAttributes(tab, { "aria-selected": String(tab.dataset.value === chosen), tabindex: tab.dataset.value === chosen ? 0 : -1 });
  }
  const tabs = () => /** @type {HTMLElement[]} */ ([...element.children]);

  element.addEventListener("click", (event) => {
    const tab = tabs().find((each) => each === event.target);
    if (tab) onChoose(tab.dataset.value ?? "");
  }, { signal });
  element.addEventListener("keydown", (event) => {
    const all = tabs();
    const at = all.findIndex((tab) => tab === event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length];
    next.focus();
    onChoose(next.dataset.value ?? "");
  }, { signal });
  return { element, draw };
}

/** The colour scale with its two ends. */
export function createLegend() {
  const bar = h("span", { class: "iw-legend-bar" });
  const [low, high, unit] = [h("span"), h("span"), h("span", { class: "iw-quiet" })];
  const element = h("div", { class: "iw-legend" }, low, bar, high, unit);
  /** @param {string} background @param {string} from @param {string} to @param {string} what */
  function draw(background, from, to, what) {
    bar.style.backgroundImage = background;
    low.textContent = from;
    high.textContent = to;
    unit.textContent = what;
  }
  return { element, draw };
}

/** What shows that a result did what it says; a check that fails is an alert. */
export function createChecks() {
  const element = h("ul", { class: "iw-checks", "aria-label": "Checks" });
  /** @param {{ passed: boolean, text: string }[]} checks */
  function draw(checks) {
    element.replaceChildren(...checks.map(({ passed, text }) => h("li", { role: passed ? null : "alert" }, `${passed ? "✓" : "✗"} ${text}`)));
    element.hidden = !checks.length;
  }
  return { element, draw };
}
