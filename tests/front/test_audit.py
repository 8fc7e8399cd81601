"""The Audit panel in a browser."""

from __future__ import annotations

import pytest

from interp_widgets.widgets.front import FRONT
from tests.front import states
from tests.front.pages import arrive, settle

pytestmark = pytest.mark.browser


def row(page, name: str):
    return page.locator(f'.iw-audit tr[data-quantity="{name}"]')


def cells(page, name: str) -> list[str]:
    return row(page, name).locator("td").all_text_contents()


def get(page, name: str):
    return page.evaluate("(name) => model.get(name)", name)


def test_the_text_stands_beside_all_texts_and_the_baselines_beside_the_dictionary(show_live):
    page = show_live(states.audit())
    heads = page.locator(".iw-audit thead th").all_text_contents()
    assert heads == ["quantity", "this text", "all texts", "dictionary", "dictionary", "PCA", "random", "coordinates"]
    assert cells(page, "explained_variance")[:3] == ["88.0%", "90.0%88.0 to 92.0%", "80.0%78.0 to 82.0%"]
    assert cells(page, "loss")[1] == "0.8500.830 to 0.870"
    assert cells(page, "active")[:2] == ["0.8", "0.8"], "both ends are written alike, so the interval says nothing"
    assert cells(page, "error_share")[:2] == ["73.0%", "–"]
    assert cells(page, "density_low")[1] == "70%"
    page.get_by_role("combobox", name="texts").select_option("this text")
    settle(page)
    assert get(page, "source") == "this text"
    assert cells(page, "explained_variance") == ["88.0%", "78.0%", "68.0%", "58.0%"]
    page.get_by_role("combobox", name="dictionary").select_option("1")
    settle(page)
    assert get(page, "dictionary") == 1
    assert cells(page, "loss")[0] == "0.829"
    assert "dictionary 1 (resid_post.1, 97 atoms)" in page.locator(".iw-about").text_content()


def test_a_row_says_what_it_means_and_all_its_numbers(show_live):
    page = show_live(states.audit())
    assert page.get_by_role("heading", name="explained variance").is_visible()
    row(page, "loss").hover()
    said = page.locator(".iw-readout").text_content()
    assert said.startswith("definition of loss. On all texts, n = 4000: dictionary 0.850 [0.830 to 0.870] · PCA 0.750")
    assert said.endswith(
        "model as it is 0.450 [0.430 to 0.470] · mean 0.350 [0.330 to 0.370] · zeros 0.250 [0.230 to 0.270]"
    )
    row(page, "loss").locator("td").first.click()
    settle(page)
    assert get(page, "quantity") == "loss"
    button = row(page, "error_share").get_by_role("button")
    assert button.get_attribute("title") == "definition of error_share"
    button.focus()
    assert "Not measured on all texts." in page.locator(".iw-readout").text_content()
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "quantity") == "error_share"
    assert row(page, "error_share").get_by_role("button").get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.quantity") == "error_share"


def test_a_column_lists_its_atoms_and_an_atom_is_asked_for(show_live):
    page = show_live(states.audit())
    bins = page.get_by_role("listbox", name="Atoms by the share").get_by_role("option")
    assert bins.count() == 21
    assert bins.nth(0).get_attribute("aria-label") == "7 atoms never fire"
    assert bins.nth(20).get_attribute("aria-label") == "12 atoms fire at 56% to 100% of the tokens"
    bins.nth(20).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "bin") == 19
    arrive(page, listed=[40, 41])
    assert "11 atoms fire at 32% to 56% of the tokens, the 2 that fire most:" in page.locator(".iw-side").text_content()
    page.get_by_role("button", name="#41").click()
    page.get_by_label("Atom", exact=True).fill("12")
    page.get_by_role("button", name="Measure").click()
    page.get_by_label("Atom", exact=True).fill("13")
    page.keyboard.press("Enter")
    assert page.evaluate("model.sent") == [{"type": "effect", "atom": atom} for atom in (41, 12, 13)]
    arrive(page, bin=0, listed=[1])
    assert page.get_by_role("button", name="#1").is_disabled()


