"""A bare page with a model that records: what a panel needs of JupyterLab, and nothing else."""

from __future__ import annotations

import base64
import json

RECORDER = """
async ({ esm, css, state, buffers }) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
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
    count: () => Object.values(listeners).flat().length,
    save_changes() {}, send(message) { model.sent.push(message); },
    /** As if Python had set traits, all at once. */
    arrive(state, buffers = {}) {
      for (const [name, value] of Object.entries(state)) values[name] = value;
      for (const [name, text] of Object.entries(buffers)) values[name] = view(text);
      for (const name of [...Object.keys(state), ...Object.keys(buffers)]) model.fire(name);
    },
  };
  const controller = new AbortController();
  const { default: widget } = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
  const start = performance.now();
  await widget.render({ model, el: document.getElementById("root"), signal: controller.signal });
  document.body.getBoundingClientRect();
  Object.assign(window, { model, controller, milliseconds: performance.now() - start });
}
"""


def split(widget) -> tuple[dict, dict]:
    """A widget's state as JSON, and its buffers in base64."""
    state = {k: v for k, v in widget.get_state().items() if not k.startswith("_") and k != "layout"}
    buffers = {k: base64.b64encode(v).decode() for k, v in state.items() if isinstance(v, bytes)}
    return json.loads(json.dumps({k: v for k, v in state.items() if k not in buffers})), buffers


def arrive(page, **traits) -> None:
    """Set traits as Python would, and wait until the panel has drawn them."""
    state = {k: v for k, v in traits.items() if not isinstance(v, bytes)}
    buffers = {k: base64.b64encode(v).decode() for k, v in traits.items() if isinstance(v, bytes)}
    page.evaluate("([state, buffers]) => model.arrive(state, buffers)", [state, buffers])
    settle(page)


def settle(page) -> None:
    """Wait until the next frame has been drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
