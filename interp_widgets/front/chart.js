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

/** Whether the page around us is dark: the notebook's theme, not the system's, decides. */
const isDark = () =>
  document.body.dataset.jpThemeLight === "false" || document.documentElement.dataset.theme === "dark" ||
  getComputedStyle(document.body).colorScheme === "dark";

/** @param {any} props */
async function render({ model, el, host, signal }) {
  const box = h("div", { class: "iw-vega", role: "figure" }, "Loading the chart library…");
  el.replaceChildren(box);
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
  const themes = new MutationObserver(draw);
  for (const element of [document.body, document.documentElement]) {
    themes.observe(element, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-theme"] });
  }
  model.on("change:spec", draw);
  signal.addEventListener("abort", () => {
    themes.disconnect();
    model.off("change:spec", draw);
    view?.finalize();
  });
  await draw();
}

export default { render };
