/**
 * Where no kernel answers: gives every kept widget a model that holds its state, and renders it.
 * Implements the part of the anywidget front-end contract that our panels use; what needs Python does nothing.
 */

/** `texts` are long strings and `buffers` numbers, both compressed; one that is not `shown` is only referred to by others. */
/** @typedef {{ id: string, module: string, entry: string, shown: boolean, kept?: Record<string, any> | null, state: Record<string, unknown>, texts: Record<string, string>, buffers: Record<string, string> }} Spec */
/** @typedef {(...args: any[]) => void} Listener */
/** The module of a widget. @typedef {(spec: Spec) => Promise<any>} Load */

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

const everywhere = /** @type {Record<symbol, any>} */ (/** @type {unknown} */ (globalThis));
/** By hash, what a site keeps in files for all its pages (see sphinx.py): modules, and long packed texts. @type {Record<string, string>} */
export const files = (everywhere[Symbol.for("interp_widgets.files")] ??= {});

/** @param {string} text  zlib-compressed bytes in base64, or `file:` and the hash of such a text */
export async function unpack(text) {
  const base64 = text.startsWith("file:") ? files[text.slice(5)] : text;
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
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

/** @param {Spec} spec @param {any} host @param {Load} load @returns {Promise<Bound>} */
async function bind(spec, host, load) {
  const [model, { default: exported }] = await Promise.all([createModel(spec), load(spec)]);
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

/** @param {HTMLElement} el  where it is drawn @param {Spec} spec @param {Shared} shared @param {Load} load */
async function mount(el, spec, shared, load) {
  try {
    const host = createHost(shared);
    const { model, widget } = await (shared.get(spec.id)?.() ?? bind(spec, host, load));
    await widget.render?.({ model, el, signal: forever, host });
    el.dataset.ready = "true";
  } catch (error) {
    el.textContent = `This view could not be drawn: ${error}`;
    console.error(error);
  }
}

/**
 * Draw the widgets of one fragment.
 * @param {Spec[]} specs @param {Load} load @param {(spec: Spec) => HTMLElement} place  the element that a shown one is drawn into
 */
export async function draw(specs, load, place) {
  /** @type {Shared} */
  const shared = new Map();
  for (const spec of specs.filter((each) => !each.shown)) {
    /** @type {Promise<Bound> | undefined} */
    let bound;
    shared.set(spec.id, () => (bound ??= bind(spec, createHost(shared), load)));
  }
  await Promise.all(specs.filter((each) => each.shown).map((spec) => mount(place(spec), spec, shared, load)));
}
