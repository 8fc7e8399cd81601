"""The explorer: the panels on one text with one selection, and nothing computed before it is opened."""

from __future__ import annotations

import time
from importlib import import_module

import ipywidgets
import pytest

import interp_widgets as iw
from interp_widgets import methods
from interp_widgets.panels import interrupt
from tests.methods.conftest import IOI, IOI_CORRUPT

from .conftest import TEXT, click


def states(explorer) -> dict[str, str]:
    return {name: part.status["state"] for name, part in explorer.parts.items()}


def selections(explorer) -> dict[str, list[int]]:
    return {name: part.positions for name, part in explorer.parts.items()}


def current(explorer) -> set[str]:
    return {name for name, part in explorer.parts.items() if explorer._is_current(part)}


def wait(explorer) -> None:
    for part in explorer.parts.values():
        if part._job is not None:
            assert part._job.wait(60)


def test_what_is_hidden_costs_nothing_until_it_is_opened(explorer) -> None:
    assert states(explorer) == {"lens": "done", "atoms": "idle", "attention": "idle", "patching": "idle"}
    explorer.view = "atoms"
    explorer.beside = "patching"
    wait(explorer)
    assert states(explorer) == {"lens": "done", "atoms": "done", "attention": "idle", "patching": "done"}
    job = explorer.lens._job
    explorer.view = "lens"
    assert explorer.lens._job is job, "what is there is not computed again"


def test_the_forms_are_those_of_the_part_that_is_shown(explorer, toy, toy_sae) -> None:
    assert explorer.frame.equals(methods.logit_lens(toy, IOI, track="mary"))
    assert explorer.code() == explorer.lens.code()
    explorer.view = "atoms"
    assert explorer.frame.equals(methods.atom_activations(toy, IOI, sae=toy_sae))
    assert explorer.provenance["sae"] == "toy-grammar/resid_post.2"
    assert explorer.chart.to_dict()["mark"]["type"] == "bar" or explorer.chart.to_dict().get("layer")
    explorer.view = "patching"
    expected = methods.activation_patching(
        toy, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=["resid_post", "attn_out", "mlp_out"]
    )
    assert explorer.frame.equals(expected)
    explorer.view = "attention"
    assert explorer.frame.equals(explorer.attention.frame)


def test_run_computes_what_is_shown_and_gives_the_same_again(explorer) -> None:
    explorer.beside = "attention"
    explorer.run()
    before = explorer.frame
    assert states(explorer) == {"lens": "done", "atoms": "idle", "attention": "done", "patching": "idle"}
    explorer.run()
    assert explorer.frame.equals(before)


def test_a_selection_in_one_part_is_a_selection_in_all(explorer) -> None:
    for view in ("atoms", "attention", "patching"):
        explorer.view = view
    wait(explorer)
    explorer.lens.select(position=5, layer=2)
    assert explorer.positions == [5]
    assert set(map(tuple, selections(explorer).values())) == {(5,)}
    explorer.attention.set_state({"positions": [7]})  # as the browser does
    assert set(map(tuple, selections(explorer).values())) == {(7,)}
    assert explorer.lens.cell == [], "a cell of another position is no longer selected"
    explorer.select(position=(2, 4))
    assert set(map(tuple, selections(explorer).values())) == {(2, 3, 4)}
    assert explorer.selection["position"].unique().sort().to_list() == [2, 3, 4]
    explorer.select()
    assert set(map(tuple, selections(explorer).values())) == {()}
    explorer.view = "lens"
    explorer.select(position=3, layer=1)
    assert explorer.lens.cell == [1, 3]
    assert explorer.atoms.positions == [3]
    with pytest.raises(iw.errors.TextError, match="positions 0 to 14"):
        explorer.select(position=15)


def test_what_is_opened_later_gets_the_selection(explorer) -> None:
    explorer.select(position=6)
    explorer.view = "atoms"
    wait(explorer)
    assert explorer.atoms.positions == [6]
    assert explorer.positions == [6]


