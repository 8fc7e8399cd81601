/**
 * Many coloured cells on one canvas, one pixel a cell. A canvas knows no `light-dark()`, so both themes are drawn side by side and
 * the stylesheet shows the half that fits (`iw-painted`): a change of theme needs no redraw. A column between them stays empty, for
 * where a half ends between two pixels.
 */

import { SEQUENTIAL_PIXELS } from "./color.js";
import { h } from "./dom.js";

export const paintedCanvas = () => h("canvas", { class: "iw-painted", width: 0, height: 0, "aria-hidden": "true" });

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} width   cells
 * @param {number} height
 * @param {(row: number, column: number) => number} step  in [0, 255]; negative for no colour
 */
export function paintCells(canvas, width, height, step) {
  const across = 2 * width + 1;
  canvas.width = across;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context || !width || !height) return;
  const image = context.createImageData(across, height);
  const cells = new Uint32Array(image.data.buffer);
  const [light, dark] = SEQUENTIAL_PIXELS;
  for (let row = 0, start = 0; row < height; row++, start += across) {
    for (let column = 0; column < width; column++) {
      const at = step(row, column);
      if (at < 0) continue;
      cells[start + column] = light[at];
      cells[start + width + 1 + column] = dark[at];
    }
  }
  context.putImageData(image, 0, 0);
}
