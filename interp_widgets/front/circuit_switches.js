/** What the model predicts with some nodes switched off or scaled, beside what it predicts as it is, and the metric over all prompts. */

import { button, needsKernel, NEEDS_KERNEL } from "./controls.js";
import { h, hit, save, setAttributes } from "./dom.js";
import { count, known, level, number, percent, quoted, visible } from "./numbers.js";

const NO_MODEL = "No model here has these nodes: nothing can be switched.";
/** The prompt that is chosen at first. */
const FIRST = "clean 0";
const INVITATION = "Switch a node off or scale it: the prediction before and after is shown here.";

/**
 * @param {import("./circuit_data.js").CircuitModel} model
 * @param {AbortSignal} signal
 * @param {() => import("./circuit_data.js").CircuitData} data
 */
export function createPrediction(model, signal, data) {
  const hint = h("p", { class: "iw-hint" });
  const chips = h("ul", { class: "iw-chips", "aria-label": "Switched nodes" });
  const clear = button("All as they are", signal, () => save(model, { switches: {} }), { class: "iw-button iw-small" });
  const [all, measure] = [h("dt"), button("Measure", signal, () => model.send({ type: model.get("mean_change").pending ? "stop" : "measure" }), { class: "iw-button iw-small" })];
  const [mean, here, own, measured] = [h("dd"), h("dt"), h("dd"), h("p", { class: "iw-quiet" })];
  const metric = h("div", { class: "iw-metric" }, measured, h("dl", { class: "iw-values" }, all, mean, here, own), measure);
  const select = h("select", { class: "iw-select" });
  const choice = h("label", { class: "iw-field" }, h("span", { class: "iw-label" }, "Prompt"), select);
  const failed = [0, 1].map(() => h("p", { class: "iw-why", role: "alert" }));
  const table = h("table", { class: "iw-changes iw-predicted" });
  const element = h("section", { class: "iw-part", "aria-label": "Prediction" }, h("h3", {}, "Prediction"), hint, chips, clear, choice, ...failed, metric, table);
  let offered = "";

  function draw() {
    const [switches, prediction, prompt, live] = [model.get("switches"), model.get("prediction"), model.get("prompt"), model.get("live")];
    const names = Object.keys(switches);
    const { metric: found, top = [], pending = false } = prediction;
    const other = (prediction.prompt ?? FIRST) !== prompt;
    const current = sameSwitches(prediction.of ?? {}, switches) && !other;
    const waits = model.get("has_model") && live && !prediction.failed && (pending || !current) && (names.length > 0 || !!found);
    const changed = names.length > 0 && !!found;
    hint.textContent = !model.get("has_model") ? NO_MODEL : names.length ? "" : live ? INVITATION : `${NEEDS_KERNEL} to switch nodes.`;
    hint.hidden = !hint.textContent;
    chips.replaceChildren(...names.map((name) => h("li", {}, h("button", { type: "button", class: "iw-chip", "data-name": name, disabled: !live, title: live ? "Put it back as it is" : NEEDS_KERNEL },
      `${nameOf(name)} `, h("span", { class: "iw-number" }, switches[name] === 0 ? "off" : `at ${number(switches[name])}`), live ? " ×" : ""))));
    chips.hidden = clear.hidden = !names.length;
    needsKernel(clear, live);
    setAttributes(element, { "aria-busy": String(waits || !!model.get("mean_change").pending), "data-waits": waits });
    drawChoice(prompt, live);
    tell(failed[0], prediction.failed);
    measured.textContent = model.get("metric");
    metric.hidden = !drawMean(names.length > 0, live) && !found;
    here.hidden = own.hidden = !found;
    table.hidden = !top.length;
    if (!found) return;
    here.textContent = prompt;
    own.replaceChildren(...beforeAfter(found, changed, other, waits));
    table.replaceChildren(h("caption", {}, "Likeliest next tokens"),
      h("thead", {}, h("tr", {}, ...["token", ...(changed ? ["before", "after"] : ["probability"])].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...top.map(({ token, token_id: id, before, after }) => h("tr", {}, h("th", { scope: "row", title: `${quoted(token)}, id ${id}`, tabindex: 0 }, visible(token)),
        h("td", { class: "iw-number" }, other ? "…" : percent(before)), ...(changed ? [h("td", { class: "iw-number", "data-less": after < before, "data-more": after > before }, waits ? "…" : percent(after))] : [])))));
  }

  /** The metric over all clean prompts, where there are several; whether it is shown. @param {boolean} switched @param {boolean} live */
  function drawMean(switched, live) {
    const found = model.get("mean_change");
    const { prompts = 0, total = 0, pending = false } = found;
    const there = switched && total > 0;
    all.hidden = mean.hidden = measure.hidden = !there;
    tell(failed[1], there && found.failed !== model.get("prediction").failed ? found.failed : "");
    if (!there) return false;
    const current = sameSwitches(found.of ?? {}, model.get("switches"));
    all.textContent = `mean of ${prompts === total || !prompts ? "" : `${count(prompts)} of `}${count(total)} clean prompts`;
    mean.replaceChildren(...(prompts && current ? beforeAfter(found, true, false, false) : [pending || !current ? "…" : "not measured"]));
    measure.textContent = pending ? "Stop" : "Measure";
    measure.hidden = !pending && prompts === total;
    needsKernel(measure, live);
    return true;
  }

  /** The prompts to choose from; the list is left alone while it stays the same, so that it does not close. @param {string} prompt @param {boolean} live */
  function drawChoice(prompt, live) {
    const texts = Object.entries(model.get("prompt_texts"));
    const offer = JSON.stringify(texts);
    if (offered !== offer) select.replaceChildren(...texts.map(([value, text]) => h("option", { value }, `${value}: ${text}`)));
    offered = offer;
    select.value = prompt;
    choice.hidden = texts.length < 2;
    needsKernel(select, live);
    if (live) select.title = model.get("prompt_texts")[prompt] ?? "";
  }

  select.addEventListener("change", () => save(model, { prompt: select.value }), { signal });

  /** @param {string} name */
  const nameOf = (name) => {
    const i = data().index.get(name);
    return i === undefined ? name : data().brief(i);
  };

  chips.addEventListener("click", (event) => {
    const chip = hit(event, "[data-name]");
    if (chip) save(model, { switches: Object.fromEntries(Object.entries(model.get("switches")).filter(([name]) => name !== chip.dataset.name)) });
  }, { signal });

  return { element, draw };
}

/** @param {HTMLElement} place @param {string} [why] */
function tell(place, why = "") {
  place.textContent = why;
  place.hidden = !why;
}

/**
 * A number before and after, and what it changed by.
 * @param {{ before?: number, after?: number, change?: number, low?: number | null, high?: number | null }} found
 * @param {boolean} changed  whether there is an after @param {boolean} other  whether it is of something else @param {boolean} waits  whether the after is
 */
function beforeAfter({ before = NaN, after = NaN, change: by = NaN, low, high }, changed, other, waits) {
  const interval = known(low) && known(high) ? ` [${number(low)}, ${number(high)}]` : "";
  return [h("strong", {}, other ? "…" : level(before)), ...(changed ? [" → ", h("strong", {}, waits ? "…" : level(after)), ...(waits ? [] : [` (${by > 0 ? "+" : ""}${number(by)}${interval})`])] : [])];
}

/** @param {Record<string, number>} a @param {Record<string, number>} b */
const sameSwitches = (a, b) => Object.keys({ ...a, ...b }).every((name) => a[name] === b[name]);
