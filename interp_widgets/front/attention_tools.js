/** Attention's small tools: which queries and keys are shown, and the measurement of each head's effect. */

import { button, needsKernel } from "./controls.js";
import { h, save, setAttributes } from "./dom.js";

/**
 * From–to fields of the queries and of the keys.
 * @param {import("./attention_data.js").AttentionModel} model
 * @param {AbortSignal} signal
 * @param {() => import("./attention_data.js").AttentionData} data
 */
export function createRanges(model, signal, data) {
  /** @param {string} name @param {"query_range" | "key_range"} trait */
  function pair(name, trait) {
    const [from, to] = ["from", "to"].map((end) => h("input", { type: "number", min: 0, "aria-label": `${name} ${end} position` }));
    const element = h("span", { class: "iw-range" }, h("span", { class: "iw-label" }, name), from, h("span", { class: "iw-quiet" }, "to"), to);
    element.addEventListener("change", () => {
      const count = data().tokens.length;
      const [first, last] = [from, to].map((input) => Math.max(0, Math.min(count - 1, Math.round(Number(input.value)) || 0)));
      const range = [Math.min(first, last), Math.max(first, last) + 1];
      const value = range[1] - range[0] === count ? [] : range;
      save(model, trait === "query_range" ? { query_range: value } : { key_range: value });
      draw();
    }, { signal });
    const draw = () => {
      const [start, stop] = trait === "query_range" ? data().queries : data().keys;
      [from, to].forEach((input, i) => {
        setAttributes(input, { max: data().tokens.length - 1 });
        input.value = String([start, stop - 1][i]);
      });
    };
    return { element, draw };
  }
  const [queries, keys] = [pair("Queries", "query_range"), pair("Keys", "key_range")];
  const all = button("All", signal, () => save(model, { query_range: [], key_range: [] }), { class: "iw-button iw-small" });
  const element = h("div", { class: "iw-tools iw-ranges", role: "group", "aria-label": "Positions shown" }, queries.element, keys.element, all);
  const draw = () => {
    queries.draw();
    keys.draw();
    all.disabled = !model.get("query_range").length && !model.get("key_range").length;
  };
  return { element, draw };
}

/**
 * Answer, foil and a button that measures what becomes of the answer without each head.
 * @param {import("./attention_data.js").AttentionModel} model
 * @param {AbortSignal} signal
 */
export function createEffect(model, signal) {
  const [answer, foil] = ["Answer", "Foil"].map((name) => h("input", { type: "text", size: 8, spellcheck: "false", autocomplete: "off", "aria-label": name }));
  const measure = button("Measure effect", signal, send, { class: "iw-button iw-small", title: "One ablated run for each head: the answer is compared with and without it" });
  const said = h("p", { class: "iw-hint iw-quiet" });
  const element = h("div", { class: "iw-effect" }, h("div", { class: "iw-tools" },
    h("label", { class: "iw-field iw-short" }, h("span", { class: "iw-label" }, "Answer"), answer),
    h("label", { class: "iw-field iw-short" }, h("span", { class: "iw-label" }, "Foil"), foil), measure), said);
  const stored = ["", ""];

  function send() {
    model.send({ type: "effect", answer: answer.value, foil: foil.value });
    save(model, { sort: "effect" });
  }
  function draw() {
    const live = model.get("live");
    [answer, foil].forEach((input, i) => {
      const text = i ? model.get("foil") : model.get("answer");
      if (input.value === stored[i]) input.value = text;
      stored[i] = text;
      setAttributes(input, { readonly: !live, placeholder: ["predicted", "none"][i] });
    });
    needsKernel(measure, live, model.get("tokens").length > 0);
    const of = model.get("effect_of");
    said.textContent = of ? `Effect: what ${of} gains when the output of the head is set to zero. Negative: the head helps the answer.` : "No effect measured. Empty answer: what the model predicts.";
  }
  element.addEventListener("keydown", (event) => {
    const at = [answer, foil].findIndex((input) => input === event.target);
    if (at < 0 || event.isComposing) return;
    if (event.key === "Enter" && model.get("live")) send();
    if (event.key === "Escape") [answer, foil][at].value = stored[at];
  }, { signal });
  return { element, draw };
}
