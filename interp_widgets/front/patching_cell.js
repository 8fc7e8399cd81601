/** The side of the patching panel: the baselines, and all there is to say of the selected cell. */

import { button, needsKernel } from "./controls.js";
import { h } from "./dom.js";
import { MISSING, percent, quoted, running, signed, visible } from "./numbers.js";
import { walkable } from "./tip.js";
import { METRICS, SITE_NAMES, STATES } from "./patching_data.js";

/** @param {number | null | undefined} value */
export const signedPercent = (value) => (value == null || Number.isNaN(value) ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${percent(Math.abs(value))}`);

/** @param {string} metric @returns {(value: number | null | undefined) => string} */
export const formatOf = (metric) => (metric === "probability" ? signedPercent : signed);

/**
 * @param {import("./patching_data.js").PatchingModel} model
 * @param {AbortSignal} signal
 * @param {{ onMove: () => void, onPutBack: () => void }} actions
 */
export function createCellView(model, signal, { onMove, onPutBack }) {
  const baselines = h("table", { class: "iw-table" });
  const values = h("div", { class: "iw-cell-values" });
  const move = button("Put it elsewhere…", signal, onMove, { class: "iw-button iw-small", title: "Then press the cell that this activation goes into, or drag the one onto the other" });
  const back = button("Put it back", signal, onPutBack, { class: "iw-button iw-small" });
  const actions = h("div", { class: "iw-tools" }, move, back);
  const lists = h("div", { class: "iw-part" });
  const said = h("div", { class: "iw-part" });
  walkable(lists, signal, "Likeliest next tokens");
  walkable(said, signal, "How each run goes on");
  const element = h("div", { class: "iw-parts" }, h("div", { class: "iw-part" }, h("h3", {}, "Without patching"), baselines, values, actions), h("div", { class: "iw-part" }, lists, said));

  function drawBaselines() {
    const { clean, corrupt } = model.get("baselines");
    /** @param {string} name @param {string} a @param {string} b */
    const row = (name, a, b) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, a), h("td", {}, b));
    baselines.replaceChildren(
      h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "clean"), h("th", { scope: "col" }, "corrupt"))),
      h("tbody", {}, row("logit difference", signed(clean?.logit_difference), signed(corrupt?.logit_difference)),
        row("P(answer)", percent(clean?.probability), percent(corrupt?.probability))));
  }

  /** What is known of the run that is meant now; empty while another one's result is there. @param {[number, number] | null} at */
  function now(at) {
    const patch = model.get("patch");
    const [cell, origin, frozen] = [model.get("cell"), model.get("origin"), model.get("frozen")];
    const same = at && patch.place && String(patch.place.cell) === String(cell)
      && String(patch.place.origin) === String(origin.length ? origin : cell) && String(patch.place.frozen) === String(frozen);
    return { patch: same ? patch : {}, special: !!at && (frozen.length > 0 || (origin.length > 0 && String(origin) !== String(cell))) };
  }

  /** @param {import("./patching_data.js").PatchingData} data @param {string} site @param {[number, number] | null} at  grid row and position */
  function draw(data, site, at) {
    const { patch, special } = now(at);
    const { clean, corrupt } = model.get("baselines");
    values.replaceChildren(...(at ? [
      h("h3", {}, `Effect of patching layer ${data.layers[at[0]]}, position ${at[1]}`),
      ...(special ? [h("p", { class: "iw-quiet" }, describePlace(data))] : []),
      h("dl", { class: "iw-values" }, ...METRICS.flatMap(([by, label]) => [h("dt", {}, label), h("dd", {}, effect(by, data, site, at, patch, special))]))] : []));
    const known = !!at && data.partner.has(at[1]);
    actions.hidden = !known;
    needsKernel(move, model.get("live"), known);
    back.hidden = !model.get("origin").length;
    needsKernel(back, model.get("live"));
    const top = special ? patch.top ?? [] : at ? data.predictions(site, ...at) : [];
    lists.replaceChildren(h("h3", {}, "Likeliest next tokens"), h("div", { class: "iw-predictions" },
      ranking("clean", clean?.top ?? []), ...(at ? [ranking("patched", top)] : []), ranking("corrupt", corrupt?.top ?? [])));
    drawSaid(patch, known);
  }

  /** @param {import("./patching_data.js").Metric} by @param {import("./patching_data.js").PatchingData} data @param {string} site @param {[number, number]} at @param {import("./patching_data.js").Patch} patch @param {boolean} special */
  function effect(by, data, site, at, patch, special) {
    if (special) return patch.effect ? formatOf(by)(patch.effect[by]) : model.get("live") && !patch.failed ? "…" : MISSING;
    const state = data.state(by, site, ...at);
    if (state === "estimated") return `≈${signed(data.estimate(site, ...at))}`;
    return state ? STATES[state][0] || STATES[state][1] : formatOf(by)(data.value(by, site, ...at));
  }

  /** @param {import("./patching_data.js").PatchingData} data */
  function describePlace(data) {
    const [origin, frozen] = [model.get("origin"), model.get("frozen")];
    /** @param {number} position */
    const named = (position) => `${position} ${quoted(data.tokens[position] ?? "")}`;
    return [
      origin.length ? `from ${SITE_NAMES[origin[0]] ?? origin[0]}, layer ${origin[1]}, position ${named(Number(origin[2]))}` : "",
      frozen.length ? `held as they were: ${frozen.map(named).join(", ")}` : "",
    ].filter(Boolean).join("; ");
  }

  /** What each run says next. @param {import("./patching_data.js").Patch} patch @param {boolean} known */
  function drawSaid(patch, known) {
    said.hidden = !known || (!patch.said && !model.get("live")); // nobody is there to find out
    const runs = patch.said ?? {};
    said.replaceChildren(h("h3", {}, "How it goes on"), h("dl", { class: "iw-said" }, ...["clean", "patched", "corrupt"].flatMap((name) => [
      h("dt", {}, name),
      h("dd", { dir: "auto" }, ...(runs[name] ? runs[name].map(({ token, token_id: id, probability }) =>
        h("span", { title: `${quoted(token)}, id ${id}, ${percent(probability)}` }, running(token))) : [patch.failed ? MISSING : "…"]))])));
  }

  return { element, draw, drawBaselines };
}

/** @param {string} name @param {import("./patching_data.js").Prediction[]} top */
function ranking(name, top) {
  return h("div", {}, h("h4", {}, name), h("ol", { "aria-label": `Likeliest next tokens, ${name}` }, ...top.map(({ token, token_id: id, probability }) =>
    h("li", { title: `${quoted(token)}, id ${id}` }, h("span", { class: "iw-entry-token" }, visible(token)), h("span", { class: "iw-number" }, percent(probability))))));
}
