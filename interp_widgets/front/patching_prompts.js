/** The two prompts, one column per aligned pair of tokens, and pairing them by hand. */

import { button, needsKernel } from "./controls.js";
import { h, hit, save, setAttributes } from "./dom.js";
import { quoted, visible } from "./numbers.js";

/** @typedef {{ clean?: number, corrupt?: number }} Column */

/**
 * The columns: every pair, and in their order the tokens that have no partner.
 * @param {number[][]} pairs
 * @param {number} cleanCount
 * @param {number} corruptCount
 * @returns {Column[]}
 */
function columnsOf(pairs, cleanCount, corruptCount) {
  /** @type {Column[]} */
  const columns = [];
  let [i, j] = [0, 0];
  for (const [clean, corrupt] of [...pairs.filter(([a, b]) => a < cleanCount && b < corruptCount), [cleanCount, corruptCount]]) {
    while (i < clean) columns.push({ clean: i++ });
    while (j < corrupt) columns.push({ corrupt: j++ });
    if (clean < cleanCount) columns.push({ clean: i++, corrupt: j++ });
  }
  return columns;
}

/**
 * @param {import("./patching_data.js").PatchingModel} model
 * @param {AbortSignal} signal
 */
export function createPromptPair(model, signal) {
  const lists = {
    clean: h("div", { class: "iw-pair-list", role: "listbox", "aria-label": "Clean tokens" }),
    corrupt: h("div", { class: "iw-pair-list", role: "listbox", "aria-label": "Corrupt tokens" }),
  };
  const table = h("div", { class: "iw-pair" }, h("span", { class: "iw-pair-name" }, "clean"), lists.clean,
    h("span", { class: "iw-pair-name" }, "corrupt"), lists.corrupt);
  const hint = h("span", { class: "iw-quiet", role: "status" });
  const unpair = button("Unpair", signal, () => model.send({ type: "unalign", corrupt: pairOf(model.get("positions")[0])?.[1] }), { class: "iw-button iw-small" });
  const freeze = button("Freeze", signal, toggleFrozen, { class: "iw-button iw-small",
    title: "Hold the selected positions as they were when one cell is patched, so that its effect cannot pass there" });
  const reset = button("Reset pairs", signal, () => model.send({ type: "reset_alignment" }), { class: "iw-button iw-small" });
  const note = h("p", { class: "iw-note" });
  const element = h("div", {}, h("div", { class: "iw-pair-scroll" }, table), note, h("div", { class: "iw-tools" }, hint, freeze, unpair, reset));
  /** @type {number | null} */
  let armed = null; // the token of the other prompt that waits for its partner
  /** The prompt that is patched: its tokens can be selected. @returns {Side} */
  const patched = () => (model.get("direction") === "noise" ? "clean" : "corrupt");
  /** @returns {Side} */
  const source = () => (patched() === "clean" ? "corrupt" : "clean");
  /** The pair [clean, corrupt] of a position of the patched prompt. @param {number} position */
  const pairOf = (position) => model.get("alignment").find((pair) => pair[patched() === "clean" ? 0 : 1] === position);
  /** Positions of both lists that Tab reaches. */
  const active = { clean: 0, corrupt: 0 };

  function draw() {
    const tokens = { clean: model.get("clean_tokens"), corrupt: model.get("corrupt_tokens") };
    const ids = { clean: model.get("clean_ids"), corrupt: model.get("corrupt_ids") };
    const columns = columnsOf(model.get("alignment"), tokens.clean.length, tokens.corrupt.length);
    const focused = focusedToken();
    if (armed !== null && (armed >= tokens[source()].length || !model.get("live"))) armed = null;
    for (const side of SIDES) {
      active[side] = Math.min(active[side], Math.max(0, tokens[side].length - 1));
      lists[side].replaceChildren(...columns.map((column, at) => {
        const position = column[side];
        const item = position === undefined ? h("span", { class: "iw-gap", role: "presentation" }) :
          h("span", { class: "iw-token", role: "option", tabindex: position === active[side] ? 0 : -1, "data-side": side, "data-position": position,
            ...describe(side, position, tokens, ids, column) }, visible(tokens[side][position]));
        item.style.gridArea = `${side === "clean" ? 1 : 2} / ${at + 2}`;
        return item;
      }));
    }
    drawSelected();
    if (focused) find(focused.side, focused.position)?.focus();
    note.textContent = model.get("alignment_note");
    note.hidden = !note.textContent;
  }

  /** @param {Side} side @param {number} position @param {Record<Side, string[]>} tokens @param {Record<Side, number[]>} ids @param {Column} column */
  function describe(side, position, tokens, ids, column) {
    const paired = column.clean !== undefined && column.corrupt !== undefined;
    const differs = paired && ids.clean[column.clean ?? -1] !== ids.corrupt[column.corrupt ?? -1];
    const remark = !paired ? ", not paired" : differs ? ", differs" : "";
    const text = `${side} ${position}: ${quoted(tokens[side][position])}`;
    return { title: `${text}, id ${ids[side][position] ?? "?"}${remark}`, "aria-label": `${text}${remark}`, "data-unpaired": !paired, "data-differs": differs };
  }

  function drawSelected() {
    const [positions, live, held] = [model.get("positions"), model.get("live"), new Set(model.get("frozen"))];
    const on = { [source()]: new Set(armed === null ? [] : [armed]), [patched()]: new Set(positions) };
    for (const option of options()) {
      const { side, position } = tokenAt(option);
      const isHeld = side === patched() && held.has(position);
      setAttributes(option, { "aria-selected": String(on[side].has(position)), "data-frozen": isHeld, "aria-description": isHeld ? "frozen" : null });
    }
    lists.clean.setAttribute("aria-multiselectable", String(patched() === "clean"));
    lists.corrupt.setAttribute("aria-multiselectable", String(patched() === "corrupt"));
    needsKernel(unpair, live, positions.length === 1 && !!pairOf(positions[0]));
    needsKernel(reset, live, model.get("corrupt_tokens").length > 0);
    needsKernel(freeze, live, positions.length > 0);
    freeze.textContent = positions.length && positions.every((position) => held.has(position)) ? "Unfreeze" : "Freeze";
    hint.textContent = armed !== null ? `Now press the ${patched()} token that ${source()} token ${armed} ${quoted(model.get(`${source()}_tokens`)[armed])} goes with, or Escape.`
      : live ? `To pair by hand, press a ${source()} token, then a ${patched()} one.` : "";
  }

  function toggleFrozen() {
    const [held, chosen] = [new Set(model.get("frozen")), model.get("positions")];
    const off = chosen.every((position) => held.has(position));
    for (const position of chosen) off ? held.delete(position) : held.add(position);
    save(model, { frozen: [...held].sort((a, b) => a - b) });
  }

  /** @param {Side} side @param {number} position */
  function press(side, position) {
    if (side === source()) {
      armed = armed === position || !model.get("live") ? null : position;
    } else if (armed !== null) {
      model.send({ type: "align", [source()]: armed, [patched()]: position });
      armed = null;
    } else {
      const selected = model.get("positions");
      save(model, { positions: selected.length === 1 && selected[0] === position ? [] : [position] });
    }
    drawSelected();
  }

  const options = () => /** @type {HTMLElement[]} */ ([...table.querySelectorAll("[role=option]")]);
  /** @param {Side} side @param {number} position */
  const find = (side, position) => options().find((option) => tokenAt(option).side === side && tokenAt(option).position === position);
  const focusedToken = () => (document.activeElement instanceof HTMLElement && table.contains(document.activeElement) ? tokenAt(document.activeElement) : null);

  /** @param {Side} side @param {number} position */
  function focus(side, position) {
    const option = find(side, position);
    if (!option) return;
    find(side, active[side])?.setAttribute("tabindex", "-1");
    active[side] = position;
    option.setAttribute("tabindex", "0");
    option.focus();
  }

  /** The token above or below: the partner, or the nearest one. @param {Side} side @param {number} position */
  function across(side, position) {
    const other = side === "clean" ? "corrupt" : "clean";
    const pair = model.get("alignment").find(([clean, corrupt]) => (side === "clean" ? clean : corrupt) === position);
    focus(other, pair ? pair[side === "clean" ? 1 : 0] : Math.min(position, model.get(`${other}_tokens`).length - 1));
  }

  table.addEventListener("click", (event) => {
    const option = hit(event, "[role=option]");
    if (!option) return;
    const { side, position } = tokenAt(option);
    focus(side, position);
    press(side, position);
  }, { signal });
  table.addEventListener("keydown", (event) => {
    const option = hit(event, "[role=option]");
    if (!option) return;
    const { side, position } = tokenAt(option);
    const last = model.get(`${side}_tokens`).length - 1;
    const to = { ArrowRight: position + 1, ArrowLeft: position - 1, Home: 0, End: last }[event.key];
    if (to !== undefined) focus(side, Math.min(last, Math.max(0, to)));
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") across(side, position);
    else if (event.key === "Enter" || event.key === " ") press(side, position);
    else if (event.key === "Escape") { armed = null; drawSelected(); }
    else return;
    event.preventDefault();
  }, { signal });

  return { element, draw, drawSelected };
}

/** @typedef {"clean" | "corrupt"} Side */
const SIDES = /** @type {const} */ (["clean", "corrupt"]);

/** @param {HTMLElement} option */
const tokenAt = (option) => ({ side: /** @type {Side} */ (option.dataset.side), position: Number(option.dataset.position) });
