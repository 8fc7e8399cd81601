"""The moving picture of the README, made from a real JupyterLab: `make demo`.

    python -m tests.demo [docs/images]

Each step is what a person does; a picture is taken after it and stays for a while. Written as demo.webp; readers who asked their
system for less motion get a still of the README instead. Needs a Chromium, SmolLM2-135M in the cache, and Pillow.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests import jupyterlab
from tests.browser import ARGUMENTS, chromium
from tests.jupyter.notebooks import panel, wait_for_panels, write

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SIZE = {"width": 1000, "height": 640}
QUALITY = 62
LARGEST = 1_500_000
"""Bytes of the moving picture."""

CELLS = (
    'import interp_widgets as iw\n\nmodel = iw.load("smollm2-135m")\niw.Lens(model, "The Eiffel Tower is in the city of")',
    'iw.Patching(\n    model,\n    clean="When Mary and John went to the store, John gave a drink to",\n'
    '    corrupt="When Mary and John went to the store, Mary gave a drink to",\n    answer=" Mary",\n    foil=" John",\n)',
)

# A headless browser draws no pointer.
POINTER = """() => {
  const dot = document.createElement("div");
  dot.style.cssText = "position:fixed;z-index:99999;width:18px;height:18px;margin:-9px;border-radius:50%;background:#e8590c99;" +
    "border:2px solid #fff;box-shadow:0 0 3px #0008;pointer-events:none;left:-50px;top:0";
  document.body.append(dot);
  addEventListener("mousemove", (e) => { dot.style.left = `${e.clientX}px`; dot.style.top = `${e.clientY}px`; }, true);
  addEventListener("mousedown", () => { dot.style.background = "#e8590c"; }, true);
  addEventListener("mouseup", () => setTimeout(() => { dot.style.background = "#e8590c99"; }, 120), true);
}"""


class Film:
    """Pictures of a page, each with how long it is shown."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pictures: list[tuple[bytes, int]] = []

    def take(self, milliseconds: int, settle: int = 150) -> None:
        self.page.wait_for_timeout(settle)
        self.pictures.append((self.page.screenshot(), milliseconds))

    def point(self, target: Locator, milliseconds: int = 500) -> None:
        """Move there in a few steps."""
        box = target.bounding_box()
        assert box
        x, y = box["x"] + min(box["width"] / 2, 60), box["y"] + box["height"] / 2
        for part in (1, 2, 3):
            start = getattr(self, "at", (500.0, 600.0))
            self.page.mouse.move(start[0] + (x - start[0]) * part / 3, start[1] + (y - start[1]) * part / 3)
            self.take(80 if part < 3 else milliseconds, 60)
        self.at = (x, y)

    def press(self, target: Locator, milliseconds: int = 900) -> None:
        self.point(target, 250)
        self.page.mouse.down()
        self.take(100, 20)
        self.page.mouse.up()
        self.take(milliseconds, 400)

    def write(self, folder: Path) -> None:
        from PIL import Image

        frames = [Image.open(io.BytesIO(picture)).convert("RGB") for picture, _ in self.pictures]
        moving = folder / "demo.webp"
        durations = [milliseconds for _, milliseconds in self.pictures]
        frames[0].save(moving, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=QUALITY,
                       method=6, minimize_size=False, allow_mixed=True)  # fmt: skip
        size = moving.stat().st_size
        print(f"{moving}: {len(frames)} pictures, {sum(durations) / 1000:.0f} s, {size / 1e6:.2f} MB")
        assert size < LARGEST, f"{moving} is larger than {LARGEST / 1e6} MB"


def scroll(page: Page, target: Locator) -> None:
    """Bring an element to the top of the notebook."""
    target.evaluate("""(element) => {
      const scroller = element.closest(".jp-WindowedPanel-outer");
      scroller.scrollTop += element.getBoundingClientRect().top - scroller.getBoundingClientRect().top - 8;
    }""")


def play(page: Page, film: Film) -> None:
    """The scenes."""
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate(POINTER)
    film.take(1200, 600)
    film.press(page.locator(".jp-CodeCell").first.locator(".cm-content"), 300)
    jupyterlab.wait_ready(page)
    page.keyboard.press("Shift+Enter")
    film.take(600, 300)
    page.locator('section.iw[data-panel="lens"] [role=gridcell]').first.wait_for(timeout=60_000)
    wait_for_panels(page)
    lens = panel(page, "Lens")
    film.take(1500, 500)

    scroll(page, lens)
    film.take(700, 300)
    rows = lens.get_by_role("row")
    film.point(lens.get_by_role("gridcell").nth(9 * 21 + 8), 900)
    film.press(lens.get_by_role("option").nth(8), 700)
    last = lens.get_by_role("gridcell").last
    assert rows.count() > 30
    assert "Paris" in (last.text_content() or "")
    lens.locator(".iw-lines, svg").first.scroll_into_view_if_needed()
    film.take(300, 300)
    film.press(last, 1400)
    choices = lens.get_by_role("list", name="Most likely tokens at the selected cell").get_by_role(
        "button", name="Paris"
    )
    film.press(choices.first, 1600)

    code = page.locator(".jp-CodeCell").nth(1)
    scroll(page, code)
    film.take(900, 300)
    film.press(code.locator(".cm-content"), 400)
    page.keyboard.press("Control+Enter")
    patching = panel(page, "Patching")
    patching.wait_for(timeout=60_000)
    scroll(page, patching)
    for _ in range(6):  # the grid fills
        film.take(250, 500)
    wait_for_panels(page)
    film.take(1200, 300)
    cell = patching.get_by_role("gridcell").nth(14 * 12 + 10)
    cell.scroll_into_view_if_needed()
    film.point(cell, 800)
    film.press(patching.get_by_role("gridcell").last, 800)
    patching.locator(".iw-said dd").last.filter(has_not_text="…").wait_for(timeout=60_000)
    patching.locator(".iw-said").scroll_into_view_if_needed()
    film.take(2600, 400)


def main() -> int:
    from playwright.sync_api import sync_playwright

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        write(Path(scratch), "demo", *CELLS)
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        with jupyterlab.server(Path(scratch), environment={"OMP_NUM_THREADS": "1"}) as url:
            page = browser.new_page(viewport=SIZE)
            jupyterlab.open_notebook(page, url, "demo.ipynb")
            film = Film(page)
            play(page, film)
        browser.close()
    film.write(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
