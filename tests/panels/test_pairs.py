"""The panel of many pairs: its numbers are the methods', it stops and goes on, and its script makes its frame."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import InterpError, SiteError, TextError
from tests.methods.conftest import some_pairs

from .conftest import click
from .test_contract import run_code


@pytest.fixture(scope="module")
def pairs() -> pl.DataFrame:
    return some_pairs()


@pytest.fixture(scope="module")
def panel(toy, pairs) -> iw.PatchingPairs:
    made = iw.PatchingPairs(
        toy, pairs, sites=("resid_post", "attn_out"), positions=[10, (12, 13), -1], baseline=True, seed=1
    )
    made.run()
    return made


def floats(data: bytes, *shape: int) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(shape)


@pytest.mark.parametrize("metric", ["recovery", "logit_difference", "probability"])
def test_its_numbers_are_the_methods(toy, pairs, panel, metric: str) -> None:
    panel.metric = metric
    base = "probability" if metric == "probability" else "logit_difference"
    expected = methods.patching_pairs(
        toy, pairs, sites=["resid_post", "attn_out"], positions=[10, (12, 13), -1], metric=base, baseline=True, seed=1
    )
    key = ["pair", "site", "position"]
    assert panel.frame.sort(key).equals(expected.sort(key))
    frames.check(panel.cells, frames.PAIR_SUMMARY)
    shape = (2, toy.num_layers, 3)
    for row in panel.cells.iter_rows(named=True):
        kind, layer = row["site"].split(".")
        at = panel.sites.index(kind), int(layer), [10, 12, 14].index(row["position"])
        for name in ("mean", "low", "high", "p", "q"):
            assert floats(getattr(panel, name), *shape)[at] == pytest.approx(row[name], abs=1e-5)
        if metric != "recovery":
            assert floats(panel.baseline, *shape)[at] == pytest.approx(row["baseline"], abs=1e-5)
    assert panel.right == {"clean": len(pairs), "corrupt": len(pairs)}
    assert [c["varies"] for c in panel.columns] == [True, False, False]
    assert panel.columns[1] == {"position": 12, "last": 13, "token": "a drink", "varies": False}
    assert panel.checks[0]["passed"]


def test_the_dots_are_the_pairs_of_a_cell(panel) -> None:
    panel.metric = "logit_difference"
    panel.select(position=10, site="resid_post", layer=1, pair=2)
    rows = panel.frame.filter(site="resid_post.1", position=10).sort("pair")
    assert panel.dots["values"] == pytest.approx(rows["effect"].to_list())
    assert panel.dots["baseline"] == pytest.approx(rows["baseline"].to_list())
    assert panel.dots["low"] <= 0 <= panel.dots["high"]
    assert panel.selection.height == 1
    assert panel.selection["pair"][0] == 2
    panel.select(position=12)
    assert panel.positions == [12, 13]
    assert panel.dots == {}
    panel.select()


def test_the_code_makes_the_frame(panel, tmp_path) -> None:
    panel.metric = "recovery"
    run_code(panel, tmp_path)


def test_noise_and_no_baseline(toy, pairs, tmp_path) -> None:
    panel = iw.PatchingPairs(toy, pairs, direction="noise", positions=[11, 14])
    panel.run()
    assert panel.baseline == b""
    assert panel.right == {"clean": len(pairs), "corrupt": len(pairs)}
    last = panel.cells.filter(site="resid_post.3", position=14)
    assert last["mean"][0] == pytest.approx(1, abs=1e-4)
    run_code(panel, tmp_path)


def test_chart_export_and_provenance(panel, tmp_path) -> None:
    chart = panel.chart.to_dict()
    assert "95% interval" in chart["title"] or "95% interval" in str(chart)
    page = panel.to_html(tmp_path / "pairs.html")
    assert "Patching pairs" in page.read_text(encoding="utf-8") or page.stat().st_size > 10_000
    assert panel.provenance["pairs"] == 6


def test_it_stops_and_goes_on(toy, pairs, monkeypatch) -> None:
    module = __import__("importlib").import_module("interp_widgets.methods.patching_pairs")
    sweep_one, calls = module._sweep_one, []

    def slow(*arguments, **options):
        found = sweep_one(*arguments, **options)
        calls.append(1)
        if len(calls) == 3:
            click(panel, "cancel")
        return found

    monkeypatch.setattr(module, "_sweep_one", slow)
    with toy._lock:
        panel = iw.PatchingPairs(toy, pairs, positions=[11])
    panel._job.wait(20)
    assert panel.status["state"] == "cancelled"
    assert panel.done == 3
    assert panel.frame["pair"].unique().to_list() == [0, 1, 2]
    panel.run()
    assert panel.done == len(pairs)
    assert len(calls) == len(pairs), "what was done is not done again"


def test_few_pairs_are_said(toy, pairs) -> None:
    panel = iw.PatchingPairs(toy, pairs[:3], positions=[14])
    panel.run()
    assert any("With 3 pairs no p can be below 0.25" in note for note in panel.notes)


def test_bad_requests_get_a_sentence(toy, pairs, panel) -> None:
    with pytest.raises(SiteError, match="kind of site that the panel draws"):
        iw.PatchingPairs(toy, pairs, sites=("pattern",))
    bad = iw.PatchingPairs(toy, pairs.with_columns(foil=pl.lit("mary john")))
    with pytest.raises(TextError, match="Pair 0"):
        bad.run()
    assert "Pair 0" in bad.error
    with pytest.raises(InterpError):
        _ = bad.frame
    for request, said in (
        ({"position": 3}, "not in the grid"),
        ({"pair": 99}, "pairs 0 to 5"),
        ({"site": "mlp_out"}, "not in the grid"),
    ):
        with pytest.raises(InterpError, match=said):
            panel.select(**request)
