/**
 * A page with no kernel: gives every exported widget a model that holds its state, and renders it.
 * Implements the part of the anywidget front-end contract that our panels use; what needs Python does nothing.
 */

/** `texts` are long strings and `buffers` numbers, both compressed; one that is not `shown` is only referred to by others. */
/** @typedef {{ id: string, module: string, shown: boolean, state: Record<string, unknown>, texts: Record<string, string>, buffers: Record<string, string> }} Spec */
/** @typedef {(...args: any[]) => void} Listener */

/** The state of one widget, in the browser only. */
class Model {
  /** @type {Record<string, unknown>} */
  #state;
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();

  /** @param {Record<string, unknown>} state */
  constructor(state) {
    this.#state = { ...state };
  }
  /** @param {string} name */
  get(name) {
    return this.#state[name];
  }
  /** @param {string} name @param {unknown} value */
  set(name, value) {
    if (Object.is(this.#state[name], value)) return;
    this.#state[name] = value;
    for (const event of [`change:${name}`, "change"]) {
      for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(this, value);
    }
  }
  /** @param {string} event @param {Listener} listener */
  on(event, listener) {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
  }
  /** @param {string | null} [event] @param {Listener | null} [listener] */
  off(event, listener) {
    if (!event) this.#listeners.clear();
    else if (!listener) this.#listeners.delete(event);
    else this.#listeners.get(event)?.delete(listener);
  }
  save_changes() {}
  send() {}
}

/** A page is never taken down. */
const forever = new AbortController().signal;

const page = /** @type {Record<symbol, any>} */ (/** @type {unknown} */ (globalThis));
/** What all hosts of a page share: a page of documentation may hold several fragments. @type {Map<string, Promise<any>>} */
const modules = (page[Symbol.for("interp_widgets.host")] ??= new Map());
/** By hash, what a site keeps in files for all its pages (see sphinx.py): modules, and long packed texts. @type {Record<string, string>} */
const files = (page[Symbol.for("interp_widgets.files")] ??= {});

/** @param {string} text  zlib-compressed bytes in base64, or `file:` and the hash of such a text */
async function unpack(text) {
  const base64 = text.startsWith("file:") ? files[text.slice(5)] : text;
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
}

/** A widget's module, loaded once however many widgets share it. @param {string} key */
function load(key) {
  const source = () => files[key] ?? JSON.parse(document.querySelector(`script[data-iw-module="${key}"]`)?.textContent ?? "null");
  const loading = modules.get(key) ?? import(URL.createObjectURL(new Blob([source()], { type: "text/javascript" })));
  modules.set(key, loading);
  return loading;
}

/** @param {Spec} spec */
async function createModel({ state, texts, buffers }) {
  const [numbers, strings] = await Promise.all([buffers, texts].map((packed) =>
    Promise.all(Object.entries(packed).map(async ([name, text]) => /** @type {[string, DataView]} */ ([name, await unpack(text)])))));
  const decoded = strings.map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]);
  return new Model({ ...state, ...Object.fromEntries([...numbers, ...decoded]) });
}

/** @typedef {{ model: Model, widget: any }} Bound  a model and its module, initialised */
/** What is referred to in one fragment: the same widget may stand in another one with another state. @typedef {Map<string, () => Promise<Bound>>} Shared */

/** @param {Spec} spec @param {any} host @returns {Promise<Bound>} */
async function bind(spec, host) {
  const [model, { default: exported }] = await Promise.all([createModel(spec), load(spec.module)]);
  const widget = typeof exported === "function" ? await exported() : exported;
  await widget.initialize?.({ model, signal: forever, host });
  return { model, widget };
}

/** What a widget may ask of the page about those that it refers to. @param {Shared} shared */
function createHost(shared) {
  /** @param {string} reference @returns {Promise<Bound>} */
  const find = async (reference) => {
    const bound = shared.get(reference.replace(/^anywidget:/, ""));
    if (!bound) throw new Error(`the page does not hold ${reference}`);
    return bound();
  };
  const host = {
    getModel: async (/** @type {string} */ reference) => (await find(reference)).model,
    getWidget: async (/** @type {string} */ reference) => {
      const { model, widget } = await find(reference);
      return { render: async (/** @type {any} */ { el, signal = forever }) => widget.render?.({ model, el, signal, host }) };
    },
  };
  return host;
}

/** @param {Element} place  the script that holds the state; the widget is drawn after it @param {Spec} spec @param {Shared} shared */
async function mount(place, spec, shared) {
  const el = document.createElement("div");
  place.after(el);
  try {
    const host = createHost(shared);
    const { model, widget } = await (shared.get(spec.id)?.() ?? bind(spec, host));
    await widget.render?.({ model, el, signal: forever, host });
    el.dataset.ready = "true";
  } catch (error) {
    el.textContent = `This view could not be drawn: ${error}`;
    console.error(error);
  }
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

// The same stylesheet comes with every fragment; one is enough.
const styles = new Set();
for (const style of document.querySelectorAll("style[data-iw-style]")) {
  if (styles.has(style.getAttribute("data-iw-style"))) style.remove();
  styles.add(style.getAttribute("data-iw-style"));
}
/** @type {[Element, Spec][]} */
const places = [...document.querySelectorAll('script[type="application/x-interp-widget+json"]:not([data-mounted])')]
  .map((place) => [place, JSON.parse(place.textContent ?? "")]);
/** By the element that holds a fragment. @type {Map<Element | null, Shared>} */
const fragments = new Map();
for (const [place, spec] of places) {
  place.setAttribute("data-mounted", "");
  const shared = fragments.get(place.parentElement) ?? new Map();
  fragments.set(place.parentElement, shared);
  /** @type {Promise<Bound> | undefined} */
  let bound;
  if (!spec.shown) shared.set(spec.id, () => (bound ??= bind(spec, createHost(shared))));
}
for (const [place, spec] of places) {
  if (spec.shown) mount(place, spec, /** @type {Shared} */ (fragments.get(place.parentElement)));
}
for (const button of document.querySelectorAll("[data-iw-theme]:not([data-mounted])")) {
  button.setAttribute("data-mounted", "");
  offerThemes(/** @type {HTMLElement} */ (button));
}
