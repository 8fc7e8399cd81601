"""Charts as figures: the colours of the panels, one page colour, sizes, and titles that fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

import interp_widgets
from interp_widgets.views import publication, theme
from interp_widgets.views.attention import attention_chart
from interp_widgets.views.lens import lens_chart
from interp_widgets.views.pairs import pairs_chart
from interp_widgets.views.patching import patching_chart
from interp_widgets.views.steering import steering_chart
from tests.views.test_views import attention_frame, lens_frame, pair_summary, patching_frame, steering_frame

COLORS = (Path(interp_widgets.__file__).parent / "front" / "color.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("look", publication.THEMES)
@pytest.mark.parametrize("name", ["SEQUENTIAL", "DIVERGING"])
def test_the_scales_are_those_of_the_panels(name, look) -> None:
    stops = re.search(rf"const {look.upper()}_{name} = (\[.*\]);", COLORS)
    assert json.loads(stops[1]) == getattr(publication, name)[look]


@pytest.mark.parametrize("look", publication.THEMES)
def test_a_theme_gives_scales_and_page_their_colours(look) -> None:
    lens = publication.figure(lens_chart(lens_frame(), masked=[0]).to_dict(), look)
    color = lens["layer"][0]["encoding"]["color"]
    assert color["scale"]["scheme"] == publication.SEQUENTIAL[look]
    assert (color["condition"]["value"] == theme.MASKED) == (look == "light")
    patching = publication.figure(patching_chart(patching_frame()).to_dict(), look)
    scale = patching["encoding"]["color"]["scale"]
    assert scale["scheme"] == publication.DIVERGING[look]
    assert "reverse" not in scale, "these stops begin with the negative end themselves"
    assert "background" not in patching
    assert {"light": "#ffffff", "dark": "#111317"}[look] == patching["config"]["background"]


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(
        w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


@pytest.mark.parametrize("look", publication.THEMES)
def test_text_and_lines_can_be_seen_on_the_page(look) -> None:
    config = publication.figure(steering_chart(steering_frame()).to_dict(), look)["config"]
    page = luminance(config["background"])

    def contrast(color: str) -> float:
        low, high = sorted([page, luminance(color)])
        return (high + 0.05) / (low + 0.05)

    for color in (config["axis"]["labelColor"], config["legend"]["titleColor"], config["title"]["subtitleColor"]):
        assert contrast(color) > 4.5
    lines = publication._recoloured([*theme.CATEGORIES, theme.GREY], look)
    assert min(map(contrast, lines)) > 1.9, "Okabe and Ito's yellows are light; each line is also named"


def test_the_data_stay_as_they_are_even_where_they_read_like_a_colour() -> None:
    frame = lens_frame().with_columns(prompt_token=pl.lit(theme.MASKED))
    spec = lens_chart(frame).to_dict()
    assert publication.figure(spec, "dark")["datasets"] == spec["datasets"]


def test_only_cells_of_a_pattern_stay_square_when_the_plot_gets_narrow() -> None:
    spec = steering_chart(steering_frame()).to_dict()
    assert [publication.figure(spec, plot=200)[name] for name in ("width", "height")] == [200, spec["height"]]
    assert publication.figure(spec)["width"] == spec["width"] != 200, "the chart itself is not changed"
    pattern = attention_chart(attention_frame()).to_dict()
    narrow = publication.figure(pattern, plot=65)
    assert narrow["height"] == pytest.approx(65 * pattern["height"] / pattern["width"])


def test_words_leave_cells_that_are_too_narrow_for_them() -> None:
    spec = lens_chart(lens_frame()).to_dict()
    assert [layer["mark"]["type"] for layer in spec["layer"]] == ["rect", "text"]
    assert len(publication.figure(spec, plot=150)["layer"]) == 2, "five columns have room"
    assert len(publication.figure(spec, plot=149)["layer"]) == 1
    many = patching_chart(patching_frame(positions=60)).to_dict()
    assert "layer" not in many


def test_cells_are_kept_apart_while_there_is_room() -> None:
    many = patching_chart(patching_frame(positions=60)).to_dict()
    gaps = [publication.figure(many, plot=plot)["config"]["rect"]["strokeWidth"] for plot in (600, 300)]
    assert gaps[0] > gaps[1] == 0


def test_titles_are_broken_into_lines_that_fit() -> None:
    spec = pairs_chart(pair_summary()).to_dict()
    spec["title"] = {"text": "Patching " * 12, "subtitle": ["Mean over pairs. " * 12, "b"]}
    wide, narrow = (publication.figure(spec, across=across)["title"] for across in (648, 312))
    assert " ".join(narrow["text"]) == " ".join(wide["text"]) == ("Patching " * 12).strip()
    assert len(narrow["text"]) > len(wide["text"]) > 1
    assert narrow["subtitle"][-1] == "b"
    assert max(map(len, narrow["text"])) * 0.56 * publication.TITLE <= 312
