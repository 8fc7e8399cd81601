/**
 * The traits of the circuit panel, as questions that the view asks. Nodes and groups are things of one list: thing i below `count` is
 * node i, thing count + g is group g. Every number comes from Python; what is decided here is only what is shown.
 */

import { bytes, floats, ints, quoted } from "./numbers.js";

/** @typedef {{ name: string, nodes: string[], row: number, column: number, effect: number, low: number | null, high: number | null }} Group */
/** @typedef {{ name: string, nodes: number[], faithfulness: (number | null)[], low?: (number | null)[], high?: (number | null)[] }} Baseline */
/** @typedef {{ site: string, text: string, layer: number | null }} Row */
/**
 * @typedef {object} Prediction
 * @prop {Record<string, number>} of
 * @prop {string} prompt
 * @prop {boolean} pending
 * @prop {string} failed
 * @prop {{ before: number, after: number, change: number }} metric
 * @prop {{ token: string, token_id: number, before: number, after: number }[]} top
 */
/**
 * @typedef {object} MeanChange
 * @prop {Record<string, number>} of
 * @prop {number} total
 * @prop {number} prompts
 * @prop {boolean} pending
 * @prop {string} failed
 * @prop {number} [before]
 * @prop {number} [after]
 * @prop {number} [change]
 * @prop {number | null} [low]
 * @prop {number | null} [high]
 */
/**
 * @typedef {object} CircuitState  see widgets/circuit.py
 * @prop {boolean} live
 * @prop {boolean} has_model
 * @prop {string[]} methods
 * @prop {string} method
 * @prop {string} dictionaries
 * @prop {string} metric
 * @prop {string} measure
 * @prop {Partial<{ model: number, nothing: number }>} ends
 * @prop {number} prompts
 * @prop {string[]} tokens
 * @prop {string[]} corrupt_tokens
 * @prop {Record<string, string[]>} variants
 * @prop {boolean} summed
 * @prop {Row[]} rows
 * @prop {DataView} strip
 * @prop {string[]} names
 * @prop {DataView} kind
 * @prop {DataView} row
 * @prop {DataView} column
 * @prop {DataView} atom
 * @prop {DataView} effect
 * @prop {DataView} low
 * @prop {DataView} high
 * @prop {DataView} activation
 * @prop {DataView} corrupt_activation
 * @prop {number} total
 * @prop {DataView} source
 * @prop {DataView} target
 * @prop {DataView} weight
 * @prop {DataView} weight_low
 * @prop {DataView} weight_high
 * @prop {number} total_edges
 * @prop {number} edged
 * @prop {string[]} ways
 * @prop {string} way
 * @prop {DataView} curve_nodes
 * @prop {DataView} curve_prefix
 * @prop {DataView} curve
 * @prop {Baseline[]} baselines
 * @prop {number} size
 * @prop {number} edge_threshold
 * @prop {Record<string, string>} labels
 * @prop {string[]} pinned
 * @prop {string[]} hidden
 * @prop {Group[]} groups
 * @prop {DataView} group_source
 * @prop {DataView} group_target
 * @prop {DataView} group_weight
 * @prop {Record<string, number>} switches
 * @prop {Record<string, string>} prompt_texts
 * @prop {string} prompt
 * @prop {Partial<Prediction>} prediction
 * @prop {Partial<MeanChange>} mean_change
 * @prop {string[]} selected
 * @prop {Record<string, import("./atoms_card.js").Card>} cards
 * @prop {import("./atoms_card.js").CorpusState} corpus_state
 * @prop {boolean} listed
 * @prop {number[]} positions
 */
/** @typedef {import("@anywidget/types").AnyModel<CircuitState>} CircuitModel */

/** Kinds of things: the indices of the wire, and one more for groups. */
export const KIND = { atom: 0, error: 1, embedding: 2, logit: 3, other: 4, group: 5 };

export const NODES = ["names", "kind", "row", "column", "atom", "effect", "low", "high", "activation", "corrupt_activation", "rows", "tokens",
  "source", "target", "weight", "weight_low", "weight_high", "groups", "group_source", "group_target", "group_weight"];