def test_the_effect_of_an_atom_context_by_context(show_live):
    page = show_live(states.audit())
    dots = page.get_by_role("listbox", name="Effect in each context").get_by_role("option", disabled=False)
    assert dots.count() == 4
    assert dots.nth(1).get_attribute("aria-label") == "context 1: −0.50"
    assert page.locator(".iw-dot-wrong").first.get_attribute("aria-label").startswith("random direction: ")
    dots.nth(0).focus()
    page.keyboard.press("ArrowRight")
    assert '−0.50 after "context <img' in page.locator(".iw-audit-context").text_content()
    page.keyboard.press("Enter")
    settle(page)
    assert get(page, "context") == 1
    table = page.get_by_role("table").last.locator("tbody tr").all_text_contents()
    assert table == ["atom+1.501.525.0% 5.0 to 70.0%", "random 0+0.10–50.0% 15.0 to 85.0%"]
    assert page.evaluate("window.pwned") is None


def test_the_curve_is_described_in_words(show_live):
    page = show_live(states.audit())
    label = page.get_by_role("img", name="Share of the answer").get_attribute("aria-label")
    assert "with errors: 40% at atoms kept, each at its own position 0, 100% at" in label
    assert "Error share 20.6%." in page.locator(".iw-caption").text_content()


def test_without_a_text_there_is_no_column_for_it(show_live):
    page = show_live(states.audit(text=False, dictionaries=1))
    assert page.locator(".iw-audit thead th").all_text_contents()[1] == "all texts"
    assert row(page, "error_share").count() == 0
    assert page.get_by_text("What the atoms carry").is_hidden()
    assert page.get_by_role("combobox", name="dictionary").is_hidden()


def test_states(show_live):
    idle = {"state": "idle", "message": "", "done": 0, "total": 0, "seconds": 0}
    page = show_live(states.audit(dictionaries=0, curves=[], spread={}, atom=-1, status=idle))
    assert page.get_by_text("Nothing is measured yet").is_visible()
    page.get_by_role("textbox", name="This text").fill("a dog")
    page.get_by_role("button", name="Run").click()
    assert page.evaluate("model.sent") == [{"type": "run", "text": "a dog"}]
    page = show_live(states.audit(spread={}, atom=-1))
    assert page.get_by_role("listbox", name="Effect in each context").is_hidden()
    arrive(page, source="gone", quantity="gone", dictionary=7, bin=99)
    assert page.locator(".iw-audit").is_visible()


def test_without_a_kernel(show_saved):
    page = show_saved(states.audit(bin=18, listed=[3]))
    assert page.get_by_role("button", name="Measure").is_disabled()
    assert page.get_by_role("button", name="#3").is_disabled()
    page.get_by_role("combobox", name="texts").select_option("this text")
    settle(page)
    assert cells(page, "explained_variance")[0] == "88.0%"


@pytest.mark.parametrize("theme", ["", "dark"])
def test_it_fits_a_narrow_page_in_both_themes(show_live, theme: str):
    page = show_live(states.audit(), theme=theme, width=600)
    assert page.evaluate("document.documentElement.scrollWidth") <= 600


def test_its_files_are_small() -> None:
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 270 for path in FRONT.glob("audit*.js"))


def test_an_atom_says_what_becomes_of_it_in_a_wider_dictionary(show_live):
    page = show_live(states.audit())
    said = page.locator(".iw-audit-split")
    assert said.text_content() == (
        "In dictionary w: #31 (cosine 0.83, fires on 92.0% of its tokens), #7 (cosine 0.4). Together they explain 87.5% of the "
        "variance of its activation. On 40 tokens where it fires."
    )
    narrow = states.audit().spread
    narrow.pop("split")
    arrive(page, spread=narrow)
    assert said.text_content() == ""
