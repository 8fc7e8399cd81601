/** What the model predicts with some nodes switched off or scaled, beside what it predicts as it is. */

import { button, needsKernel, NEEDS_KERNEL } from "./controls.js";
import { h, hit, save, setAttributes } from "./dom.js";
import { change, known, level, number, percent, quoted, visible } from "./numbers.js";

const NO_MODEL = "This graph came without its model: nothing can be switched.";
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
  const failed = h("p", { class: "iw-why", role: "alert" });
  const metric = h("p");
  const table = h("table", { class: "iw-changes iw-predicted" });
  const element = h("section", { class: "iw-part", "aria-label": "Prediction" }, h("h3", {}, "Prediction"), hint, chips, clear, failed, metric, table);

  function draw() {
    const [switches, prediction, live] = [model.get("switches"), model.get("prediction"), model.get("live")];
    const names = Object.keys(switches);
    const { metric: found, top = [], about = "", pending = false } = prediction;
    const current = sameSwitches(prediction.of ?? {}, switches);
    const waits = model.get("has_model") && live && !prediction.failed && (pending || (names.length > 0 && !current));
    const changed = names.length > 0 && !!found;
    hint.textContent = !model.get("has_model") ? NO_MODEL : names.length ? about : live ? INVITATION : `${NEEDS_KERNEL} to switch nodes.`;
    hint.hidden = !hint.textContent;
    chips.replaceChildren(...names.map((name) => h("li", {}, h("button", { type: "button", class: "iw-chip", "data-name": name, disabled: !live, title: live ? "Put it back as it is" : NEEDS_KERNEL },
      `${nameOf(name)} `, h("span", { class: "iw-number" }, switches[name] === 0 ? "off" : `at ${number(switches[name])}`), live ? " ×" : ""))));
    chips.hidden = clear.hidden = !names.length;
    needsKernel(clear, live);
    failed.textContent = prediction.failed ?? "";
    failed.hidden = !failed.textContent;
    setAttributes(element, { "aria-busy": String(waits), "data-waits": waits });
    metric.hidden = !found;
    table.hidden = !top.length;
    if (!found) return;
    const interval = known(found.low) && known(found.high) ? ` [${number(found.low, 2)}, ${number(found.high, 2)}]` : "";
    const estimate = known(found.estimate) ? `; the effects alone say ${change(found.estimate)}` : "";
    metric.replaceChildren(`${found.name} `, h("strong", {}, level(found.before)), ...(changed ? [" → ", h("strong", {}, waits ? "…" : level(found.after)), ...(waits ? [] : [` (${change(found.change)}${interval}${estimate})`])] : []));
    table.replaceChildren(h("caption", {}, "Likeliest next tokens"),
      h("thead", {}, h("tr", {}, ...["token", ...(changed ? ["before", "after"] : ["probability"])].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...top.map(({ token, token_id: id, before, after }) => h("tr", {}, h("th", { scope: "row", title: `${quoted(token)}, id ${id}`, tabindex: 0 }, visible(token)),
        h("td", { class: "iw-number" }, percent(before)), ...(changed ? [h("td", { class: "iw-number", "data-less": after < before, "data-more": after > before }, waits ? "…" : percent(after))] : [])))));
  }

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

/** @param {Record<string, number>} a @param {Record<string, number>} b */
const sameSwitches = (a, b) => Object.keys({ ...a, ...b }).every((name) => a[name] === b[name]);
