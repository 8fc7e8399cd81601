/** The script of a page, and of a notebook's output: finds what is kept in it and draws it. */

import { draw, files, unpack } from "./host.js";

/** @typedef {import("./host.js").Spec} Spec */

const page = /** @type {Record<symbol, any>} */ (/** @type {unknown} */ (globalThis));
/** What all hosts of a page share: a page of documentation may hold several fragments. @type {Map<string, Promise<any>>} */
const modules = (page[Symbol.for("interp_widgets.host")] ??= new Map());

/** A text of the page, compressed or as JSON. @param {Element | null} script @returns {Promise<string>} */
async function textOf(script) {
  const text = script?.textContent ?? "null";
  return script?.getAttribute("type") === "application/zlib" ? new TextDecoder().decode(await unpack(text)) : JSON.parse(text);
}

/** @param {string} key */
async function importModule(key) {
  const source = files[key] ?? await textOf(document.querySelector(`script[data-iw-module="${key}"]`));
  return import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
}

/** A widget's module, loaded once however many widgets share it. @param {Spec} spec */
function load({ module: key }) {
  const loading = modules.get(key) ?? importModule(key);
  modules.set(key, loading);
  return loading;
}

/** Light or dark, by hand: a press goes to the other one. @param {HTMLElement} button */
function offerThemes(button) {
  const page = document.documentElement;
  const isDark = () => (page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => {
    page.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  name();
}

/** The same stylesheet comes with every fragment; one is enough. */
async function putStyles() {
  const known = new Set();
  for (const style of document.querySelectorAll("[data-iw-style]")) {
    const name = style.getAttribute("data-iw-style");
    if (known.has(name)) style.remove();
    else if (style.tagName === "SCRIPT") {
      const put = document.createElement("style");
      put.setAttribute("data-iw-style", name ?? "");
      style.replaceWith(put);
      put.textContent = await textOf(style);
    }
    known.add(name);
  }
}

/** Draw the panels of one element, each after the script that holds its state; a picture that stood for them goes. @param {Element} fragment */
async function drawFragment(fragment) {
  const scripts = [...fragment.querySelectorAll(':scope > script[type="application/x-interp-widget+json"]')];
  if (!scripts.length || fragment.hasAttribute("data-mounted")) return;
  fragment.setAttribute("data-mounted", "");
  /** @type {[Spec, Element][]} */
  const places = scripts.map((script) => [JSON.parse(script.textContent ?? ""), script]);
  await draw(places.map(([spec]) => spec), load, (spec) => {
    const el = document.createElement("div");
    places.find(([each]) => each === spec)?.[1].after(el);
    return el;
  });
  if (fragment.querySelector(":scope > [data-ready]")) fragment.querySelector(":scope > [data-iw-still]")?.remove();
}

const ready = putStyles();
for (const script of document.querySelectorAll('script[type="application/x-interp-widget+json"]')) {
  ready.then(() => drawFragment(/** @type {Element} */ (script.parentElement)));
}
for (const button of document.querySelectorAll("[data-iw-theme]:not([data-mounted])")) {
  button.setAttribute("data-mounted", "");
  offerThemes(/** @type {HTMLElement} */ (button));
}