def test_patching_is_linked_through_its_pairs(toy) -> None:
    longer = IOI_CORRUPT.replace("store", "big store")
    explorer = iw.Explorer(toy, IOI, corrupt=longer, answer="mary", foil="john", view="patching")
    explorer.run()
    at = explorer.patching.corrupt_tokens.index("big")
    explorer.select(position=at + 2)
    assert explorer.patching.positions == [at + 3]
    explorer.patching.select(position=2)
    assert explorer.positions == [2]
    explorer.patching.select(position=at)  # no token of the text goes with it
    assert (explorer.positions, explorer.patching.positions) == ([], [at])
    explorer.select(position=at + 1)
    assert explorer.patching.positions == [at + 2]
    click(explorer.patching, "turn", direction="noise")  # now the columns are the text itself
    wait(explorer)
    assert explorer.patching.direction == "noise"
    assert explorer.patching.positions == explorer.positions


def test_links_of_the_selection_outside_do_not_echo(explorer) -> None:
    seen = []
    other = ipywidgets.IntText()
    explorer.observe(lambda change: seen.append(change.new), "positions")
    ipywidgets.dlink((explorer, "positions"), (other, "value"), transform=len)
    explorer.lens.set_state({"positions": [3, 4]})
    assert seen == [[3, 4]]
    assert other.value == 2


def test_a_new_text_makes_every_part_wait_for_its_turn(explorer) -> None:
    explorer.view = "atoms"
    wait(explorer)
    explorer.select(position=3)
    click(explorer, "run", text=TEXT)
    assert (
        explorer.text
        == explorer.lens.text
        == explorer.atoms.text
        == explorer.attention.text
        == explorer.patching.clean
        == TEXT
    )
    assert explorer.positions == []
    wait(explorer)
    assert current(explorer) == {"atoms"}, "only what is shown was computed"
    explorer.view = "lens"
    wait(explorer)
    assert current(explorer) == {"atoms", "lens"}
    assert len(explorer.tokens) == len(explorer.lens.tokens)


def test_masked_positions_are_marked_in_the_strip(explorer) -> None:
    assert explorer.masked == explorer.lens.masked == [0]
    click(explorer, "run", text=TEXT)
    wait(explorer)
    assert explorer.masked == [0]


def test_a_selection_made_while_a_part_computes_stays(explorer, toy) -> None:
    with toy._lock:  # the model is busy elsewhere
        click(explorer, "run", text=TEXT)
        assert explorer.lens.tokens != explorer.tokens
        explorer.set_state({"positions": [4]})
    wait(explorer)
    assert explorer.positions == explorer.lens.positions == [4]


def test_a_result_of_another_text_is_not_given_out(explorer) -> None:
    click(explorer, "run", text="the cat sleeps")
    wait(explorer)
    explorer.attention.cancel()
    explorer.view = "patching"
    with pytest.raises(iw.errors.InterpError, match="Patching has no result on this text"):
        _ = explorer.frame


def test_a_text_that_a_part_was_given_is_the_text_of_all(explorer) -> None:
    explorer.view = "atoms"
    wait(explorer)
    click(explorer.lens, "run", text=TEXT)  # the same lens, shown in another cell
    assert explorer.text == explorer.atoms.text == TEXT
    wait(explorer)
    assert current(explorer) == {"lens", "atoms"}


def test_going_back_in_patching_goes_back_to_its_text(explorer) -> None:
    explorer.view = "patching"
    wait(explorer)
    click(explorer, "run", text=TEXT)
    click(explorer.patching, "run", clean=TEXT, corrupt=TEXT.replace("keys", "key"), answer="are", foil="is")
    wait(explorer)
    assert "patching" in current(explorer)
    explorer.patching.undo()
    assert explorer.text == IOI
    assert {"patching", "lens"} <= current(explorer), "the lens has its result of that text still"


def test_a_new_text_does_not_run_with_the_corrupt_prompt_of_the_old_one(explorer) -> None:
    explorer.view = "patching"
    wait(explorer)
    job = explorer.patching._job
    click(explorer, "run", text=TEXT)
    assert explorer.patching._job is job
    click(explorer, "run", text=IOI)
    assert explorer.patching._job is not job, "the pair belongs together again"
    wait(explorer)


def test_a_bad_text_is_told_and_costs_nothing(explorer) -> None:
    before = explorer.frame
    click(explorer, "run", text="the cat " * 100)
    assert "reads at most 64" in explorer.error
    assert explorer.text == IOI
    assert explorer.frame.equals(before)
    explorer.text = ""
    with pytest.raises(iw.errors.TextError, match="empty"):
        explorer.run()
    assert "empty" in explorer.error


