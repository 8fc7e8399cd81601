/** A feature circuit: tokens across, the forward pass upwards, what carries the answer, and what is left without it. */

import { createPanel } from "./head.js";

/** @param {import("@anywidget/types").RenderProps<any>} props */
function render({ model, el, signal }) {
  createPanel({ model, el, signal, name: "Circuit", fields: [{ trait: "clean", label: "Clean" }, { trait: "corrupt", label: "Corrupt" },
    { trait: "answer", label: "Answer", short: true }, { trait: "foil", label: "Foil", short: true }] });
}

export default { render };
