/**
 * Many coloured cells on one canvas, one pixel a cell. A canvas knows no `light-dark()`, so both themes are drawn side by side and
 * the stylesheet shows the half that fits (`iw-painted`): a change of theme needs no redraw. A column between them stays empty, for
 * where a half ends between two pixels.
 */

import { SEQUENTIAL_STEPS } from "./color.js";
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
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = step(row, column);
      if (at < 0) continue;
      SEQUENTIAL_STEPS.forEach((colors, theme) => {
        const pixel = 4 * (row * across + theme * (width + 1) + column);
        image.data[pixel] = colors[3 * at];
        image.data[pixel + 1] = colors[3 * at + 1];
        image.data[pixel + 2] = colors[3 * at + 2];
        image.data[pixel + 3] = 255;
      });
    }
  }
  context.putImageData(image, 0, 0);
}
