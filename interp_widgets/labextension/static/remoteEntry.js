// What JupyterLab asks a prebuilt extension for, written by hand: nothing is bundled. See docs/internals.md.
(() => {
  const here = new URL(".", /** @type {HTMLScriptElement} */ (document.currentScript).src).href;
  /** Modules that JupyterLab shares with its extensions, as webpack keeps them: name -> version -> how to get it. @type {any} */
  let shared = {};
  const ask = async (/** @type {string} */ name) => {
    /** @type {any[]} */
    const versions = Object.values(shared[name] ?? {});
    if (!versions.length) throw new Error(`JupyterLab does not share ${name}`);
    return (await (versions.find((each) => each.loaded) ?? versions[0]).get())();
  };
  const container = {
    init: (/** @type {any} */ scope) => { shared = scope; },
    get: async () => {
      const [{ INotebookTracker }, { Panel }, { createPlugin }] = await Promise.all([
        ask("@jupyterlab/notebook"), ask("@lumino/widgets"), import(`${here}plugin.js`),
      ]);
      return () => ({ __esModule: true, default: createPlugin(INotebookTracker, Panel) });
    },
  };
  (/** @type {any} */ (window)._JUPYTERLAB ??= {}).interp_widgets = container;
})();
