"""Contrast, computed here a second time from what the browser really draws."""

from __future__ import annotations

from itertools import pairwise

import pytest

from interp_widgets.widgets import front
from tests.front import states

pytestmark = pytest.mark.browser

SCALES = """
async (source) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { SEQUENTIAL, DIVERGING } = await import(url);
  const probe = document.body.appendChild(document.createElement("span"));
  const out = {};
  for (const scheme of ["light", "dark"]) {
    document.documentElement.style.colorScheme = scheme;
    for (const [name, scale] of Object.entries({ SEQUENTIAL, DIVERGING })) {
      out[`${name} ${scheme}`] = scale.map((style) => {
        probe.style.cssText = style;
        const { color, backgroundColor } = getComputedStyle(probe);
        return [color, backgroundColor];
      });
    }
  }
  return out;
}
"""

# For every element that holds text itself: its ink, and the backgrounds under it from the inside out.
TEXTS = """
() => [...document.querySelectorAll(".iw *")].filter((element) =>
  [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
  && element.checkVisibility()
).map((element) => {
  const behind = [];
  for (let at = element; at; at = at.parentElement) behind.push(getComputedStyle(at).backgroundColor);
  const style = getComputedStyle(element);
  const name = `${element.getAttribute("class")}: ${element.textContent.slice(0, 30)}`;
  return [name, element.closest("svg") ? style.fill : style.color, behind];
})
"""


def rgba(text: str) -> tuple[float, ...]:
    body = text[text.index("(") + 1 : -1].replace("srgb", "").replace("/", " ").replace(",", " ")
    values = [float(part) for part in body.split()]
    unit = 255.0 if text.startswith("color(") else 1.0
    return (*(value * unit for value in values[:3]), values[3] if len(values) == 4 else 1.0)


def luminance(color: tuple[float, ...]) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(ink: tuple[float, ...], background: tuple[float, ...]) -> float:
    bright, dim = sorted([luminance(ink), luminance(background)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def over(top: tuple[float, ...], bottom: tuple[float, ...]) -> tuple[float, ...]:
    return (*(t * top[3] + b * (1 - top[3]) for t, b in zip(top[:3], bottom[:3], strict=True)), 1.0)


def flat(layers: list[str]) -> tuple[float, ...]:
    color = (255.0, 255.0, 255.0, 1.0)
    for layer in reversed(layers):
        color = over(rgba(layer), color)
    return color


def test_every_step_of_every_scale_reads(open_page):
    scales = open_page().evaluate(SCALES, (front.FRONT / "color.js").read_text("utf-8"))
    assert len(scales) == 4
    for name, pairs in scales.items():
        worst = min(contrast(rgba(ink), rgba(background)) for ink, background in pairs)
        assert worst >= 4.5, f"{name}: {worst:.2f}"


def test_lightness_only_goes_one_way(open_page):
    scales = open_page().evaluate(SCALES, (front.FRONT / "color.js").read_text("utf-8"))
    for name, sign in {"SEQUENTIAL light": -1, "SEQUENTIAL dark": 1}.items():
        levels = [luminance(rgba(background)) for _, background in scales[name]]
        assert all(sign * (b - a) >= -0.002 for a, b in pairwise(levels)), name


RUNNING = {"state": "running", "message": "resid_post.12", "done": 31, "total": 90, "seconds": 4.2}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("make", [states.lens, states.atoms, states.patching])
def test_every_text_reads_in_both_themes(show_live, make, theme, running):
    """What is disabled must be readable too, which WCAG does not ask."""
    more = {states.patching: {"extra": True}, states.lens: {"pins": [[7, 1003]], "cell": [20, 4]}}.get(make, {})
    status = {"status": RUNNING} if running else {}
    page = show_live(make(error="It went wrong: nothing was lost.", positions=[4], **more, **status), theme=theme)
    page.add_style_tag(content=".iw * { transition: none !important; }")
    page.evaluate(f"document.body.style.background = '{'#111' if theme == 'dark' else '#fff'}'")
    texts = page.evaluate(TEXTS)
    assert len(texts) > 50
    assert any("iw-line-label" in what for what, *_ in texts) == (make is states.lens)
    for what, ink, layers in texts:
        background = flat(layers)
        ratio = contrast(over(rgba(ink), background), background)
        assert ratio >= 4.5, f"{what!r}: {ratio:.2f} ({ink} on {background})"
