/** The explorer: one text, one strip with one selection, and under it one or two panels. */

import { createSelect, createTabs } from "./controls.js";
import { follow, h, save, setAttributes, uniqueId } from "./dom.js";
import { agrees, createPlace, isCurrent, isWorking, NAMES, same, toPart, toText } from "./explorer_part.js";
import { createPanel } from "./head.js";
import { createStrip } from "./tokens.js";

/** @typedef {import("./explorer_part.js").Part} Part */

/** What says whether the result of a part is of the text, and which of its positions are which tokens. */
const RESULT = ["token_ids", "clean_ids", "alignment", "direction"];

const NO_HOST = "This notebook cannot draw panels within a panel: its anywidget is older than 0.11, or it is not anywidget's. " +
  "Show the panels one by one: iw.Lens(model, text), iw.Atoms(model, text, sae=sae) and so on.";

/** @param {any} props */
async function render({ model, el, signal, host }) {
  const body = createPanel({ model, el, signal, name: "Explorer", fields: [{ trait: "text", label: "Text" }],
    detail: () => model.get("sae_name"), detailTraits: ["sae_name"] });
  if (!host?.getWidget) {
    body.append(h("p", { class: "iw-error", role: "alert" }, NO_HOST));
    return;
  }
  /** @type {Part[]} */
  const parts = await Promise.all(NAMES.map(async ([name, label]) => {
    const reference = model.get(name);
    return { name, label, reference, panel: reference ? await host.getModel(reference) : null };
  }));
  if (signal.aborted) return;

  const empty = h("p", { class: "iw-empty" }, "Type a text above and run it: its tokens appear here, and each panel reads them when it is opened.");
  const strip = createStrip({ label: "Text tokens", signal, onSelect: press });
  const panelId = uniqueId();
  const tabs = createTabs("Panels", signal, (view) =>
    save(model, view === model.get("beside") ? { view, beside: model.get("view") } : { view }));
  const beside = createSelect({ label: "Beside", options: [["", "nothing"], ...NAMES], signal,
    onChoose: (value) => { save(model, { beside: value === model.get("view") ? "" : value }); beside.draw(model.get("beside")); } });
  const places = parts.map((part) => createPlace(part, model, host, signal));
  const shown = h("div", { class: "iw-explorer-parts", id: panelId }, ...places.map((place) => place.element));
  const bar = h("div", { class: "iw-explorer-bar" }, tabs.element, beside.element);
  body.append(empty, strip.element, bar, shown);

  /** @returns {string[]} */
  const names = () => [model.get("view"), model.get("beside")];
  /** The first part shown that has a result on this text: it answers a press at once, Python tells the others. */
  const answering = () => names().map((name) => parts.find((part) => part.name === name))
    .find((part) => part && isCurrent(part, model.get("token_ids")));

  /** The selection as it stands: a part is ahead of Python while a press travels. @returns {number[]} */
  function selected() {
    const [part, positions] = [answering(), model.get("positions")];
    const theirs = part?.panel?.get("positions");
    return !part || same(toPart(part, positions), theirs) ? positions : toText(part, theirs);
  }

  /** @param {number[]} positions */
  function press(positions) {
    const part = answering();
    if (part?.panel && same(toText(part, toPart(part, positions)), positions)) save(part.panel, { positions: toPart(part, positions) });
    else save(model, { positions });
    bringIntoWindow(positions);
  }

  /** The lens shows a part of a long text: it moves to a token outside, as when its own strip is pressed. @param {number[]} positions */
  function bringIntoWindow(positions) {
    const lens = answering();
    const last = positions.at(-1);
    if (lens?.name !== "lens" || !lens.panel || last === undefined || !model.get("live")) return;
    const [start, stop] = lens.panel.get("window");
    const furthest = model.get("token_ids").length - (stop - start);
    if (last < start || last >= stop) lens.panel.send({ type: "window", start: Math.max(0, Math.min(furthest, last - Math.floor((stop - start) / 2))) });
  }

  function drawStrip() {
    const tokens = model.get("tokens");
    const lens = answering()?.name === "lens" ? answering()?.panel : null;
    empty.hidden = tokens.length > 0;
    strip.element.hidden = !tokens.length;
    strip.draw({ tokens, ids: model.get("token_ids"), masked: model.get("masked"), window: lens ? lens.get("window") : undefined });
  }

  function drawParts() {
    const [view, other] = names();
    tabs.draw(NAMES, view, panelId);
    beside.draw(other);
    [...tabs.element.children].forEach((tab, i) => {
      const state = isWorking(parts[i]) ? "running" : parts[i].panel?.get("error") ? "error" : null;
      setAttributes(tab, { "data-state": state, title: state && { running: "is being computed", error: "did not succeed" }[state] });
    });
    shown.dataset.count = String(names().filter(Boolean).length);
    places.forEach((place, i) => {
      place.draw(names().includes(parts[i].name));
      place.element.style.order = parts[i].name === view ? "0" : "1";
      place.element.toggleAttribute("data-beside", parts[i].name !== view);
    });
  }

  /** Where no kernel answers, the parts are linked here, by the rules of Python. @param {Part | null} source */
  function link(source) {
    if (model.get("live")) return;
    const current = parts.filter((part) => part.panel && isCurrent(part, model.get("token_ids")));
    if (source?.panel && current.includes(source) && !agrees(source, model.get("positions"))) {
      model.set("positions", toText(source, source.panel.get("positions")));
    }
    for (const part of current) {
      if (!agrees(part, model.get("positions"))) part.panel?.set("positions", toPart(part, model.get("positions")));
    }
  }

  follow(model, signal, [
    [drawStrip, ["tokens", "token_ids", "masked", "view", "beside"]],
    [drawParts, ["token_ids", "view", "beside", "live"]],
    [() => { link(null); strip.select(selected()); }, ["tokens", "positions", "view", "beside"]],
  ]);
  for (const part of parts) {
    if (!part.panel) continue;
    follow(part.panel, signal, [
      [drawStrip, [...RESULT, "window"]],
      [drawParts, [...RESULT, "status", "error"]],
      [() => { link(part); strip.select(selected()); }, [...RESULT, "positions"]],
    ]);
  }
}

export default { render };
