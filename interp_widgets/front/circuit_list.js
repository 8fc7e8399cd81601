/** The shown nodes as a table: the graph for those who would rather read it. */

import { edgesOf, KIND } from "./circuit_data.js";
import { button } from "./controls.js";
import { h, hit } from "./dom.js";
import { change, count, known, number, visible } from "./numbers.js";

const PAGE = 100;

/**
 * @param {AbortSignal} signal
 * @param {(thing: number, more: boolean) => void} select
 */
export function createNodeList(signal, select) {
  const caption = h("caption");
  const [head, body] = [h("thead"), h("tbody")];
  const more = button("", signal, () => { pages += 1; redraw(); }, { class: "iw-button iw-small" });
  const element = h("div", { class: "iw-node-list" }, h("table", { class: "iw-table" }, caption, head, body), more);
  let pages = 1;
  let redraw = () => {};

  /**
   * @param {import("./circuit_data.js").CircuitModel} model @param {import("./circuit_data.js").CircuitData} data
   * @param {import("./circuit_data.js").Shown} shown @param {number[]} chosen
   */
  function draw(model, data, shown, chosen) {
    redraw = () => draw(model, data, shown, chosen);
    const rows = shown.things.slice(0, pages * PAGE);
    const summed = model.get("summed");
    const edges = shown.edges.length > 0;
    caption.textContent = `${count(shown.things.length)} nodes, the largest |${model.get("measure")}| first`;
    head.replaceChildren(h("tr", {}, ...["node", "site", ...(summed ? [] : ["token"]), model.get("measure"), "95 % interval", "activation", ...(edges ? ["heaviest edge to"] : [])].map((name) => h("th", { scope: "col" }, name))));
    body.replaceChildren(...rows.map((thing) => {
      const [low, high] = data.interval(thing);
      const token = data.tokens[data.column[thing]] ?? "";
      const heaviest = edges ? edgesOf(shown.edges, thing).to[0] : undefined;
      return h("tr", { "data-selected": chosen.includes(thing) },
        h("th", { scope: "row" }, h("button", { type: "button", class: "iw-link", "data-thing": thing, "aria-pressed": String(chosen.includes(thing)), title: data.full(thing) }, data.short(thing))),
        h("td", {}, data.kind[thing] === KIND.group ? "group" : data.rows[data.row[thing]]?.text ?? ""),
        ...(summed ? [] : [h("td", {}, `${data.column[thing]} ${token ? visible(token) : ""}`)]),
        h("td", {}, change(data.effect[thing])), h("td", {}, known(low) && known(high) ? `[${number(low, 2)}, ${number(high, 2)}]` : "–"),
        h("td", {}, number(data.activations(thing)[0])),
        ...(edges ? [h("td", {}, heaviest ? `${change(heaviest.weight)} ${data.brief(heaviest.target)}` : "–")] : []));
    }));
    more.hidden = rows.length >= shown.things.length;
    more.textContent = `Show ${count(Math.min(PAGE, shown.things.length - rows.length))} more`;
  }

  body.addEventListener("click", (event) => {
    const node = hit(event, "[data-thing]");
    if (node) select(Number(node.dataset.thing), event.shiftKey || event.ctrlKey || event.metaKey);
  }, { signal });

  return { element, draw };
}
