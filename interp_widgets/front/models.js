/** The models of a server, to choose from: a button with the model's name that opens a list. */

import { h, hit, setAttributes, uniqueId } from "./dom.js";
import { needsKernel } from "./controls.js";

/** @typedef {{ id: string, about: string, fits: boolean }} Served  a model, what is said of it, and whether panels can read it */

/**
 * The list is asked for when it is opened. The listbox has the focus while it is open; its options are told by their ids.
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {AbortSignal} signal
 */
export function createModels(model, signal) {
  const listId = uniqueId();
  const name = h("span", { class: "iw-models-name" });
  const open = h("button", { type: "button", class: "iw-button iw-small iw-models-open", "aria-haspopup": "listbox", "aria-expanded": "false",
    "aria-controls": listId, title: "Other models of this server" }, name, h("span", { "aria-hidden": "true" }, " ▾"));
  const list = h("ul", { class: "iw-models-list", id: listId, role: "listbox", tabindex: -1, "aria-label": "Models of this server" });
  const said = h("p", { class: "iw-models-said", role: "status" });
  const popup = h("div", { class: "iw-models-popup", hidden: true }, said, list);
  const element = h("span", { class: "iw-models" }, open, popup);
  /** @type {Served[]} */
  let models = [];
  let at = -1;

  /** @param {boolean} shown */
  function show(shown) {
    popup.hidden = !shown;
    setAttributes(open, { "aria-expanded": String(shown) });
    if (!shown) return;
    model.send({ type: "models" });
    at = -1;
    draw();
    list.focus();
  }
  function close() {
    if (popup.hidden) return;
    show(false);
    open.focus();
  }
  /** @param {number} next */
  function mark(next) {
    const options = [...list.children];
    at = options.length ? Math.min(Math.max(next, 0), options.length - 1) : -1;
    options.forEach((option, i) => setAttributes(option, { "data-active": i === at }));
    setAttributes(list, { "aria-activedescendant": at < 0 ? null : options[at].id });
    options[at]?.scrollIntoView({ block: "nearest" });
  }
  /** @param {number} index */
  function choose(index) {
    const chosen = models[index];
    if (!chosen?.fits) return;
    close();
    if (chosen.id !== model.get("model_source")) model.send({ type: "model", name: chosen.id });
  }
  function draw() {
    element.hidden = !model.get("model_source");
    name.textContent = model.get("model_name");
    needsKernel(open, model.get("live"));
    if (popup.hidden) return;
    const { state = "", models: served = [], error = "" } = model.get("served") ?? {};
    models = state === "there" ? served : [];
    said.textContent = error || (state === "there" ? (models.length ? "" : "This server has no models now.") : "Asking the server …");
    said.hidden = !said.textContent;
    setAttributes(said, { "data-error": Boolean(error) });
    const chosen = model.get("model_source");
    list.replaceChildren(...models.map(({ id, about, fits }, i) => h("li", { role: "option", id: `${listId}-${i}`, "data-index": i,
      "aria-selected": String(id === chosen), "aria-disabled": fits ? null : "true" }, h("span", { class: "iw-models-id" }, id), h("small", {}, about))));
    list.hidden = false;
    mark(at >= 0 ? at : Math.max(0, models.findIndex(({ id }) => id === chosen)));
  }

  open.addEventListener("click", () => show(popup.hidden === true), { signal });
  list.addEventListener("click", (event) => choose(Number(hit(event, "[role=option]")?.dataset.index ?? -1)), { signal });
  element.addEventListener("keydown", (event) => {
    if (popup.hidden) {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      show(true);
      return;
    }
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: models.length - 1 }[event.key];
    if (to !== undefined) mark(to);
    else if (event.key === "Enter" || event.key === " ") choose(at);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, { signal });
  element.addEventListener("focusout", (event) => {
    if (!popup.hidden && !(event.relatedTarget instanceof Node && element.contains(event.relatedTarget))) show(false);
  }, { signal });
  return { element, draw };
}
