"""Panels from a page: live again with nothing computed, and everything computed that is asked for."""

from __future__ import annotations

import json
import threading
from importlib import import_module

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets.errors import KeptError
from interp_widgets.panels.reopen import _specs
from tests.methods.conftest import IOI, IOI_CORRUPT
from tests.panels.conftest import click, request_of


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    """Names of the models that are loaded from here on."""
    names: list[str] = []

    def load(where, **more):
        names.append(more["name"])
        return really(where, **more)

    module = import_module("interp_widgets.session.load")
    really = module.load
    monkeypatch.setattr(module, "load", load)
    return names


@pytest.fixture(
    params=[
        "lens",
        "atoms",
        "attention",
        "patching",
        "many",
        "steering",
        "audit",
        "circuit",
        "shift",
        "agreement",
        "explorer",
    ]
)
def panel(request):
    return request.getfixturevalue(request.param)


def reopened(panel, folder, **more):
    return iw.reopen(panel.to_html(folder / "page.html"), **more)


def state_of(panel) -> dict:
    """What the browser sees of a panel, but for what is of this widget alone."""
    own = ("layout", "status", "lens", "atoms", "attention", "patching")
    state = panel.get_state()
    return {name: value for name, value in state.items() if not name.startswith("_") and name not in own}


def awake(panel) -> None:
    """Wait until what a click began is done."""
    assert panel._waker.wait(60)
    assert not panel.asleep, panel.error
    if getattr(panel, "_job", None):
        assert panel._job.wait(60)


def test_a_panel_is_there_again_and_nothing_runs(panel, tmp_path, loaded) -> None:
    again = reopened(panel, tmp_path)
    assert isinstance(again, getattr(iw, type(panel).__name__))
    assert json.dumps(state_of(again), default=bytes.hex) == json.dumps(state_of(panel), default=bytes.hex)
    assert again.frame.equals(panel.frame)
    assert again.code() == panel.code()
    assert again.chart.to_dict() == panel.chart.to_dict()
    assert again.provenance == json.loads(json.dumps(panel.provenance, default=str))
    once_more = reopened(again, tmp_path)
    assert once_more.frame.equals(panel.frame)
    assert again.asleep
    assert again._job is None
    assert not loaded


def test_the_selection_follows_without_a_model(lens, tmp_path, loaded) -> None:
    again = reopened(lens, tmp_path)
    again.set_state({"positions": [4], "cell": [2, 4]})
    lens.select(position=4, layer=2)
    assert again.selection.equals(lens.selection)
    again.set_state({"positions": [5]})
    assert again.cell == []  # as when it is awake
    assert again.asleep
    assert not loaded


def test_run_computes_as_usual(panel, tmp_path, toy) -> None:
    again = reopened(panel, tmp_path, model=toy)
    again.run()
    assert not again.asleep
    if not isinstance(panel, iw.Steering | iw.Audit | iw.PatchingPairs):  # times of measuring are no part of those
        assert again.frame.equals(panel.frame)
    assert again.frame.schema == panel.frame.schema
    assert again.code() == panel.code()


def test_another_text_is_run_once_and_the_looks_stay(make, tmp_path, toy, loaded) -> None:
    panel = make(IOI)
    panel.run()
    again = reopened(panel, tmp_path)
    ran: list[str] = []
    compute = type(again)._compute
    type(again)._compute = lambda self, progress: (ran.append("ran"), compute(self, progress))[1]
    click(again, "run", **request_of(again))
    awake(again)
    assert again.error == ""
    assert ran == ["ran"]
    assert set(loaded) == {"toy-grammar"}
    assert (again.clean if isinstance(again, iw.Patching) else again.text) == "the cat"
    assert again.status["state"] == "done"


def test_a_click_that_needs_the_model_is_answered_after_the_result_is_there(patching, tmp_path, loaded) -> None:
    again = reopened(patching, tmp_path)
    again.set_state({"positions": [3], "cell": ["resid_post", 1, 3]})  # returns at once
    awake(again)
    patching.select(site="resid_post", layer=1, position=3)
    assert again.cell == ["resid_post", 1, 3]
    assert again.selection.equals(patching.selection)
    assert again.predictions.equals(patching.predictions)
    assert loaded == ["toy-grammar"]


def test_a_direction_that_was_turned_stays(patching, tmp_path) -> None:
    click(patching, "turn", direction="noise")
    patching.run()
    again = reopened(patching, tmp_path)
    again.run()
    assert again.direction == again.provenance["direction"] == "noise"
    assert again.frame.equals(patching.frame)


def test_frame_and_code_are_of_what_is_shown(attention, patching, tmp_path) -> None:
    head = reopened(attention, tmp_path)
    layer = 1 if head.head[0] != 1 else 2
    head.set_state({"head": [layer, 0]})
    awake(head)
    assert head.frame["layer"].unique().to_list() == [layer]
    metric = reopened(patching, tmp_path)
    metric.set_state({"metric": "probability"})
    assert metric.asleep  # the browser has that already
    patching.metric = "probability"
    assert metric.frame.equals(patching.frame)
    assert not metric.asleep


def test_explorer_wakes_part_by_part(explorer, tmp_path, loaded) -> None:
    again = reopened(explorer, tmp_path)
    again.set_state({"positions": [4]})
    assert again.lens.positions == [4]
    assert not loaded
    again.set_state({"view": "attention"})
    awake(again)
    assert again.attention._job.wait(60)
    assert again.attention.tokens == again.tokens
    assert again.lens.asleep
    assert loaded == ["toy-grammar"]


