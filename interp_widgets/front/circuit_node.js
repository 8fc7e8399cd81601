/** What there is to say of one thing of the graph, and what can be done with those that are selected. */

import { edgesOf, KIND } from "./circuit_data.js";
import { button, needsKernel } from "./controls.js";
import { h, hit, save, setAttributes } from "./dom.js";
import { change, count, known, number } from "./numbers.js";

const LISTED = 8;
const KIND_NAMES = ["atom", "error", "embedding", "logit", "other node", "group"];
const ERROR = "What the dictionary misses at this site: the activation less its reconstruction, as one node.";

/** @typedef {() => { data: import("./circuit_data.js").CircuitData, shown: import("./circuit_data.js").Shown, chosen: number[] }} Now */

/**
 * @param {import("./circuit_data.js").CircuitModel} model
 * @param {AbortSignal} signal
 * @param {Now} now
 * @param {(thing: number, more: boolean) => void} select
 */
export function createNodeView(model, signal, now, select) {
  const [heading, kind] = [h("h3"), h("p", { class: "iw-quiet" })];
  const values = h("dl", { class: "iw-values" });
  const [from, to] = [h("div", { class: "iw-part iw-ends" }), h("div", { class: "iw-part iw-ends" })];
  const about = h("div", { class: "iw-part iw-node" }, heading, kind, values, h("div", { class: "iw-both-ends" }, from, to));
  const hint = h("p", { class: "iw-invite" }, "Press a node: its edges, its card and what can be done with it appear here. Shift and press for several.");
  const tools = createNodeTools(model, signal, now);
  const element = h("section", { class: "iw-part", "aria-label": "Node" }, hint, tools.element, about);

  /** @param {number} pointed  -1: what was selected last */
  function draw(pointed) {
    const { data, shown, chosen } = now();
    const thing = pointed >= 0 ? pointed : chosen.at(-1) ?? -1;
    tools.draw();
    hint.hidden = thing >= 0;
    about.hidden = thing < 0;
    if (thing < 0) return;
    heading.textContent = data.full(thing);
    kind.textContent = data.kind[thing] === KIND.error ? ERROR : data.kind[thing] === KIND.group ? membersOf(thing) : KIND_NAMES[data.kind[thing]];
    const [low, high] = data.interval(thing);
    const [clean, corrupt] = data.activations(thing);
    values.replaceChildren(...[
      ...(known(data.effect[thing]) ? [[model.get("measure"), `${change(data.effect[thing])}${known(low) && known(high) ? ` [${number(low, 2)}, ${number(high, 2)}]` : ""}`]] : []),
      ...(known(clean) ? [[known(corrupt) ? "activation, clean → corrupt" : "activation", `${number(clean)}${known(corrupt) ? ` → ${number(corrupt)}` : ""}`]] : []),
    ].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    const ends = edgesOf(shown.edges, thing);
    drawEnds(from, "From", ends.from, (edge) => edge.source);
    drawEnds(to, "To", ends.to, (edge) => edge.target);
  }

  /** @param {number} thing */
  function membersOf(thing) {
    const { data } = now();
    const names = data.namesOf(thing).map((name) => data.full(data.index.get(name) ?? thing));
    return `${names.slice(0, 12).join("; ")}${names.length > 12 ? ` and ${names.length - 12} more` : ""}`;
  }

  /** @param {HTMLElement} place @param {string} title @param {import("./circuit_data.js").Edge[]} ends @param {(edge: import("./circuit_data.js").Edge) => number} other */
  function drawEnds(place, title, ends, other) {
    const { data } = now();
    place.replaceChildren(h("h4", {}, `${title} (${count(ends.length)} ${ends.length === 1 ? "edge" : "edges"} shown)`), h("ol", {}, ...ends.slice(0, LISTED).map((edge) => {
      const [thing, { weight, low, high }] = [other(edge), edge];
      const sure = known(low) && known(high) ? ` [${number(low, 2)}, ${number(high, 2)}]` : "";
      const bar = h("span", { "data-negative": weight < 0 });
      bar.style.width = `${(100 * Math.abs(weight)) / (data.heaviest || 1)}%`;
      return h("li", {}, h("button", { type: "button", class: "iw-entry", "data-thing": thing, title: `${data.full(thing)}: weight ${change(weight)}${sure}` },
        h("span", { class: "iw-entry-token" }, data.short(thing), h("small", { class: "iw-quiet" }, ` ${data.where(thing)}`)), h("span", { class: "iw-share" }, bar), h("span", { class: "iw-number" }, change(weight))));
    })));
  }

  about.addEventListener("click", (event) => {
    const end = hit(event, "[data-thing]");
    if (end) select(Number(end.dataset.thing), false);
  }, { signal });

  return { element, draw };
}

/**
 * Name, pin, hide, switch and group what is selected.
 * @param {import("./circuit_data.js").CircuitModel} model
 * @param {AbortSignal} signal
 * @param {Now} now
 */
function createNodeTools(model, signal, now) {
  const label = h("input", { type: "text", size: 14, spellcheck: "false", autocomplete: "off" });
  const labelName = h("span", { class: "iw-label" });
  const group = button("Group", signal, makeGroup, { class: "iw-button iw-small", title: "Draw them as one" });
  const ungroup = button("Ungroup", signal, () => model.send({ type: "ungroup", name: groupName() ?? "" }), { class: "iw-button iw-small" });
  const pin = button("Pin", signal, () => toggle("pinned"), { class: "iw-button iw-small", title: "Show it whatever the threshold, with its name" });
  const hide = button("Hide", signal, () => toggle("hidden"), { class: "iw-button iw-small" });
  const off = button("Switch off", signal, () => scale(isOff() ? 1 : 0), { class: "iw-button iw-small" });
  const slider = h("input", { type: "range", min: -2, max: 2, step: 0.1, "aria-label": "Scale" });
  const typed = h("input", { type: "number", min: -2, max: 2, step: 0.1, "aria-label": "Scale as a number" });
  const switches = h("div", { class: "iw-tools iw-switch" }, off, h("span", { class: "iw-label" }, "scale"), slider, typed);
  const element = h("div", { class: "iw-part iw-node-tools" },
    h("div", { class: "iw-tools" }, h("label", { class: "iw-field" }, labelName, label), group, ungroup, pin, hide), switches);

  const names = () => model.get("selected").filter((name) => now().data.index.has(name));
  const plain = () => names().filter((name) => ![KIND.logit, KIND.embedding].includes(now().data.kind[now().data.index.get(name) ?? 0]));
  /** The group that is selected, and nothing else. */
  const groupName = () => {
    const { data, chosen } = now();
    return chosen.length === 1 && data.isGroup(chosen[0]) ? data.groups[chosen[0] - data.count].name : null;
  };
  const scales = () => plain().map((name) => model.get("switches")[name] ?? 1);
  const isOff = () => scales().every((value) => value === 0);

  function makeGroup() {
    model.send({ type: "group", name: label.value.trim() || "group", nodes: plain() });
  }
  /** @param {"pinned" | "hidden"} trait */
  function toggle(trait) {
    const [before, chosen] = [model.get(trait), names()];
    const all = chosen.every((name) => before.includes(name));
    save(model, { [trait]: all ? before.filter((name) => !chosen.includes(name)) : [...new Set([...before, ...chosen])] });
  }
  /** @param {number} value */
  function scale(value) {
    if (!Number.isFinite(value)) return draw();
    const next = Object.fromEntries([...Object.entries(model.get("switches")), ...plain().map((name) => [name, value])].filter(([, each]) => each !== 1));
    save(model, { switches: next });
  }

  function draw() {
    const { chosen } = now();
    const [grouped, several, live] = [groupName(), chosen.length > 1, model.get("live")];
    element.hidden = !names().length;
    if (element.hidden) return;
    labelName.textContent = grouped !== null || several ? "Group" : "Label";
    setAttributes(label, { readonly: (several || grouped !== null) && !live, placeholder: several ? "name of the group" : null });
    if (document.activeElement !== label) label.value = grouped ?? (several ? "" : model.get("labels")[names()[0]] ?? "");
    group.hidden = !several;
    ungroup.hidden = grouped === null;
    needsKernel(group, live, plain().length > 1);
    needsKernel(ungroup, live);
    for (const [control, trait] of /** @type {[HTMLElement, "pinned" | "hidden"][]} */ ([[pin, "pinned"], [hide, "hidden"]])) {
      setAttributes(control, { "aria-pressed": String(names().every((name) => model.get(trait).includes(name))) });
    }
    switches.hidden = !plain().length || !model.get("has_model");
    setAttributes(off, { "aria-pressed": String(isOff()) });
    const value = scales()[0] ?? 1;
    for (const control of [slider, typed]) if (document.activeElement !== control || control === slider) control.value = String(value);
    for (const control of [off, slider, typed]) needsKernel(control, live);
  }

  label.addEventListener("change", () => {
    const [grouped, text] = [groupName(), label.value.trim()];
    if (grouped !== null) { if (text && text !== grouped) model.send({ type: "group", name: text, nodes: plain() }); }
    else if (now().chosen.length === 1) save(model, { labels: Object.fromEntries(Object.entries({ ...model.get("labels"), [names()[0]]: text }).filter(([, each]) => each)) });
  }, { signal });
  label.addEventListener("keydown", (event) => { if (event.key === "Enter" && !group.hidden && !group.disabled) makeGroup(); }, { signal });
  slider.addEventListener("input", () => { typed.value = slider.value; }, { signal });
  for (const control of [slider, typed]) control.addEventListener("change", () => scale(control.valueAsNumber), { signal });
  return { element, draw };
}
