"""The patching panel as a studio: other questions without new runs, both directions, history, one patch anywhere."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import methods
from interp_widgets.errors import TextError
from interp_widgets.panels.patching_history import KEPT
from tests.methods.conftest import IOI, IOI_CORRUPT

from .conftest import click

ASKED = {"clean": IOI, "corrupt": IOI_CORRUPT}


@pytest.fixture
def panel(toy) -> iw.Patching:
    made = iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary", foil="john")
    made.run()
    return made


def counted(model, monkeypatch) -> list[int]:
    calls: list[int] = []
    run = model.run
    monkeypatch.setattr(model, "run", lambda *a, **k: calls.append(1) or run(*a, **k))
    return calls


def settled(panel) -> dict:
    """The trait `patch`, once it is complete."""
    end = time.monotonic() + 10
    while panel.patch.get("pending") and time.monotonic() < end:
        time.sleep(0.01)
    return panel.patch


def test_another_answer_and_foil_are_measured_without_a_run(toy, panel, monkeypatch) -> None:
    calls = counted(toy, monkeypatch)
    click(panel, "run", **ASKED, answer="john", foil="tom")
    panel._job.wait(10)
    assert panel.status["state"] == "done", panel.error
    assert calls == []
    expected = methods.activation_patching(toy, **ASKED, answer="john", foil="tom", sites=list(panel.sites))
    key = ["site", "position"]
    both = panel.frame.sort(key), expected.sort(key)
    for name in ("metric", "effect", "recovery", "logit_difference", "probability"):
        assert (both[0][name] - both[1][name]).abs().max() < 1e-4
    assert both[0]["method"].to_list() == both[1]["method"].to_list()
    assert all(check["passed"] for check in panel.checks)
    assert "whole" in [check["name"] for check in panel.checks]
    logits = toy.read(IOI, ["logits"])["logits"][-1].double()
    clean = float(logits[toy.single_token("john")] - logits[toy.single_token("tom")])
    assert panel.baselines["clean"]["logit_difference"] == pytest.approx(clean, abs=1e-4)


def test_empty_answers_are_what_is_predicted_also_without_a_run(toy, panel, monkeypatch) -> None:
    calls = counted(toy, monkeypatch)
    click(panel, "run", **ASKED, answer="", foil="tom")
    panel._job.wait(10)
    assert calls == []
    assert (panel.answer, panel.foil) == ("mary", "tom")


def test_an_answer_that_is_the_foil_is_a_sentence_and_costs_nothing(panel) -> None:
    before = panel.frame
    click(panel, "run", **ASKED, answer="mary", foil="mary")
    panel._job.wait(10)
    assert "two different tokens" in panel.error
    assert panel.frame.equals(before)
    assert len(panel.history) == 1


def test_the_same_question_is_asked_anew(toy, panel, monkeypatch) -> None:
    calls = counted(toy, monkeypatch)
    panel.run()
    assert len(calls) > 3
    assert len(panel.history) == 1


def test_a_stopped_sweep_goes_on_where_it_stopped(toy, panel, monkeypatch) -> None:
    run = panel._run
    run.cells.logit_difference[3:, 12] = np.nan
    run.cells.normed[3:, 12] = np.nan
    calls = counted(toy, monkeypatch)
    click(panel, "run", **ASKED, answer="mary", foil="tom")
    panel._job.wait(10)
    assert panel.status["state"] == "done", panel.error
    assert len(calls) > 0
    assert panel._run.done[:, panel._run.patchable].all()
    expected = methods.activation_patching(toy, **ASKED, answer="mary", foil="tom", sites=list(panel.sites))
    key = ["site", "position"]
    assert (panel.frame.sort(key)["metric"] - expected.sort(key)["metric"]).abs().max() < 1e-4


def test_the_other_direction(toy, panel, tmp_path) -> None:
    click(panel, "turn", direction="noise")
    panel._job.wait(20)
    assert panel.status["state"] == "done", panel.error
    assert panel.direction == "noise"
    expected = methods.activation_patching(
        toy, **ASKED, answer="mary", foil="john", sites=list(panel.sites), direction="noise"
    )
    key = ["site", "position"]
    assert (panel.frame.sort(key)["effect"] - expected.sort(key)["effect"]).abs().max() < 1e-6
    assert panel.frame["effect"].min() < -1, "noise takes the answer away"
    from .test_contract import run_code

    run_code(panel, tmp_path)
    panel.select(position=14, site="resid_post", layer=3)
    first = panel.predictions.filter(rank=1)
    assert dict(zip(first["run"], first["token"], strict=True)) == {
        "clean": "mary",
        "corrupt": "john",
        "resid_post.3@14": "john",
    }


def test_pairing_by_hand_in_the_other_direction(toy) -> None:
    panel = iw.Patching(toy, "the keys to the cabinet", "the key to the big cabinet", "are", "is", direction="noise")
    panel.run()
    assert [5, 6] in panel.alignment, "pairs are clean and corrupt, whichever is patched"
    click(panel, "align", clean=5, corrupt=5)
    panel._job.wait(20)
    assert [5, 5] in panel.alignment
    assert panel.frame.filter(position=5)["source_position"].unique().to_list() == [5]


def test_undo_redo_and_names_restore_without_computing(toy, panel, monkeypatch) -> None:
    first = panel.frame
    click(
        panel,
        "run",
        clean=IOI.replace("mary", "anna"),
        corrupt=IOI_CORRUPT.replace("mary", "anna"),
        answer="anna",
        foil="john",
    )
    panel._job.wait(20)
    click(panel, "turn", direction="noise")
    panel._job.wait(20)
    third = panel.frame
    assert panel.history == ["mary or john", "anna or john", "anna or john, noise"]
    assert panel.history_at == 2
    calls = counted(toy, monkeypatch)
    click(panel, "undo")
    assert (panel.history_at, panel.direction) == (1, "denoise")
    click(panel, "undo")
    assert (panel.clean, panel.corrupt, panel.answer) == (IOI, IOI_CORRUPT, "mary")
    assert panel.frame.equals(first)
    click(panel, "rename", name="  the textbook  ")
    assert panel.history[0] == "the textbook"
    click(panel, "undo")
    assert "no result further back; 3 are kept" in panel.error
    click(panel, "redo")
    click(panel, "redo")
    assert panel.frame.equals(third)
    assert panel.error == ""
    panel.recall(0)
    assert panel.frame.equals(first)
    assert calls == []
    with pytest.raises(TextError, match="further on"):
        panel.recall(7)


def test_the_history_is_bounded(panel, toy) -> None:
    foils = ["tom", "anna", "sara", "paul", "john", "the", "a", "to", "and", "store", "drink", "gave", "went", "when"]
    known = [foil for foil in foils if toy._is_one_token(foil)]
    for foil in [*known, *known]:
        click(panel, "run", **ASKED, answer="mary", foil=foil)
        panel._job.wait(10)
    assert len(panel.history) == KEPT
    assert panel.history_at == KEPT - 1


def test_a_kept_result_keeps_no_activations(toy, monkeypatch) -> None:
    """Also one that was stopped before its sweep began."""
    module = __import__("importlib").import_module("interp_widgets.methods.attribution_patching")
    panel = iw.Patching(toy)
    monkeypatch.setattr(module, "estimate", lambda model, run: click(panel, "cancel"))
    click(panel, "run", **ASKED, answer="mary", foil="john")
    panel._job.wait(10)
    assert panel.status["state"] == "cancelled"
    assert [entry.run.reading for entry in panel._history.entries] == [None]
    monkeypatch.undo()
    panel.run()
    assert panel.frame.filter(method="exact").height == 3 * 4 * 5
    assert [entry.run.reading for entry in panel._history.entries] == [None]


def test_a_failure_gives_back_a_question_that_was_asked_twice(toy, panel, monkeypatch) -> None:
    """Entries are told apart by what they are: those of one question have one name."""
    click(panel, "turn", direction="noise")
    panel._job.wait(20)
    click(panel, "turn", direction="denoise")
    panel._job.wait(20)
    assert panel.history == ["mary or john", "mary or john, noise", "mary or john"]
    before = panel.frame
    run, calls = toy.run, []

    def fail(*arguments, **options):
        calls.append(1)
        if len(calls) > 4:
            raise RuntimeError("boom")
        return run(*arguments, **options)

    monkeypatch.setattr(toy, "run", fail)
    click(panel, "run", **ASKED, answer="mary", foil="john")
    panel._job.wait(10)
    assert "boom" in panel.error
    assert panel.frame.equals(before)
    assert (len(panel.history), panel.history_at) == (3, 2)


def test_one_message_of_the_browser_is_one_request(panel, monkeypatch) -> None:
    started: list[int] = []
    aside = panel._aside
    monkeypatch.setattr(panel, "_aside", lambda work: started.append(1) or aside(work))
    panel.set_state({"cell": ["resid_post", 1, 12], "origin": ["resid_post", 0, 11], "frozen": [13], "positions": [12]})
    assert settled(panel)["place"]["frozen"] == [13]
    assert started == [1]


def test_a_failed_run_leaves_no_entry(toy, panel, monkeypatch) -> None:
    before = panel.frame
    monkeypatch.setattr(toy, "run", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("boom")))
    click(panel, "turn", direction="noise")
    panel._job.wait(10)
    assert "boom" in panel.error
    assert (panel.history, panel.direction) == (["mary or john"], "denoise")
    monkeypatch.undo()
    assert panel._job.wait(1)
    assert methods.activation_patching(toy, **ASKED, answer="mary", foil="john", sites=list(panel.sites)).equals(before)


def test_a_selected_cell_says_how_it_goes_on(toy, panel) -> None:
    panel.select(position=14, site="resid_post", layer=2)
    found = settled(panel)
    assert "effect" not in found, "the grid has it"
    expected = methods.continuations(toy, **ASKED, source=("resid_post.2", 14), tokens=8)
    for name in ("clean", "corrupt", "patched"):
        assert [step["token_id"] for step in found["said"][name]] == expected.filter(run=name)["token_id"].to_list()
    assert found["said"]["patched"][0]["token"] == "mary"
    panel.select()
    assert panel.patch == {}


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_cell_is_put_elsewhere_past_frozen_positions(toy, panel, direction: str) -> None:
    if direction == "noise":
        click(panel, "turn", direction="noise")
        panel._job.wait(20)
    panel.frozen = [12]
    panel.origin = ["resid_post", 1, 11]
    panel.select(position=13, site="resid_post", layer=0)
    panel.origin = ["resid_post", 1, 11]
    found = settled(panel)
    expected = methods.single_patch(
        toy, **ASKED, answer="mary", foil="john", source=("resid_post.1", 11), target=("resid_post.0", 13), frozen=[12],
        direction=direction,
    )  # fmt: skip
    assert found["place"] == {"cell": ["resid_post", 0, 13], "origin": ["resid_post", 1, 11], "frozen": [12]}
    assert found["effect"]["logit_difference"] == pytest.approx(expected["effect"][0], abs=1e-5)
    assert found["effect"]["recovery"] == pytest.approx(expected["recovery"][0], abs=1e-5)
    assert found["top"][0]["probability"] > 0
    said = methods.continuations(
        toy,
        **ASKED,
        source=("resid_post.1", 11),
        target=("resid_post.0", 13),
        frozen=[12],
        tokens=8,
        direction=direction,
    ).filter(run="patched")
    assert [step["token_id"] for step in found["said"]["patched"]] == said["token_id"].to_list()


def test_a_cell_whose_run_fails_says_so_and_waits_for_nothing(toy, panel, monkeypatch) -> None:
    module = __import__("importlib").import_module("interp_widgets.methods.single_patch")

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(module, "say_next", fail)
    panel.select(position=14, site="resid_post", layer=2)
    assert settled(panel)["failed"]
    panel._beside[""].wait(5)
    assert "not enough memory" in panel.error
    assert panel.status["state"] == "done", "the grid is as it was"
    monkeypatch.undo()
    panel.select(position=13, site="resid_post", layer=2)
    assert settled(panel)["said"]["clean"]


def test_a_cell_with_no_partner_has_no_run(toy) -> None:
    panel = iw.Patching(toy, "the keys to the cabinet", "the key to the big cabinet", "are", "is")
    panel.run()
    panel.select(position=5, site="resid_post", layer=1)
    assert settled(panel) == {}
    assert panel.error == ""


def test_the_sweep_goes_on_while_a_cell_is_asked_for(toy, panel) -> None:
    with toy._lock:
        click(panel, "turn", direction="noise")
        panel.cell = ["resid_post", 1, 12]
        panel.positions = [12]
    panel._job.wait(20)
    assert panel.status["state"] == "done"


@pytest.mark.parametrize(
    ("clean", "corrupt", "answer", "foil", "said"),
    [
        (IOI, IOI_CORRUPT, "mary", "mary", "two different tokens"),
        (IOI, IOI_CORRUPT, "mary john", "mary", "exactly one token"),
        ("", IOI_CORRUPT, "mary", "john", "text is empty"),
    ],
)
def test_bad_questions_get_a_sentence(toy, clean, corrupt, answer, foil, said) -> None:
    panel = iw.Patching(toy)
    click(panel, "run", clean=clean, corrupt=corrupt, answer=answer, foil=foil)
    panel._job.wait(10)
    assert said in panel.error
    click(panel, "run", clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john")
    panel._job.wait(20)
    assert panel.status["state"] == "done"


def test_prompts_that_do_not_differ_in_the_metric_are_said(toy) -> None:
    panel = iw.Patching(toy, IOI, IOI, "mary", "john", sites=("resid_post",))
    panel.run()
    assert panel.frame["recovery"].is_null().all()
    other = iw.Patching(toy, IOI, IOI_CORRUPT, "cabinet", "keys", sites=("resid_post",))
    other.run()
    gap = abs(other.baselines["clean"]["logit_difference"] - other.baselines["corrupt"]["logit_difference"])
    assert any(f"differ by only {gap:.2g}" in note for note in other.notes) == (gap < 0.5)


def test_a_gap_of_nothing_makes_recovery_undefined(toy, monkeypatch) -> None:
    monkeypatch.setitem(
        __import__("importlib").import_module("interp_widgets.methods.patching_run").UNDEFINED, "logit_difference", 1e9
    )
    panel = iw.Patching(toy, IOI, IOI_CORRUPT, "mary", "john", sites=("resid_post",))
    panel.run()
    assert any("recovery, which divides by their difference, is undefined" in note for note in panel.notes)
    assert panel.frame["recovery"].is_null().all()
    assert panel.frame["effect"].abs().max() > 1


def test_prompts_of_one_token_and_of_other_lengths(toy) -> None:
    one = iw.Patching(toy, "the", "a", "keys", "key", sites=("resid_post", "attn_out"))
    one.run()
    assert one.status["state"] == "done", one.error
    last = one.frame.filter(pl.col("site") == f"resid_post.{toy.num_layers - 1}").tail(1)
    assert last["recovery"][0] == pytest.approx(1, abs=1e-3)
    longer = iw.Patching(toy, "the keys", "the keys to the cabinet", "are", "is", sites=("resid_post",))
    longer.run()
    assert longer.status["state"] == "done", longer.error
    assert longer.alignment_note
