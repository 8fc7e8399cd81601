/** One output: the live panel while its kernel is there, else the panel as it was saved, and the press that makes it live again. */

import { drawKept, MIME, readKept } from "./kept.js";

const WIDGET = "application/vnd.jupyter.widget-view+json";
const GONE = ["restarting", "autorestarting", "dead", "terminating"];
/** Seconds for a widget that the kernel has made to arrive here. */
const PATIENCE = 20;

/** @typedef {any} Lab */

/** @param {Lab} Panel */
export function createRenderer(Panel) {
  return class extends Panel {
    /** What is shown: the id of a live model, "kept", or nothing yet. */
    #shown = "";
    /** The output. @type {Lab} */
    #model = null;
    /** @type {Lab} */
    #notebook;
    /** @type {Lab} */
    #rendermime;
    /** @type {Lab} */
    #manager = null;

    /** @param {Lab} options @param {Lab} notebook @param {Lab} rendermime */
    constructor(options, notebook, rendermime) {
      super();
      [this.#notebook, this.#rendermime] = [notebook, rendermime];
      this.addClass("iw-output");
      const { sessionContext } = notebook;
      sessionContext.statusChanged.connect(this.#onStatus, this);
      sessionContext.kernelChanged.connect(this.#onKernel, this);
    }

    dispose() {
      if (this.isDisposed) return;
      this.#notebook.sessionContext.statusChanged.disconnect(this.#onStatus, this);
      this.#notebook.sessionContext.kernelChanged.disconnect(this.#onKernel, this);
      this.#manager?.restored.disconnect(this.#onRestored, this);
      super.dispose();
    }

    /** Draw the output. A live panel is not drawn again when what is saved of it changes. @param {Lab} model */
    async renderModel(model) {
      this.#model = model;
      const id = model.data[MIME].model_id;
      if (this.#shown === id) return;
      const manager = await this.#findManager();
      if (this.#shown === id || this.isDisposed) return; // another call was quicker
      if (manager?.has_model(id)) await this.#showLive(id);
      else await this.#showKept();
    }

    #onStatus(/** @type {Lab} */ _, /** @type {string} */ status) {
      if (GONE.includes(status) && this.#shown && this.#shown !== "kept") void this.#showKept();
      if (status === "idle" && this.#shown === "kept" && !this.#manager) this.#findManager().then(() => this.#onRestored());
    }

    #onKernel(/** @type {Lab} */ _, /** @type {Lab} */ { newValue }) {
      if (!newValue && this.#shown && this.#shown !== "kept") void this.#showKept();
    }

    /** The kernel's widgets are known now: after the page was loaded again, the panel may be among them. */
    #onRestored() {
      const id = this.#model?.data[MIME].model_id;
      if (this.#shown === "kept" && this.#manager?.has_model(id)) void this.#showLive(id);
    }

    /** The manager of the kernel's widgets, which ipywidgets gives to its renderers only; null if there is none so far. */
    async #findManager() {
      if (this.#manager || !this.#rendermime.mimeTypes.includes(WIDGET)) return this.#manager;
      const renderer = this.#rendermime.createRenderer(WIDGET);
      const found = await Promise.race([renderer._manager?.promise, new Promise((done) => setTimeout(done, 300))]);
      renderer.dispose();
      if (found && !this.#manager && !this.isDisposed) {
        this.#manager = found;
        found.restored.connect(this.#onRestored, this);
      }
      return this.#manager;
    }

    #clear() {
      for (const widget of [...this.widgets]) widget.dispose();
      this.node.replaceChildren();
    }

    /** @param {string} id */
    async #showLive(id) {
      this.#shown = id;
      this.#clear();
      const renderer = this.#rendermime.createRenderer(WIDGET);
      this.addWidget(renderer);
      const data = { [WIDGET]: { model_id: id, version_major: 2, version_minor: 0 } };
      await renderer.renderModel({ data, metadata: {}, trusted: true, setData() {} });
      const kernel = this.#notebook.sessionContext.session?.kernel;
      const comm = kernel?.createComm("interp_widgets");
      comm?.open({ model_id: id }); // outputs need no other form from now on
      comm?.close();
    }

    async #showKept() {
      this.#shown = "kept";
      this.#clear();
      const bar = document.createElement("div");
      bar.className = "iw-saved";
      const name = document.createElement("strong");
      name.textContent = "Saved view";
      const button = document.createElement("button");
      [button.type, button.textContent] = ["button", "Make live"];
      const status = document.createElement("span");
      status.setAttribute("role", "status");
      bar.append(name, button, status);
      const place = document.createElement("div");
      this.node.append(bar, place);
      const say = (/** @type {string} */ words) => { status.textContent = words; };
      try {
        const { specs, still } = readKept(String(this.#model.data["text/html"] ?? ""));
        if (!specs.length) {
          button.remove();
          say(`${still.textContent?.trim() ?? ""} Run the cell to see it.`);
          return;
        }
        button.addEventListener("click", () => this.#makeLive(specs, button, say));
        await drawKept(place, specs);
      } catch (error) {
        say(`What was saved of this panel cannot be drawn: ${error}. Run the cell again.`);
        console.error(error);
      }
    }

    /** @param {import("./host.js").Spec[]} specs @param {HTMLButtonElement} button @param {(words: string) => void} say */
    async #makeLive(specs, button, say) {
      button.disabled = true;
      try {
        const id = await this.#reopen(specs, say);
        const manager = await this.#findManager();
        for (let waited = 0; !manager?.has_model(id); waited += 0.1) {
          if (waited > PATIENCE) throw new Error("The kernel has made the panel live, but it did not arrive here. Reload the page.");
          await new Promise((done) => setTimeout(done, 100));
        }
        const data = { ...this.#model.data, [MIME]: { ...this.#model.data[MIME], model_id: id } };
        this.#model.setData({ data, metadata: this.#model.metadata }); // the output is drawn again: live
      } catch (error) {
        say(/** @type {Error} */ (error).message);
        button.disabled = false;
      }
    }

    /** Have the kernel make a panel of what was saved; what is sent is data. @param {import("./host.js").Spec[]} specs @param {(words: string) => void} say @returns {Promise<string>} id of its model */
    async #reopen(specs, say) {
      const { sessionContext } = this.#notebook;
      if (!sessionContext.session?.kernel) {
        say("Starting a kernel…");
        await sessionContext.ready;
        if (!sessionContext.session?.kernel) await sessionContext.startKernel();
      }
      const kernel = sessionContext.session?.kernel;
      if (!kernel) throw new Error("This notebook has no kernel. Choose one at the top right, then press again.");
      say("The kernel opens the panel; nothing is computed…");
      const text = JSON.stringify(JSON.stringify(specs)); // a JSON string is a Python string
      const panel = `__import__("interp_widgets.export.output", fromlist=["live"]).live(${text})`;
      const reply = await kernel.requestExecute({ code: "", silent: false, store_history: false, user_expressions: { panel } }).done;
      const found = reply.content.user_expressions?.panel;
      if (found?.status === "ok") return found.data["text/plain"].replaceAll("'", "");
      if (found?.ename === "ModuleNotFoundError") {
        throw new Error("This kernel has no interp_widgets of this version. Install it there: pip install --upgrade interp_widgets. Then restart the kernel and press again.");
      }
      throw new Error(found?.evalue ?? "The kernel did not answer. Look whether it is busy or gone, then press again.");
    }
  };
}
