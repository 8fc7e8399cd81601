/** An Altair chart, drawn by the one copy of Vega that all charts of a kernel share. */

import { h } from "./dom.js";

/** Where the page keeps its Vega: charts from several modules must find the same one. */
const VEGA = Symbol.for("interp_widgets.vega");

/**
 * Vega, loaded once per page from the text that the library model carries.
 * @param {any} host
 * @param {string} reference
 */
function loadVega(host, reference) {
  const page = /** @type {Record<symbol, any>} */ (/** @type {unknown} */ (globalThis));
  page[VEGA] ??= (async () => {
    if (!host?.getModel) throw new Error("this notebook's anywidget is older than 0.11; show chart.save(\"chart.svg\") instead");
    const library = await host.getModel(reference);
    const url = URL.createObjectURL(new Blob([library.get("source")], { type: "text/javascript" }));
    try {
      return await import(url);
    } finally {
      URL.revokeObjectURL(url);
    }
  })();
  return page[VEGA];
}

/** What makes a page light or dark in the hosts that we know; the stylesheet of the panels follows the same. */
const THEME_MARKS = ["data-jp-theme-light", "data-theme", "data-md-color-scheme", "data-bs-theme", "class"];

/** @param {any} props */
async function render({ model, el, host, signal }) {
  const box = h("div", { class: "iw-vega", role: "figure" }, "Loading the chart library…");
  const probe = h("i", { class: "iw", hidden: true }); // the panels' stylesheet knows whether the page is dark
  el.replaceChildren(box, probe);
  const isDark = () => getComputedStyle(probe).colorScheme === "dark";
  /** @type {any} */
  let view;
  const draw = async () => {
    try {
      const { vegaEmbed } = await loadVega(host, model.get("library"));
      if (signal.aborted) return;
      view?.finalize();
      const options = { renderer: "svg", actions: false, theme: isDark() ? "dark" : undefined, config: { background: "transparent" } };
      view = await vegaEmbed(box, structuredClone(model.get("spec")), options);
    } catch (error) {
      box.replaceChildren(h("div", { class: "iw" }, h("p", { class: "iw-error", role: "alert" }, `The chart cannot be drawn: ${error}`)));
    }
  };
  let drawnDark = isDark();
  const follow = () => { if (isDark() !== drawnDark) { drawnDark = isDark(); draw(); } };
  const themes = new MutationObserver(follow);
  for (const element of [document.body, document.documentElement]) {
    themes.observe(element, { attributes: true, attributeFilter: THEME_MARKS });
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", follow);
  model.on("change:spec", draw);
  signal.addEventListener("abort", () => {
    themes.disconnect();
    system.removeEventListener("change", follow);
    model.off("change:spec", draw);
    view?.finalize();
  });
  await draw();
}

export default { render };
