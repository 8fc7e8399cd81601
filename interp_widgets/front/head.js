/** What every panel has on top: its name, its prompts, what the kernel is doing, and what went wrong. */

import { button, needsKernel } from "./controls.js";
import { follow, h, hit, setAttributes } from "./dom.js";
import { createModels } from "./models.js";
import { createRemote } from "./remote.js";
import { createTip } from "./tip.js";

/**
 * @typedef {object} Field
 * @prop {string} trait    the trait that holds the text, and its name in the run message
 * @prop {string} label
 * @prop {boolean} [short] one line, a few characters
 * @prop {string} [hint]   what may be written there
 */

/**
 * The frame of a panel: head, status, error and notes; the panel puts its result into `body`.
 * @param {object} options
 * @param {import("@anywidget/types").AnyModel<any>} options.model
 * @param {HTMLElement} options.el
 * @param {AbortSignal} options.signal
 * @param {string} options.name
 * @param {Field[]} options.fields
 * @param {() => string} [options.detail]   said after the model's name
 * @param {string[]} [options.detailTraits]
 * @param {boolean} [options.runs]   whether there is anything to run
 */
export function createPanel({ model, el, signal, name, fields, detail = () => "", detailTraits = [], runs = true }) {
  const about = h("span", { class: "iw-about" });
  const offline = h("p", { class: "iw-offline" }, "Saved view. What needs a running kernel is off; everything stored here still answers.");
  const prompts = createPrompts(model, signal, fields);
  const models = createModels(model, signal);
  const status = createStatus(model, signal);
  const remote = createRemote(model, signal);
  const error = createError(model, signal);
  const notes = h("ul", { class: "iw-notes", "aria-label": "Notes" });
  const summary = h("p", { class: "iw-summary", role: "status" });
  const body = h("div", { class: "iw-body" });
  const root = h("section", { class: "iw", "aria-label": name, "data-panel": name.toLowerCase(), "data-lm-suppress-shortcuts": "true" },
    h("header", { class: "iw-head" }, h("div", { class: "iw-title" }, h("strong", {}, name), models.element, about, status.element),
      remote.element, ...(runs ? [prompts.element] : [])),
    offline, error.element, summary, body, notes);
  root.append(createTip(root, signal));
  root.addEventListener("keydown", keepFromNotebook, { signal });
  el.replaceChildren(root);

  follow(model, signal, [
    [() => { about.textContent = about.title = [model.get("model_source") ? "" : model.get("model_name"), recordedOn(model), detail()].filter(Boolean).join(" · "); }, ["model_name", "model_source", "recorded", ...detailTraits]],
    [models.draw, ["model_name", "model_source", "served", "live"]],
    [remote.draw, ["status", "host"]],
    [prompts.draw, [...fields.map((field) => field.trait), "live"]],
    [() => { offline.hidden = model.get("live") || !runs; }, ["live"]],
    [() => { status.draw(); root.setAttribute("aria-busy", String(isRunning(model))); }, ["status", "live"]],
    [error.draw, ["error"]],
    [() => drawSummary(summary, model), ["summary", "status"]],
    [() => notes.replaceChildren(...(model.get("notes") ?? []).map((/** @type {string} */ note) => h("li", {}, note))), ["notes"]],
  ]);
  return body;
}

/**
 * The sentence on the result. What is partial changes too often to be read out: it is read out once, when the work has ended.
 * @param {HTMLElement} summary
 * @param {import("@anywidget/types").AnyModel<any>} model
 */
function drawSummary(summary, model) {
  const [text, running] = [model.get("summary") ?? "", isRunning(model)];
  const ended = summary.getAttribute("aria-live") === "off" && !running;
  setAttributes(summary, { "aria-live": running ? "off" : "polite" });
  if (ended) requestAnimationFrame(() => { summary.replaceChildren(text); });
  else if (summary.textContent !== text) summary.textContent = text;
}

/**
 * Show the results, or in their place what to do to get some; while those are computed, that something is coming.
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {HTMLElement} results
 * @param {HTMLElement} empty
 * @param {boolean} nothing  whether there are no results
 * @param {string} invitation
 */
export function showResults(model, results, empty, nothing, invitation) {
  const running = isRunning(model);
  results.hidden = nothing;
  empty.hidden = !nothing;
  empty.textContent = running ? "" : invitation;
  empty.toggleAttribute("data-loading", running);
}

/** That no model answers here, and since when. @param {import("@anywidget/types").AnyModel<any>} model */
const recordedOn = (model) => (model.get("recorded") ? `recorded ${model.get("recorded").slice(0, 10)}` : "");

/** @param {import("@anywidget/types").AnyModel<any>} model */
const isRunning = (model) => model.get("status")?.state === "running";

