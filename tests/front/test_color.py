"""Contrast, computed here a second time from what the browser really draws."""

from __future__ import annotations

import base64
from itertools import pairwise

import numpy as np
import pytest

from interp_widgets.widgets import front, wire
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


# Colour blindness, computed: Machado, Oliveira and Fernandes (2009), "A physiologically-based model for simulation of color vision
# deficiency", severity 1, on linear light; whoever sees no colour sees the luminance.
DEFICIENCIES = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "achromatopsia": [[0.2126, 0.7152, 0.0722]] * 3,
}
JUST_NOTICED = 2.3
"""CIE 1976 colour difference that half of observers see: Mahy, Van Eycken and Oosterlinck (1994)."""


def lab(color: tuple[float, ...], deficiency: str) -> np.ndarray:
    """CIE L*a*b* (D65) of an sRGB colour as somebody with that deficiency sees it."""
    share = np.array(color[:3]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = (np.array(DEFICIENCIES[deficiency]) @ linear).clip(0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    ratio = xyz / [0.9505, 1.0, 1.089]
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_scales_read_with_any_colour_vision(open_page, deficiency):
    scales = open_page().evaluate(SCALES, (front.FRONT / "color.js").read_text("utf-8"))
    seen = {
        name: np.array([lab(rgba(background), deficiency) for _, background in pairs]) for name, pairs in scales.items()
    }
    for name, sign in {"SEQUENTIAL light": -1, "SEQUENTIAL dark": 1}.items():
        steps = np.diff(seen[name][::8, 0]) * sign  # 16 steps
        assert (np.diff(seen[name][:, 0]) * sign > -0.25).all(), f"{name}: a higher value may look like a lower one"
        assert steps.min() > JUST_NOTICED / 2, f"{name}: {steps.round(1)}"
    for name in ("DIVERGING light", "DIVERGING dark"):
        apart = np.linalg.norm(seen[name] - seen[name][::-1], axis=1)[: 64 - 16]  # beyond a quarter of the scale
        size = np.linalg.norm(seen[name][64 + 16 :: 16] - seen[name][64], axis=1)
        assert size.min() > 2 * JUST_NOTICED, f"{name}: a quarter looks like zero: {size.round(1)}"
        if deficiency != "achromatopsia":  # without colours only the sign in the cell tells, see below
            assert apart.min() > 5 * JUST_NOTICED, f"{name}: the two sides look alike: {apart.min():.1f}"


BARS = """(source) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return import(url).then(({ SEQUENTIAL }) => {
    document.body.style.margin = 0;
    SEQUENTIAL.filter((_, i) => i % 8 === 0).forEach((style, i) => document.body.append(Object.assign(document.createElement("i"),
      { style: `${style}; position: absolute; top: 0; left: ${10 * i}px; width: 10px; height: 10px` })));
  });
}"""
READ = """async (png) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  return Array.from({ length: 17 }, (_, i) => [...context.getImageData(10 * i + 5, 5, 1, 1).data].slice(0, 3));
}"""


def test_what_chromium_shows_of_a_scale_stays_in_order(open_page):
    """The browser's own simulation, in pixels: not the one above."""
    page = open_page(width=200, height=40)
    page.evaluate(BARS, (front.FRONT / "color.js").read_text("utf-8"))
    wire = page.context.new_cdp_session(page)
    seen = {}
    for deficiency in ("none", "protanopia", "deuteranopia", "tritanopia", "achromatopsia"):
        wire.send("Emulation.setEmulatedVisionDeficiency", {"type": deficiency})
        seen[deficiency] = page.evaluate(READ, base64.b64encode(page.screenshot()).decode())
        levels = [luminance(tuple(map(float, color))) for color in seen[deficiency]]
        assert levels == sorted(levels, reverse=True), deficiency
    assert len({str(colors) for colors in seen.values()}) == 5, "nothing was simulated"


def test_a_sign_is_never_said_by_colour_alone(show_live):
    for widget in (states.patching(layers=6), states.pairs(layers=6, mean=wire.float32(np.linspace(-1, 1, 36)))):
        cells = show_live(widget).locator(".iw-grid [role=gridcell]:not([data-state])")
        texts = [text for text in cells.all_text_contents() if text.strip("0.%–")]
        assert len(texts) > 10
        assert all(text[0] in "+−" for text in texts)


def test_lines_differ_by_more_than_colour(show_live):
    page = show_live(states.lens(pins=[[7, 1003], [7, 1009], [6, 1003]]))
    dashes = page.evaluate(
        "[...document.querySelectorAll('.iw-swatch line')].slice(0, 3).map((line) => getComputedStyle(line).strokeDasharray)"
    )
    assert len(set(dashes)) == 3


MARKS = {
    "accent on the surface": ("--iw-accent", "--iw-surface"),
    "a bar on its track": ("--iw-accent", "--iw-rule"),
    "the border of a control": ("--iw-control", "--iw-surface"),
    "a selected button": ("--iw-accent", "--iw-accent-soft"),
    "an error": ("--iw-bad", "--iw-bad-soft"),
    "a warning": ("--iw-warn", "--iw-warn-soft"),
    "a check": ("--iw-good", "--iw-surface"),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_that_mean_something_are_seen(show_live, theme):
    """WCAG 2.2, 1.4.11: 3 to 1."""
    page = show_live(states.lens(), theme=theme)
    for what, pair in MARKS.items():
        colors = page.evaluate(
            """(names) => names.map((name) => {
              const probe = document.querySelector(".iw").appendChild(document.createElement("i"));
              probe.style.backgroundColor = `var(${name})`;
              return getComputedStyle(probe).backgroundColor;
            })""",
            list(pair),
        )
        assert contrast(*map(rgba, colors)) >= 3, f"{what}: {contrast(*map(rgba, colors)):.2f}"
    lines = show_live(states.lens(pins=[[7, 1003]]), theme=theme).evaluate(
        """[0, 1, 2, 3, 4, 5].map((i) => {
          const probe = document.querySelector(".iw-lines line").cloneNode();
          document.querySelector(".iw-lines").append(probe);
          probe.setAttribute("class", `iw-line-${i}`);
          probe.style.stroke = "var(--line)";
          return getComputedStyle(probe).stroke;
        })"""
    )
    surface = rgba("rgb(255, 255, 255)" if theme == "light" else "rgb(23, 25, 29)")
    assert min(contrast(rgba(line), surface) for line in lines) >= 4.5
