/** Numbers and tokens, from the wire and for the eye. */

/**
 * @param {DataView | undefined} view
 * @returns {[ArrayBuffer, number, number]} buffer, offset and number of 32-bit words; copied only if misaligned
 */
function words(view) {
  if (!view?.byteLength) return [new ArrayBuffer(0), 0, 0];
  const buffer = /** @type {ArrayBuffer} */ (view.buffer);
  const length = view.byteLength >> 2;
  if (view.byteOffset % 4 === 0) return [buffer, view.byteOffset, length];
  return [buffer.slice(view.byteOffset, view.byteOffset + 4 * length), 0, length];
}

/** @param {DataView | undefined} view  little-endian float32 */
export const floats = (view) => new Float32Array(...words(view));

/** @param {DataView | undefined} view  little-endian int32 */
export const ints = (view) => new Int32Array(...words(view));

/** @param {DataView | undefined} view  little-endian uint16, 65,535 for 1 @returns {Float32Array} */
export const units = (view) =>
  Float32Array.from({ length: (view?.byteLength ?? 0) >> 1 }, (_, i) => /** @type {DataView} */ (view).getUint16(2 * i, true) / 65535);

/** @param {DataView | undefined} view  one byte each */
export const bytes = (view) => (view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array(0));

/** What stands for a number that is not there. */
export const MISSING = "–";

/** @param {number | null | undefined} value @returns {value is number} */
export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** @param {number | null | undefined} value  in [0, 1] */
export function percent(value) {
  if (!known(value)) return MISSING;
  if (value > 0 && value < 0.001) return "<0.1%";
  return `${value < 0.0995 ? Number((100 * value).toFixed(1)) : Math.round(100 * value)}%`;
}

/** @param {number | null | undefined} value @param {number} [digits] */
export function number(value, digits = 3) {
  if (!known(value)) return MISSING;
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 1e7) ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−").replace("e+", "e");
}

/** A count, its thousands set apart. @param {number | null | undefined} value */
export const count = (value) => (known(value) ? Math.round(value).toLocaleString("en") : MISSING);

/** With as many decimals as make a column of them line up. @param {number | null | undefined} value */
export function level(value) {
  if (!known(value)) return MISSING;
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2).replace("-", "−");
}

/** With its sign, and two decimals so that a grid of them lines up. @param {number | null | undefined} value */
export function signed(value) {
  if (!known(value)) return MISSING;
  const text = Math.abs(value) >= 99.95 ? value.toFixed(0) : Math.abs(value) >= 9.995 ? value.toFixed(1) : value.toFixed(2);
  if (Number(text) === 0) return value === 0 ? "0" : "0.00";
  return value > 0 ? `+${text}` : text.replace("-", "−");
}

/** With its sign and two digits that count, however small. @param {number | null | undefined} value */
export const change = (value) => (known(value) && value > 0 ? `+${number(value, 2)}` : number(value, 2));

/** A share of a whole, which may be negative. @param {number | null | undefined} value */
export function share(value) {
  return known(value) ? `${(100 * value).toFixed(1)}%`.replace("-", "−") : MISSING;
}

// Characters that show nothing, or turn the text around them: shown by their code.
// What holds an emoji together stays. panels/wording.py has the same list.
const INVISIBLE = new RegExp("(\\p{Extended_Pictographic}[\\ufe0f\\u{1f3fb}-\\u{1f3ff}]*(?:\\u200d\\p{Extended_Pictographic}[\\ufe0f\\u{1f3fb}-\\u{1f3ff}]*)*)"
  + "|[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff9-\\ufffb]", "gu");

/** @param {string} text */
const escapeInvisible = (text) => {
  const [open, close] = RIGHT_TO_LEFT.test(text) ? ["\u2066", "\u2069"] : ["", ""]; // or its sign and its digits would part
  return text.replace(INVISIBLE, (c, emoji) => emoji ?? `${open}\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}${close}`);
};

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** Text that cannot reorder the sentence it stands in: in isolating marks if any of it runs from right to left. @param {string} text */
export const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);

/** Whitespace and what is invisible made visible. @param {string} text */
const plain = (text) => escapeInvisible(text).replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥");

/** A token on one line, its whitespace made visible; a mark that combines with what came before gets a place of its own. @param {string} token */
export const visible = (token) => plain(token).replace(/^\p{M}/u, "◌$&") || "∅";

/** The same inside a sentence. @param {string} token */
export const inText = (token) => isolated(visible(token));

/** A token in running text: a line break is shown and made, other letters are as they are. @param {string} token */
export const running = (token) =>
  token.split("\n").map((line) => plain(line).replaceAll("·", " ").replaceAll("⇥", "\t")).join("⏎\n");

/** A token exactly, in quotes. @param {string} token */
export const quoted = (token) => isolated(escapeInvisible(JSON.stringify(token)).replace(/^"(?=\p{M})/u, '"◌'));
