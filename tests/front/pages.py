"""A bare page with a model that records: what a panel needs of JupyterLab, and nothing else."""

from __future__ import annotations

import base64
import json

RECORDER = """
async ({ esm, css, state, buffers, parts = {} }) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const create = ({ state, buffers }) => {
    const values = { ...state };
    for (const [name, text] of Object.entries(buffers)) values[name] = view(text);
    const listeners = {};
    const model = {
      sent: [], saved: [],
      get: (name) => values[name],
      set(name, value) { values[name] = value; model.saved.push(name); this.fire(name); },
      fire: (name) => (listeners[`change:${name}`] ?? []).forEach((listener) => listener()),
      on: (event, listener) => { (listeners[event] ??= []).push(listener); },
      off: (event, listener) => { listeners[event] = (listeners[event] ?? []).filter((each) => each !== listener); },
      count: () => Object.values(listeners).flat().length, traits: () => Object.keys(values),
      save_changes() {}, send(message) { model.sent.push(message); },
      /** As if Python had set traits, all at once. */
      arrive(state, buffers = {}) {
        for (const [name, value] of Object.entries(state)) values[name] = value;
        for (const [name, text] of Object.entries(buffers)) values[name] = view(text);
        for (const name of [...Object.keys(state), ...Object.keys(buffers)]) model.fire(name);
      },
    };
    return model;
  };
  const model = create({ state, buffers });
  const load = async (esm) => (await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })))).default;
  const others = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, create(part)]));
  const nameOf = (reference) => Object.keys(parts).find((name) => parts[name].reference === reference);
  const host = {
    getModel: async (reference) => others[nameOf(reference)],
    getWidget: async (reference) => ({
      render: async (props) => {
        const name = nameOf(reference);
        return (await load(parts[name].esm)).render({ model: others[name], host, ...props });
      },
    }),
  };
  const controller = new AbortController();
  const widget = await load(esm);
  const start = performance.now();
  await widget.render({ model, el: document.getElementById("root"), signal: controller.signal, host });
  document.body.getBoundingClientRect();
  Object.assign(window, { model, parts: others, controller, milliseconds: performance.now() - start });
}
"""


def parts(widget) -> dict[str, dict]:
    """The widgets that a widget refers to, by trait, for the recorder."""
    found = {}
    for name, value in widget.get_state().items():
        if isinstance(value, str) and value.startswith("anywidget:"):
            part = getattr(widget, name)
            state, buffers = split(part)
            found[name] = {"reference": value, "esm": part._esm, "state": state, "buffers": buffers}
    return found


def split(widget) -> tuple[dict, dict]:
    """A widget's state as JSON, and its buffers in base64."""
    state = {k: v for k, v in widget.get_state().items() if not k.startswith("_") and k != "layout"}
    buffers = {k: base64.b64encode(v).decode() for k, v in state.items() if isinstance(v, bytes)}
    return json.loads(json.dumps({k: v for k, v in state.items() if k not in buffers})), buffers


def arrive(page, part: str = "", **traits) -> None:
    """Set traits as Python would, of the widget or of one of its parts, and wait until the panel has drawn them."""
    state = {k: v for k, v in traits.items() if not isinstance(v, bytes)}
    buffers = {k: base64.b64encode(v).decode() for k, v in traits.items() if isinstance(v, bytes)}
    page.evaluate("([part, state, buffers]) => (parts[part] ?? model).arrive(state, buffers)", [part, state, buffers])
    settle(page)


def settle(page) -> None:
    """Wait until the next frame has been drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