/** JupyterLab's command mode would take single keys (and Shift+Enter) for itself. @param {KeyboardEvent} event */
function keepFromNotebook(event) {
  const accelerated = event.ctrlKey || event.metaKey || event.altKey;
  const editing = hit(event, "input, textarea");
  if (!accelerated || event.key === "Enter" || (editing && event.key.toLowerCase() !== "s")) event.stopPropagation();
}

/**
 * The prompt editors. What is typed is a draft until it is run: it survives a failed run, and Escape drops it.
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {AbortSignal} signal
 * @param {Field[]} fields
 */
function createPrompts(model, signal, fields) {
  const inputs = fields.map(({ short, hint }) => (short
    ? h("input", { type: "text", size: 10, dir: "auto", spellcheck: "false", autocomplete: "off", title: hint })
    : h("textarea", { rows: 1, dir: "auto", spellcheck: "false", autocomplete: "off" })));
  const grown = inputs.map((input) => h("span", { class: "iw-grow" }, input));
  const stored = fields.map(() => "");
  const run = button("Run", signal, send, { class: "iw-button iw-run", title: "Run (Ctrl+Enter or Cmd+Enter)" });
  const element = h("div", { class: "iw-prompts" },
    ...fields.map(({ trait, label, short }, i) => h("label", { class: short ? "iw-field iw-short" : "iw-field", "data-trait": trait }, h("span", { class: "iw-label" }, label), grown[i])),
    run);

  function send() {
    model.send({ type: "run", ...Object.fromEntries(fields.map(({ trait }, i) => [trait, inputs[i].value])) });
  }
  /** The textarea grows with the mirror of its text, which the stylesheet draws behind it. */
  function settle() {
    inputs.forEach((input, i) => { grown[i].dataset.value = `${input.value}\n`; });
    run.toggleAttribute("data-draft", inputs.some((input, i) => input.value !== stored[i]));
  }
  function draw() {
    const live = model.get("live");
    fields.forEach(({ trait }, i) => {
      const text = model.get(trait) ?? "";
      const untouched = inputs[i].value === stored[i];
      stored[i] = text;
      if (untouched) inputs[i].value = text;
      setAttributes(inputs[i], { readonly: !live });
    });
    needsKernel(run, live);
    settle();
  }
  element.addEventListener("input", settle, { signal });
  element.addEventListener("keydown", (event) => {
    const at = inputs.findIndex((input) => input === event.target);
    if (at < 0 || event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || fields[at].short)) {
      event.preventDefault();
      if (model.get("live")) send();
    } else if (event.key === "Escape") {
      inputs[at].value = stored[at];
      settle();
    }
  }, { signal });
  return { element, draw };
}

/** @param {import("@anywidget/types").AnyModel<any>} model @param {AbortSignal} signal */
function createStatus(model, signal) {
  const message = h("span", { class: "iw-message", role: "status", "aria-live": "polite" });
  const bar = h("progress", { "aria-label": "Progress" });
  const count = h("span", { class: "iw-count" }); // outside the live region: it changes too often to be read out
  const cancel = button("Cancel", signal, () => model.send({ type: "cancel" }), { class: "iw-button iw-cancel" });
  const element = h("div", { class: "iw-status" }, message, bar, count, cancel);

  function draw() {
    const { state = "idle", message: text = "", done = 0, total = 0, seconds = 0, remote = null } = model.get("status") ?? {};
    const running = state === "running";
    const sending = running && remote?.stage === "sending" && remote.up < remote.size;
    const away = running && remote && remote.stage !== "completed" ? remote.words : "";
    const words = [text, away].filter(Boolean).join(", ") || { idle: "", running: "Running", done: "Done", cancelled: "Cancelled", error: "Failed" }[/** @type {string} */ (state)] || "";
    if (message.textContent !== words) message.textContent = message.title = words;
    setAttributes(element, { "data-state": state });
    const [part, whole] = sending ? [remote.up, remote.size] : [done, total];
    setAttributes(bar, { max: whole || 1, value: whole ? part : null });
    count.textContent = [running && total ? `${done}/${total}` : "", seconds ? `${seconds.toFixed(1)} s` : ""].filter(Boolean).join(" · ");
    bar.hidden = !running;
    cancel.hidden = !running;
    needsKernel(cancel, model.get("live"));
  }
  return { element, draw };
}

/** @param {import("@anywidget/types").AnyModel<any>} model @param {AbortSignal} signal */
function createError(model, signal) {
  const text = h("span");
  // Dismissing is local: the kernel's error stays what it is, and the next one shows again.
  const close = button("×", signal, () => { element.hidden = true; }, { class: "iw-close", "aria-label": "Dismiss" });
  const element = h("div", { class: "iw-error", role: "alert" }, text, close);
  function draw() {
    text.textContent = model.get("error");
    element.hidden = !model.get("error");
  }
  return { element, draw };
}
