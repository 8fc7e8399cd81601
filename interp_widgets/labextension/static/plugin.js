/** The extension: a renderer of our outputs for every notebook, and updates of what is saved in them. */

import { MIME } from "./kept.js";
import { createRenderer } from "./renderer.js";

/** JupyterLab's own objects carry no types here: only what is used of them is named. @typedef {any} Lab */

/** @param {Lab} INotebookTracker @param {Lab} Panel  the class of a widget that holds others */
export function createPlugin(INotebookTracker, Panel) {
  const Renderer = createRenderer(Panel);
  /** @param {Lab} notebook */
  const attach = (notebook) => {
    const { rendermime } = notebook.content;
    const factory = { safe: true, mimeTypes: [MIME], createRenderer: (/** @type {Lab} */ options) => new Renderer(options, notebook, rendermime) };
    rendermime.addFactory(factory, -100); // before the form of ipywidgets, which is at -10
    notebook.sessionContext.iopubMessage.connect((/** @type {Lab} */ _, /** @type {Lab} */ message) => follow(notebook, message));
  };
  return {
    id: "interp_widgets:plugin",
    description: "Draws panels of interp_widgets, live or as they were saved.",
    autoStart: true,
    requires: [INotebookTracker],
    activate: (/** @type {Lab} */ _, /** @type {Lab} */ tracker) => {
      tracker.forEach(attach);
      tracker.widgetAdded.connect((/** @type {Lab} */ __, /** @type {Lab} */ notebook) => attach(notebook));
    },
  };
}

/**
 * Put a newer twin into the outputs of its panel. JupyterLab does so for outputs that were displayed since the page was loaded; not
 * after a reload, and not for a saved output that was made live.
 * @param {Lab} notebook @param {Lab} message
 */
function follow(notebook, message) {
  const data = message.header.msg_type === "update_display_data" ? message.content.data : undefined;
  const id = data?.[MIME]?.model_id;
  const cells = notebook.content.model?.cells;
  for (let i = 0; id && i < (cells?.length ?? 0); i++) {
    const outputs = cells.get(i).outputs;
    for (let j = 0; j < (outputs?.length ?? 0); j++) {
      const output = outputs.get(j);
      if (output.data[MIME]?.model_id !== id || output.data["text/html"] === data["text/html"]) continue;
      output.setData({ data, metadata: message.content.metadata ?? {} });
    }
  }
}