/** @param {CircuitModel} model */
export function readCircuit(model) {
  const [names, groups, rows, tokens] = [model.get("names"), model.get("groups"), model.get("rows"), model.get("tokens")];
  const count = names.length;
  const index = new Map(names.map((name, i) => [name, i]));
  const [nodeKind, atom] = [bytes(model.get("kind")), ints(model.get("atom"))];
  const kind = Uint8Array.from([...nodeKind, ...groups.map(() => KIND.group)]);
  const row = Int32Array.from([...ints(model.get("row")), ...groups.map((group) => group.row)]);
  const column = Int32Array.from([...ints(model.get("column")), ...groups.map((group) => group.column)]);
  const effect = Float32Array.from([...floats(model.get("effect")), ...groups.map((group) => group.effect)]);
  const [low, high] = [floats(model.get("low")), floats(model.get("high"))];
  const [activation, corrupt] = [floats(model.get("activation")), floats(model.get("corrupt_activation"))];
  const groupOf = new Int32Array(count).fill(-1);
  groups.forEach((group, g) => group.nodes.forEach((name) => { groupOf[index.get(name) ?? -1] = g; }));
  const edges = mergeEdges(model, groupOf);
  let [answers, largest, heaviest] = [0, 0, 0];
  while (nodeKind[answers] === KIND.logit) answers++;
  kind.forEach((each, i) => { if (each !== KIND.logit) largest = Math.max(largest, Math.abs(effect[i]) || 0); });
  edges.forEach(({ weight }) => { heaviest = Math.max(heaviest, Math.abs(weight)); });

  const isGroup = (/** @type {number} */ thing) => thing >= count;
  /** Names of the nodes that a thing stands for. @param {number} thing */
  const namesOf = (thing) => (isGroup(thing) ? groups[thing - count].nodes : [names[thing]]);

  /** What a thing is called where its place is seen. @param {number} thing */
  function short(thing) {
    if (isGroup(thing)) return groups[thing - count].name;
    const label = model.get("labels")[names[thing]];
    if (label) return label;
    if (kind[thing] === KIND.error) return "error";
    return atom[thing] >= 0 ? `#${atom[thing]}` : names[thing];
  }

  /** Where a thing is, briefly; nothing for those that are of no row. @param {number} thing */
  const where = (thing) => (isGroup(thing) || kind[thing] === KIND.logit ? "" : `${rows[row[thing]]?.text ?? ""}${model.get("summed") ? "" : `@${column[thing]}`}`);

  /** What a thing is called anywhere. @param {number} thing */
  function full(thing) {
    if (isGroup(thing)) return `group ${quoted(groups[thing - count].name)} of ${groups[thing - count].nodes.length}`;
    const site = kind[thing] === KIND.logit || !rows[row[thing]] ? "" : `${rows[row[thing]].site} `;
    const unit = kind[thing] === KIND.error ? "error" : atom[thing] >= 0 ? `#${atom[thing]}` : names[thing];
    const label = model.get("labels")[names[thing]];
    const at = kind[thing] === KIND.logit || model.get("summed") || !tokens.length ? "" : ` at ${column[thing]} ${quoted(tokens[column[thing]] ?? "")}`;
    return `${site}${unit}${at}${label ? `, ${quoted(label)}` : ""}`;
  }

  return {
    count, names, index, groups, groupOf, rows, tokens, kind, row, column, atom, effect, answers, largest, heaviest, edges,
    isGroup, namesOf, short, where, full,
    /** @param {number} thing */
    brief: (thing) => `${short(thing)} ${where(thing)}`.trim(),
    /** 95 % interval of a thing's effect. @param {number} thing @returns {[number | null | undefined, number | null | undefined]} */
    interval: (thing) => (isGroup(thing) ? [groups[thing - count].low, groups[thing - count].high] : [low[thing], high[thing]]),
    /** @param {number} thing */
    activations: (thing) => (isGroup(thing) ? [] : [activation[thing], corrupt[thing]]),
    /** The thing that stands for a node. @param {string} name */
    thing: (name) => {
      const i = index.get(name);
      return i === undefined ? -1 : groupOf[i] < 0 ? i : count + groupOf[i];
    },
  };
}

/** @typedef {ReturnType<typeof readCircuit>} CircuitData */
/** @typedef {{ source: number, target: number, weight: number, low?: number, high?: number }} Edge  between things */

/**
 * The edges between things, the heaviest first: those of nodes in no group, and the sums that Python made for groups.
 * @param {CircuitModel} model @param {Int32Array} groupOf @returns {Edge[]}
 */
function mergeEdges(model, groupOf) {
  const [source, target, weight] = [ints(model.get("source")), ints(model.get("target")), floats(model.get("weight"))];
  const [low, high] = [floats(model.get("weight_low")), floats(model.get("weight_high"))];
  /** @type {Edge[]} */
  const out = [];
  weight.forEach((each, i) => {
    if (groupOf[source[i]] < 0 && groupOf[target[i]] < 0) out.push({ source: source[i], target: target[i], weight: each, low: low[i], high: high[i] });
  });
  const [from, to] = [ints(model.get("group_source")), ints(model.get("group_target"))];
  const sums = floats(model.get("group_weight"));
  if (!sums.length) return out;
  sums.forEach((each, i) => out.push({ source: from[i], target: to[i], weight: each }));
  return out.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
}

/**
 * What is shown of it at the thresholds, and what is not and why.
 * @param {CircuitModel} model @param {CircuitData} data @param {number} prefix  so many of the first nodes are in the circuit
 */
export function readShown(model, data, prefix) {
  const [pinned, byHand] = [new Set(model.get("pinned")), new Set(model.get("hidden"))];
  const removed = model.get("way") === "removed" && model.get("ways").length > 0;
  const isShown = new Uint8Array(data.count + data.groups.length);
  let [inside, hidden, errors] = [0, 0, 0];
  data.names.forEach((name, i) => {
    if (i >= prefix && i >= data.answers && !pinned.has(name)) return;
    if (removed && data.kind[i] === KIND.error) errors++;
    else if (byHand.has(name)) hidden++;
    else {
      isShown[data.thing(name)] = 1;
      inside += Number(i >= data.answers);
    }
  });
  const things = [...isShown.keys()].filter((i) => isShown[i]);
  things.sort((a, b) => Math.abs(data.effect[b] || 0) - Math.abs(data.effect[a] || 0));
  const least = model.get("edge_threshold");
  const edges = data.edges.filter(({ source, target, weight }) => Math.abs(weight) >= least && isShown[source] && isShown[target]);
  return { things, isShown, edges, inside, hidden, errors, below: Math.max(0, model.get("total") - inside - hidden - errors) };
}

/** @typedef {ReturnType<typeof readShown>} Shown */

/** Edges of a thing, the heaviest first. @param {Edge[]} edges @param {number} thing */
export const edgesOf = (edges, thing) => ({
  from: edges.filter((edge) => edge.target === thing),
  to: edges.filter((edge) => edge.source === thing),
});