def test_an_examples_table_comes_back(toy, toy_sae, tmp_path) -> None:
    corpus = iw.corpus(toy, [IOI, IOI_CORRUPT], sae=toy_sae)
    firing = corpus.atoms.filter(pl.col("fired") > 0)["atom"].head(2).to_list()
    examples = iw.Examples(corpus.examples_frame(firing))
    examples.select(firing[-1])
    again = reopened(examples, tmp_path)
    assert again.frame.equals(examples.frame)
    assert again.atom == examples.atom


def test_a_large_frame_is_left_out_and_computed_when_asked_for(lens, tmp_path, monkeypatch, toy) -> None:
    monkeypatch.setattr("interp_widgets.panels.kept.MOST", 100)
    again = reopened(lens, tmp_path, model=toy)
    assert again._kept["frame"] is None
    assert again.frame.equals(lens.frame)
    assert not again.asleep


def test_a_panel_that_is_still_working_is_kept_at_once_without_its_frame(toy, tmp_path, monkeypatch) -> None:
    go = threading.Event()
    compute = iw.Lens._compute
    monkeypatch.setattr(iw.Lens, "_compute", lambda self, progress: (go.wait(20), compute(self, progress))[1])
    lens = iw.Lens(toy, IOI)
    again = reopened(lens, tmp_path, model=toy)
    go.set()
    assert again.status["message"] == "saved before it was finished"
    assert again.frame.equals(lens.frame)


def test_a_model_that_is_not_here_or_another_one_is_told_in_a_sentence(lens, tmp_path, toy_half) -> None:
    def changed(**said):
        spec = _specs(lens.to_html(tmp_path / "page.html"))[0]
        spec["kept"]["provenance"] |= said
        return iw.reopen(spec)

    for said, words in (
        ({"source": "/no/such/model", "model": "lost"}, "could not be loaded"),
        ({"weights_sha256": "0" * 64}, "other weights here"),
        ({"source": "a module in memory"}, "only in memory"),
        ({"backend": "NDIF at http://127.0.0.1:1"}, "on a server"),
    ):
        again = changed(**said)
        click(again, "run", text="the cat")
        assert again._waker.wait(60)
        assert words in again.error
        assert "iw.reopen(..., model=iw.load(...))" in again.error
        assert again.frame.equals(lens.frame)  # still there
        with pytest.raises(KeptError, match="Give it: iw"):
            again.run()


def test_what_is_not_as_it_should_be_is_refused(lens, tmp_path) -> None:
    page = lens.to_html(tmp_path / "page.html")

    def broken(change) -> str:
        spec = _specs(page)[0]
        change(spec)
        with pytest.raises(KeptError) as error:
            iw.reopen(spec).frame  # noqa: B018
        return str(error.value)

    assert "no panel 'Popen'" in broken(lambda spec: spec["kept"].update({"class": "Popen"}))
    assert "has harm, which" in broken(lambda spec: spec["state"].update({"harm": 1}))
    assert "has _esm, which" in broken(lambda spec: spec["state"].update({"_esm": "harm"}))
    assert "does not fit this version" in broken(lambda spec: spec["state"].update({"tokens": 3}))
    assert "cannot be unpacked" in broken(lambda spec: spec["buffers"].update({"entropy": "AAAA"}))
    assert "table cannot be read" in broken(lambda spec: spec["kept"].update({"frame": "AAAA"}))
    assert "not complete" in broken(lambda spec: spec.pop("kept"))
    assert "that is not there" in broken(
        lambda spec: spec.update(
            kept={**spec["kept"], "class": "Explorer"}, state={"lens": "anywidget:gone"}, texts={}, buffers={}
        )
    )
    with pytest.raises(KeptError, match="no panel in it"):
        iw.reopen("<p>nothing</p>")
    with pytest.raises(KeptError, match="cannot be read"):
        iw.reopen(tmp_path / "none.html")


def test_several_panels_and_a_notebook(lens, atoms, tmp_path) -> None:
    page = iw.to_html(tmp_path / "two.html", lens, atoms)
    first, second = iw.reopen(page)
    assert first.frame.equals(lens.frame)
    assert second.frame.equals(atoms.frame)
    output = {
        "output_type": "display_data",
        "data": {"text/html": page.read_text().splitlines(keepends=True)},
        "metadata": {},
    }
    (tmp_path / "x.ipynb").write_text(
        json.dumps({"cells": [{"cell_type": "code", "outputs": [output]}, {"cell_type": "markdown"}]})
    )
    assert [type(each).__name__ for each in iw.reopen(tmp_path / "x.ipynb")] == ["Lens", "Atoms"]
    assert pl.DataFrame.equals(iw.reopen(page.read_text())[0].frame, lens.frame)


def test_probing_an_object_does_not_wake_it(lens, tmp_path) -> None:
    again = reopened(lens, tmp_path)
    for name in ("_repr_html_", "_ipython_canary_method_should_not_exist_", "__array__", "anything"):
        assert not hasattr(again, name)
    assert again.asleep
    assert again._job is None


def test_what_a_handler_raises_after_waking_is_shown(toy, tmp_path) -> None:
    panel = iw.Patching(toy, IOI, IOI_CORRUPT)
    panel.run()
    again = reopened(panel, tmp_path, model=toy)
    click(again, "undo")  # nothing further back, and the sentence says so after waking
    awake(again)
    assert "no result further back" in again.error
