"""Nodes of a circuit panel switched: after any prompt, over all of them, stopped, recorded and opened again."""

from __future__ import annotations

import runpy

import pytest

import interp_widgets as iw
from interp_widgets import methods
from interp_widgets.errors import TextError
from interp_widgets.panels.circuit_question import Question

from .conftest import CIRCUIT_FEW, click, on_in_clean, rest

FEW = CIRCUIT_FEW[1:3]


@pytest.fixture(scope="module")
def switching(toy, several) -> iw.Circuit:
    """Of eight pairs, with two dictionaries for speed."""
    made = iw.Circuit(toy, **several, dictionaries=FEW, errors=("nodes",), edges=5)
    made.run()
    return made


@pytest.fixture
def plain(switching):
    """The same, with nothing switched."""
    yield switching
    switching.set_trait("switches", {})
    switching.set_trait("prompt", "clean 0")


def test_any_prompt_is_predicted_after(toy, several, plain) -> None:
    node = on_in_clean(plain)
    assert plain.prompt_texts == {
        f"{side} {row}": text for side in ("clean", "corrupt") for row, text in enumerate(several[side])
    }
    for name in ("clean 3", "corrupt 2"):
        side, row = name.split()
        found = plain.switch(node, 0, prompt=name)
        expected = methods.circuit_prediction(
            toy, text=several[side][int(row)], scales={node: 0.0}, dictionaries=FEW,
            answer=several["answer"][int(row)], foil=several["foil"][int(row)], top=8,
        )  # fmt: skip
        assert found.equals(expected)
        assert (plain.prediction["of"], plain.prediction["prompt"]) == ({node: 0.0}, name)
        assert plain.prompt == name
    assert plain.predictions.equals(found)
    plain.set_state({"prompt": "clean 5"})  # as the browser does
    rest(plain)
    assert plain.prediction["prompt"] == "clean 5"
    assert plain.prediction["metric"]["after"] == pytest.approx(plain.changes["changed_metric"][5], abs=1e-4)
    with pytest.raises(TextError, match="no prompt 'clean 8'; they are called clean 0 to clean 7 and corrupt 0 to"):
        plain.switch(node, 0, prompt="clean 8")
    assert plain.prompt == "clean 5"
    plain.set_state({"prompt": "elsewhere 1"})
    rest(plain)
    assert "no prompt 'elsewhere 1'" in plain.prediction["failed"]


def test_the_mean_change_is_over_all_clean_prompts(toy, several, plain) -> None:
    node = on_in_clean(plain)
    assert plain.mean_change == {}
    plain.set_state({"switches": {node: 0.5}})
    rest(plain)
    expected = methods.circuit_change(toy, **several, scales={node: 0.5}, dictionaries=FEW)
    assert plain.changes.equals(expected)
    row = methods.change_summary(expected).row(0, named=True)
    said = plain.mean_change
    assert (said["of"], said["total"], said["prompts"], said["pending"]) == ({node: 0.5}, 8, 8, False)
    assert [said[name] for name in ("before", "after", "change", "low", "high")] == [
        row[name] for name in ("metric", "changed_metric", "change", "low", "high")
    ]
    assert said["low"] < said["change"] < said["high"]
    before = said
    plain.set_state({"prompt": "clean 1"})
    rest(plain)
    assert plain.mean_change == before, "another prompt changes nothing of the mean"
    plain.set_state({"switches": {}})
    rest(plain)
    assert plain.mean_change == {}
    assert plain.changes["change"].to_list() == [0.0] * 8


def test_the_mean_change_is_stopped_and_measured_after_all(toy, plain, monkeypatch) -> None:
    prediction = __import__("importlib").import_module("interp_widgets.methods.circuits.prediction")
    monkeypatch.setattr(prediction, "TOKENS_AT_ONCE", 1)  # a prompt at a time
    monkeypatch.setattr("interp_widgets.panels.jobs.QUIET", -1.0)
    measure = prediction._metrics

    def third(*arguments):
        if len(done) == 2:
            click(plain, "stop")
        done.append(1)
        return measure(*arguments)

    done: list[int] = []
    monkeypatch.setattr(prediction, "_metrics", third)
    node = on_in_clean(plain)
    plain.set_state({"switches": {node: 0.25}})
    rest(plain)
    said = plain.mean_change
    assert (len(done), said["prompts"], said["total"], said["pending"], said["failed"]) == (3, 2, 8, False, "")
    expected = methods.change_summary(methods.circuit_change(
        toy, clean=plain._question.clean[:2], answer=plain._question.answer[:2], foil=plain._question.foil[:2],
        scales={node: 0.25}, dictionaries=FEW,
    )).row(0, named=True)  # fmt: skip
    assert said["change"] == pytest.approx(expected["change"], abs=1e-4)
    assert plain.prediction["of"] == {node: 0.25}, "only the mean was stopped"
    monkeypatch.undo()
    click(plain, "measure")
    rest(plain)
    assert plain.mean_change["prompts"] == 8
    monkeypatch.setattr(prediction, "_metrics", lambda *arguments: plain.cancel() or measure(*arguments))
    monkeypatch.setattr(prediction, "TOKENS_AT_ONCE", 1)
    plain.set_state({"switches": {node: 0.75}})
    rest(plain)
    assert (plain.mean_change["pending"], plain.mean_change["prompts"]) == (False, 0)
    monkeypatch.undo()
    assert plain.changes.height == 8, "it is computed when it is asked for"
    assert plain.mean_change["prompts"] == 8


def test_switches_that_cannot_be_measured_get_a_sentence(plain) -> None:
    plain.set_state({"switches": {"resid_post.9/1@3": 0}})
    rest(plain)
    assert "resid_post.9" in plain.mean_change["failed"]
    assert not plain.mean_change["pending"]
    assert plain.mean_change["prompts"] == 0


def test_the_script_makes_what_is_switched(plain, tmp_path) -> None:
    node = on_in_clean(plain)
    plain.switch(node, -1.0, prompt="corrupt 4")
    (tmp_path / "script.py").write_text(plain.code(), encoding="utf-8")
    made = runpy.run_path(str(tmp_path / "script.py"))
    assert made["frame"].height == plain.frame.height
    assert made["predictions"].equals(plain.predictions)
    assert made["changes"].equals(plain.changes)


def test_switches_and_their_prompt_are_opened_again(plain, tmp_path) -> None:
    node = on_in_clean(plain)
    plain.switch(node, 0, prompt="corrupt 1")
    rest(plain)
    again = iw.reopen(plain.to_html(tmp_path / "circuit.html"))
    assert (again.prompt, again.switches) == ("corrupt 1", {node: 0.0})
    assert again.prediction == plain.prediction
    assert again.mean_change == plain.mean_change
    assert "corrupt 1" in again.code()
    assert again.asleep
    assert again.predictions.equals(plain.predictions)  # wakes
    rest(again)
    assert (again.prompt, again.prediction, again.mean_change) == ("corrupt 1", plain.prediction, plain.mean_change)


def test_prompts_of_ids_and_long_ones_are_listed_in_short(toy) -> None:
    asked = Question([[1, 5], [1, 6]], "", [[28], [246]], "")
    assert asked.listed(toy) == {f"clean {i}": toy.text_of(1) + toy.text_of(5 + i) for i in range(2)}
    [text] = Question("word " * 100, "", "", "").listed(toy).values()
    assert len(text) == 203
    assert text.startswith("word word")