def test_a_bad_text_at_the_beginning_is_told(toy) -> None:
    explorer = iw.Explorer(toy, "the cat " * 100)
    assert "reads at most 64" in explorer.error
    with pytest.raises(iw.errors.InterpError, match="reads at most 64"):
        _ = explorer.frame


def test_without_a_text_nothing_runs(toy, toy_sae) -> None:
    explorer = iw.Explorer(toy, sae=toy_sae)
    for view in ("lens", "atoms", "attention", "patching"):
        explorer.view = view
    assert set(states(explorer).values()) == {"idle"}
    with pytest.raises(iw.errors.InterpError, match="no result on this text"):
        _ = explorer.frame
    with pytest.raises(iw.errors.TextError, match="empty"):
        explorer.run()


def test_without_a_dictionary_it_says_how_to_give_one(toy) -> None:
    explorer = iw.Explorer(toy, IOI, view="atoms")
    assert explorer.atoms is None
    assert list(explorer.parts) == ["lens", "attention", "patching"]
    with pytest.raises(iw.errors.DictionaryError, match="sae="):
        _ = explorer.frame
    with pytest.raises(iw.errors.DictionaryError, match="sae="):
        explorer.run()


def test_a_dictionary_that_does_not_fit_is_refused(toy) -> None:
    with pytest.raises(iw.errors.InterpError):
        iw.Explorer(toy, IOI, sae=iw.load_sae("smollm2-135m/15-resid-4096"))


def test_the_status_is_that_of_all_and_cancel_stops_all(explorer, toy) -> None:
    with toy._lock:
        explorer.beside = "attention"
        explorer.view = "atoms"
        explorer.view = "lens"  # the atoms go on, hidden
        assert explorer.status["state"] == "running"
        assert explorer.status["message"].startswith("Attention: "), "what is shown comes first"
        click(explorer, "cancel")
    wait(explorer)
    assert states(explorer) == {"lens": "done", "atoms": "cancelled", "attention": "cancelled", "patching": "idle"}
    assert explorer.status["state"] == "done", "the lens is shown, and is done"
    explorer.view = "atoms"
    assert explorer.status["state"] == "cancelled", "what was stopped does not start by itself"
    explorer.run()
    assert explorer.status["state"] == "done"


def test_the_stop_button_reaches_every_part(explorer, toy) -> None:
    with toy._lock:
        explorer.beside = "attention"
        interrupt._stop(2, None)
        assert explorer.status["state"] != "running"
    wait(explorer)
    assert "interrupted" in explorer.attention.error


def test_a_part_that_fails_says_so_and_the_others_go_on(explorer, monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(import_module("interp_widgets.methods.atom_activations"), "run_atoms", fail)
    explorer.view = "atoms"
    wait(explorer)
    assert "not enough memory" in explorer.atoms.error
    assert explorer.status["state"] == "error"
    with pytest.raises(iw.errors.InterpError, match="not enough memory"):
        _ = explorer.frame
    explorer.view = "lens"
    assert len(explorer.frame)


def test_parts_are_panels_that_can_be_gone_on_with(explorer, toy) -> None:
    explorer.attention.run()
    assert explorer.attention.heads.equals(methods.head_scores(toy, IOI))
    explorer.lens.color = "entropy"
    assert isinstance(explorer.patching, iw.Patching)


def test_creation_returns_at_once(toy, toy_sae) -> None:
    iw.Explorer(toy, sae=toy_sae)  # what is made once for all
    with toy._lock:
        began = time.monotonic()
        explorer = iw.Explorer(toy, TEXT, sae=toy_sae)
        assert time.monotonic() - began < 1
        assert explorer.status["state"] == "running"
    assert len(explorer.frame)


def test_a_page_holds_every_part_and_each_module_once(explorer, tmp_path) -> None:
    text = explorer.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('data-iw-module="') == 5 + 1  # explorer and four parts, and the host that looks for them
    assert text.count("<style data-iw-style") == 1
    assert len(text.encode()) < 600_000
    assert "http://" not in text.replace("http://www.w3.org", "")
