"""Exported panels with real results: from a file, with the network cut."""

from __future__ import annotations

from pathlib import Path

import pytest

import interp_widgets as iw
from tests.panels.conftest import TEXT
from tests.panels.conftest import atoms as atoms
from tests.panels.conftest import explorer as explorer
from tests.panels.conftest import lens as lens
from tests.panels.conftest import patching as patching
from tests.panels.conftest import toy as toy
from tests.panels.conftest import toy_sae as toy_sae

pytestmark = pytest.mark.browser


@pytest.fixture
def offline(browser):
    """Opens a file in a browser without a network; fails on any request, error or warning."""
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("request", lambda r: faults.append(r.url) if not r.url.startswith(("file:", "blob:", "data:")) else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)

    def open_(path: Path):
        page.goto(path.as_uri())
        page.locator("[data-ready]").first.wait_for()
        return page

    yield open_
    context.close()
    assert faults == []


def test_lens_answers_hover_and_click_and_says_what_needs_a_kernel(lens, offline, tmp_path) -> None:
    page = offline(lens.to_html(tmp_path / "lens.html"))
    page.get_by_role("gridcell").last.hover()
    page.get_by_role("gridcell").last.click()
    top = page.get_by_role("list", name="Most likely tokens at the selected cell")
    top.get_by_role("button", name="mary").first.click()
    page.get_by_role("list", name="Pinned lines").get_by_text("mary").wait_for()
    assert page.get_by_role("button", name="Run").is_disabled()
    assert page.get_by_text("Needs a running kernel").first.is_visible()


def test_atoms_recolours_stored_atoms(atoms, offline, tmp_path) -> None:
    page = offline(atoms.to_html(tmp_path / "atoms.html"))
    token = page.get_by_role("option").nth(3)
    token.click()
    page.get_by_text("reconstruction error").first.wait_for()
    before = token.evaluate("e => getComputedStyle(e).backgroundColor")
    page.get_by_role("list", name="Active atoms, largest first").get_by_role("button").first.click()
    page.wait_for_function(
        "([e, b]) => getComputedStyle(e).backgroundColor !== b", arg=[token.element_handle(), before]
    )


def test_patching_shows_cells_and_sites(patching, offline, tmp_path) -> None:
    page = offline(patching.to_html(tmp_path / "patching.html"))
    page.get_by_role("gridcell").last.click()
    page.get_by_role("tab", name="MLP output").click()
    page.get_by_text("✓ identity").wait_for()


def test_the_parts_of_an_explorer_are_linked(explorer, offline, tmp_path) -> None:
    for view in ("atoms", "attention", "patching", "lens"):
        explorer.view = view
        assert len(explorer.frame)
    page = offline(explorer.to_html(tmp_path / "explorer.html"))
    page.get_by_role("gridcell").nth(6).click()
    for name in ("Atoms", "Attention", "Patching"):
        page.get_by_role("tab", name=name).click()
        page.locator(
            f"[data-part={name.lower()}] [role=option][aria-selected=true][data-position='6']"
        ).first.wait_for()
    page.get_by_role("listbox", name="Corrupt tokens").get_by_role("option").nth(9).click()
    page.get_by_role("tab", name="Lens").click()
    strip = page.get_by_role("listbox", name="Text tokens").first
    assert strip.locator("[aria-selected=true]").get_attribute("data-position") == "9"


def test_several_panels_share_a_page(lens, atoms, offline, tmp_path) -> None:
    path = iw.to_html(tmp_path / "both.html", lens, atoms, lens)
    page = offline(path)
    page.locator("section.iw").nth(2).wait_for()
    assert path.stat().st_size < 300_000


def test_a_panel_that_failed_is_still_a_page(toy, offline, tmp_path) -> None:
    panel = iw.Lens(toy, "the cat " * 100)
    with pytest.raises(iw.errors.TextError):
        panel.run()
    page = offline(panel.to_html(tmp_path / "failed.html"))
    page.get_by_text("reads at most 64").wait_for()


def test_an_empty_panel_is_a_page(toy, toy_sae, offline, tmp_path) -> None:
    page = offline(iw.to_html(tmp_path / "empty.html", iw.Lens(toy), iw.Atoms(toy, sae=toy_sae), iw.Patching(toy)))
    assert page.locator("section.iw").count() == 3


def test_a_chart_is_drawn_from_the_file(lens, offline, tmp_path) -> None:
    from interp_widgets.widgets.chart import ChartWidget

    page = offline(iw.to_html(tmp_path / "chart.html", ChartWidget(lens.chart)))
    page.locator("svg.marks").wait_for()


def test_titles_and_texts_are_escaped(toy, offline, tmp_path) -> None:
    lens = iw.Lens(toy, TEXT)
    lens.run()
    lens.model_name = "<script>window.harm = 1</script>"
    page = offline(lens.to_html(tmp_path / "harm.html"))
    assert page.evaluate("() => window.harm") is None
    assert "<script>" in page.title()
