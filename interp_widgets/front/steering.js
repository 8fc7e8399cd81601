/** Steering: a prompt and what is done to it, a dose-response curve, and the texts of the strength that is pressed. */

import { button, createChecks, createChoice, needsKernel, NEEDS_KERNEL } from "./controls.js";
import { follow, h, save, setAttributes } from "./dom.js";
import { createPanel, showResults } from "./head.js";
import { number } from "./numbers.js";
import { createCurve } from "./steering_curve.js";
import { readSteering, STEERING_METRICS, STEERING_MODES, STEERING_PLACES } from "./steering_data.js";
import { createSteeringTexts } from "./steering_texts.js";
import { createStrip } from "./tokens.js";

const DATA = ["strengths", "norm_ratio", "strength", "metric", "given", "random", "baseline", "levels", "measured"];

/** @param {import("@anywidget/types").RenderProps<import("./steering_data.js").SteeringState>} props */
function render({ model, el, signal }) {
  const body = createPanel({ model, el, signal, name: "Steering", fields: [
    { trait: "text", label: "Prompt" },
    { trait: "site", label: "Site", short: true, hint: "One site as in resid_post.15, several joined by +, or a range of layers as in resid_post.12-17" },
    { trait: "answer", label: "Answer", short: true }, { trait: "foil", label: "Foil", short: true }] });
  let data = readSteering(model);

  const made = h("p", { class: "iw-quiet" });
  const settings = createSettings();
  const empty = h("p", { class: "iw-empty" });
  const where = h("p", { class: "iw-hint" });
  const strip = createStrip({ label: "Steered tokens of the prompt", signal, onSelect: (positions) => save(model, { positions: positions.sort((a, b) => a - b) }) });
  const metric = createChoice({ legend: "Metric", options: STEERING_METRICS, signal, onChoose: (value) => save(model, { metric: value }) });
  const curve = createCurve({ signal, onSelect: (index) => save(model, { strength: data.strengths[index] }) });
  const dose = createDose();
  const checks = createChecks();
  const texts = createSteeringTexts(signal);
  const results = h("div", { class: "iw-results" }, h("div", { class: "iw-prompt-tokens" }, strip.element, where),
    h("div", { class: "iw-columns" },
      h("div", { class: "iw-main" }, h("div", { class: "iw-tools" }, metric.element), curve.element, checks.element),
      h("div", { class: "iw-side" }, dose.element, texts.element)));
  body.append(made, settings.element, empty, results);

  /** What the next run does, and that it was not run yet. */
  function createSettings() {
    const mode = createChoice({ legend: "Mode", options: STEERING_MODES, signal, onChoose: (value) => save(model, { mode: value }) });
    const place = createChoice({ legend: "Steer", options: STEERING_PLACES, signal, onChoose: (value) => save(model, { where: value }) });
    const atom = h("input", { type: "number", min: 0, step: 1, "aria-label": "Atom that steers" });
    const field = h("label", { class: "iw-field iw-short" }, h("span", { class: "iw-label" }, "Atom #"), atom);
    const stale = h("span", { class: "iw-why", role: "status" });
    const run = button("Run with these", signal, () => model.send({ type: "run" }), { class: "iw-button iw-small iw-run", "data-draft": true });
    atom.addEventListener("change", () => {
      if (Number.isInteger(atom.valueAsNumber) && atom.valueAsNumber >= 0) save(model, { atom: atom.valueAsNumber });
      else atom.value = String(model.get("atom"));
    }, { signal });
    atom.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !model.get("live")) return;
      atom.dispatchEvent(new Event("change"));
      model.send({ type: "run" });
    }, { signal });

    function draw() {
      const [live, atoms] = [model.get("live"), model.get("atoms")];
      mode.draw(model.get("mode"));
      place.draw(model.get("where"));
      for (const each of [mode.element, place.element]) setAttributes(each, { disabled: !live, title: live ? null : NEEDS_KERNEL });
      for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (mode.element.querySelectorAll("input"))) {
        const impossible = input.value === "ablate" && !atoms;
        setAttributes(input, { disabled: impossible });
        setAttributes(/** @type {HTMLElement} */ (input.parentElement), { title: impossible ? "Only an atom of a dictionary can be ablated" : null });
      }
      field.hidden = !atoms;
      setAttributes(atom, { readonly: !live, max: atoms - 1, title: `0 to ${atoms - 1}` });
      if (document.activeElement !== atom || !live) atom.value = String(model.get("atom"));
      stale.textContent = model.get("stale") ? "Changed since this was run." : "";
      run.hidden = !model.get("stale");
      needsKernel(run, live);
    }
    return { element: h("div", { class: "iw-tools iw-steering-settings" }, mode.element, place.element, field, stale, run), draw };
  }

  /** The strength as a slider over those that were run, and as any number. */
  function createDose() {
    const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Strength" });
    const typed = h("input", { type: "number", step: "any", "aria-label": "Strength as a number" });
    const ratio = h("span", { class: "iw-quiet" });
    const why = h("span", { class: "iw-why", role: "status" });
    slider.addEventListener("input", () => save(model, { strength: data.strengths[slider.valueAsNumber] }), { signal });
    typed.addEventListener("change", () => {
      const wanted = typed.valueAsNumber;
      why.textContent = "";
      if (data.strengths.includes(wanted)) save(model, { strength: wanted });
      else if (!Number.isFinite(wanted)) typed.value = String(model.get("strength"));
      else if (model.get("live")) model.send({ type: "strength", value: wanted });
      else why.textContent = `${number(wanted)} is not stored here. ${NEEDS_KERNEL}.`;
    }, { signal });
    function draw() {
      setAttributes(slider, { max: Math.max(0, data.strengths.length - 1), "aria-valuetext": `${number(model.get("strength"))}` });
      slider.value = String(Math.max(0, data.at));
      typed.value = String(Number(model.get("strength").toPrecision(6)));
      ratio.textContent = data.at < 0 ? "" : `norm ratio ${number(data.ratios[data.at], 2)} · ${data.name} ${data.format(data.given[data.at])}`;
    }
    return { element: h("div", { class: "iw-tools iw-dose" }, h("label", { class: "iw-field" }, h("span", { class: "iw-label" }, "Strength"), slider), typed, ratio, why), draw };
  }

  function drawMade() {
    const { name, made: how, norm } = model.get("direction");
    made.textContent = name ? `${name}: ${how} · length ${number(norm)}` : "";
  }

  function drawEmpty() {
    showResults(model, results, empty, !model.get("strengths").length, "Type a prompt above and run it: what the model says appears here, strength by strength, beside what it says unsteered.");
  }

  function drawStrip() {
    strip.draw({ tokens: model.get("tokens"), ids: model.get("token_ids"), masked: model.get("masked") });
    strip.select(model.get("positions"));
    const chosen = model.get("positions").length;
    where.textContent = model.get("where") === "new" ? "No token of the prompt is steered, only new ones."
      : chosen ? `${chosen} of ${model.get("tokens").length} tokens steered. To steer all, press one of them until none is selected.`
      : "All tokens but hatched ones are steered. Press one, or Shift and another, to steer only these.";
  }

  function drawTexts() {
    texts.draw(model.get("said"), data, model.get("seeds"), model.get("status")?.state === "running");
    dose.draw();
  }

  follow(model, signal, [
    [() => { data = readSteering(model); }, DATA],
    [drawMade, ["direction"]],
    [settings.draw, ["mode", "where", "atom", "atoms", "stale", "live"]],
    [drawEmpty, ["strengths", "status"]],
    [drawStrip, ["tokens", "token_ids", "masked", "positions", "where"]],
    [() => { metric.draw(model.get("metric")); curve.draw(data, model.get("seeds").length); }, [...DATA, "seeds"]],
    [drawTexts, [...DATA, "said", "seeds", "status", "live"]],
    [() => checks.draw(model.get("checks")), ["checks"]],
  ]);
}

export default { render };
