"""Altair charts without a network: drawn by one Vega, on exported pages too."""

from __future__ import annotations

import pytest

from interp_widgets.export import fragment
from interp_widgets.widgets.chart import ChartWidget, library

pytest.importorskip("vl_convert")

BARS = {
    "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
    "data": {"values": [{"layer": 0, "probability": 0.1}, {"layer": 1, "probability": 0.7}]},
    "mark": "bar",
    "encoding": {"x": {"field": "layer", "type": "ordinal"}, "y": {"field": "probability", "type": "quantitative"}},
}


def test_two_charts_are_written_with_one_library():
    page = fragment(ChartWidget(BARS), ChartWidget(BARS))
    assert page.count('type="application/x-interp-widget+json">') == 3
    assert page.count(library().model_id) == 3  # the library, and two references
    assert len(page) < 600_000, "the library is compressed"


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_saved_page_draws_charts_in_both_themes(show_saved, dark):
    page = show_saved(ChartWidget(BARS), ChartWidget(BARS | {"mark": "line"}), dark=dark)
    assert page.locator(".iw-vega svg").count() == 2
    assert page.locator(".iw-vega svg .mark-rect path").count() == 2

    def ink() -> str:
        return page.locator(".iw-vega svg .role-axis-label text").first.get_attribute("fill")

    before = ink()
    page.get_by_role("button", name="Light theme" if dark else "Dark theme").click()
    page.wait_for_function(
        "before => document.querySelector('.iw-vega svg .role-axis-label text')?.getAttribute('fill') !== before",
        arg=before,
    )
    bright = sum(int(ink().lstrip("#")[i : i + 1], 16) for i in range(3)) > 24
    assert bright == (not dark)


@pytest.mark.browser
def test_a_broken_specification_is_a_sentence(show_saved):
    page = show_saved(ChartWidget({"mark": "no such mark", "data": {"values": []}}), ChartWidget(BARS))
    assert "The chart cannot be drawn" in page.get_by_role("alert").text_content()
    assert page.locator(".iw-vega svg").count() == 1
