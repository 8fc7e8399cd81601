/** What is kept in an output, drawn with the modules of this extension: nothing of the notebook is run. */

import { draw } from "./host.js";

/** @typedef {import("./host.js").Spec} Spec */

export const MIME = "application/vnd.interp-widgets+json";

/** Modules of panels. A module that runs what its state says, as that of a chart does, must not be among them. */
const ENTRIES = ["agreement", "atoms", "attention", "audit", "examples", "explorer", "lens", "pairs", "patching", "shift", "steering"];

const here = new URL(".", import.meta.url).href;

/** What is in the HTML of an output; the document that it is parsed into is inert. @param {string} html */
export function readKept(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const scripts = [...page.querySelectorAll('script[type="application/x-interp-widget+json"]')];
  /** @type {Spec[]} */
  const specs = scripts.map((script) => JSON.parse(script.textContent ?? ""));
  return { specs, still: page.querySelector("[data-iw-still]") ?? page.body };
}

/** The module of a panel, from this extension. @param {Spec} spec */
function load(spec) {
  const name = ENTRIES.find((each) => spec.entry === `${each}.js`);
  if (!name) throw new Error(`this version draws no ${spec.entry}`);
  return import(`${here}front/${name}.js`);
}

/** @param {HTMLElement} el @param {Spec[]} specs */
export function drawKept(el, specs) {
  putStyles();
  return draw(specs, async (spec) => load(spec), () => el.appendChild(document.createElement("div")));
}

/** Each stylesheet once a page. */
export function putStyles() {
  for (const name of ["front/interp.css", "kept.css"]) {
    const href = `${here}${name}`;
    if (document.querySelector(`link[href="${href}"]`)) continue;
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href });
    document.head.append(link);
  }
}
