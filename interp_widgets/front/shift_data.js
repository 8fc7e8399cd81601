/** The traits of a SHIFT panel. Everything that is drawn is in them. */

/**
 * @typedef {{ node: string, site: string, atom: number, effect: number, low: number, high: number, active: number }} Listed
 * @typedef {{ tokens: number[], label: string, spurious: string }} ShiftText
 * @typedef {[text: number, mean: number, active: [number, number][]]} Shown
 * @typedef {{ accuracy: number, low: number, high: number, n: number }} ShiftCell
 * @typedef {{ condition: string, name: string, nodes: number, draws: number, cells: ShiftCell[] }} ShiftRow
 *
 * @typedef {object} ShiftState
 * @prop {string} site
 * @prop {string[]} labels
 * @prop {string[]} spurious
 * @prop {Listed[]} listed
 * @prop {string} node
 * @prop {string[]} struck
 * @prop {string[]} words
 * @prop {ShiftText[]} texts
 * @prop {Record<string, { maximum: number, shown: Shown[] }>} examples
 * @prop {[group: string, name: string][]} groups
 * @prop {ShiftRow[]} accuracy
 * @prop {boolean} compared
 * @prop {boolean} live
 *
 * @typedef {import("@anywidget/types").AnyModel<ShiftState>} ShiftModel
 */

/** How an atom is called: its number, and where. @param {Listed} row */
export const nameOf = ({ site, atom }) => `#${atom} ${site}`;
