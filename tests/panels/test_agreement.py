"""The agreement panel: its traits are its frame, its sentences are true, two models may differ in many ways."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import InterpError, SiteError, TextError
from interp_widgets.panels import agreement_traits
from interp_widgets.panels.agreement_traits import MEASURED, _number, sides
from tests.methods.conftest import IOI, tiny_session
from tests.methods.test_agreement import IDS, Away, noisy
from tests.session import tiny

from .conftest import TEXT, click
from .test_contract import run_code

WORDS = " ".join(f"w{i}" for i in IDS)


def floats(raw: bytes, *shape: int) -> np.ndarray:
    return np.frombuffer(raw, "<f4").reshape(shape)


@pytest.fixture
def apart() -> iw.Agreement:
    """Two models that disagree."""
    panel = iw.Agreement(noisy("llama", 0.0), noisy("llama", 0.3), WORDS)
    panel.run()
    return panel


def test_what_travels_is_what_the_frames_hold(agreement) -> None:
    layers, width, k = len(agreement.layers), agreement.window[1] - agreement.window[0], agreement.top_k
    frame, lists = agreement.frame, agreement.predictions
    for name in ("total_variation", "total_variation_error", "logit_difference", "residual_difference"):
        assert floats(getattr(agreement, name), layers * width) == pytest.approx(frame[name].to_numpy(), abs=1e-6)
    index = np.frombuffer(agreement.top_index, "<i4").reshape(2, layers, width, k)
    p, there = (floats(raw, 2, layers, width, k) for raw in (agreement.top_probability, agreement.probability_there))
    for side, name in enumerate(("model", "other")):
        rows = lists.filter(session=name)
        assert [agreement.vocabulary_ids[i] for i in index[side].flatten()] == rows["token_id"].to_list()
        assert [agreement.vocabulary[i] for i in index[side].flatten()] == rows["token"].to_list()
        assert p[side].flatten() == pytest.approx(rows["probability"].to_numpy(), abs=1e-6)
        assert there[side].flatten() == pytest.approx(rows["probability_there"].to_numpy(), abs=1e-6)
    assert agreement.sides == ["toy-grammar float32", "toy-grammar bfloat16"]
    assert agreement.masked == [0]
    assert any("Position 0 is left out of the summary" in note for note in agreement.notes)


def test_the_verdicts_are_those_of_the_frame(apart) -> None:
    verdict = np.frombuffer(apart.verdict, "u1")
    expected = [0 if row["agrees"] else 1 if row["near_tie"] else 2 for row in apart.frame.iter_rows(named=True)]
    assert verdict.tolist() == expected
    assert set(expected) >= {0, 2}


def test_the_sentences_say_what_the_summary_says(apart, agreement) -> None:
    every, output = apart.totals.rows(named=True)
    counted, outputs, comparison = apart.sentences
    assert counted.startswith(f"Over 2 layers, the top token agrees in {every['agreeing']} of {every['cells']} cells (")
    assert f"{100 * every['share']:.1f}%" in counted
    assert (
        f"worst {_number(every['worst'])} at layer {every['worst_layer']}, position {every['worst_position']}"
        in counted
    )
    assert f"In the models' output, the top token agrees in {output['agreeing']} of {output['cells']} cells" in outputs
    assert comparison.startswith("For comparison: float32 keeps 24 bits of a number.")
    assert "For comparison: bfloat16 keeps 8 bits of a number." in agreement.sentences[2]


def test_the_sizes_quoted_are_those_of_the_documentation() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs/panels/agreement.md").read_text(encoding="utf-8")
    for dtype, (_, median, worst, agreeing) in MEASURED.items():
        rows = [line.replace("e-", "e−") for line in page.splitlines() if line.startswith("|") and f"`{dtype}`" in line]
        quoted = [row for row in rows if _number(median) in row and f"/ {_number(worst)} |" in row and agreeing in row]
        assert quoted, (dtype, rows)


@pytest.mark.parametrize(
    ("others", "ties", "said"),
    [
        (0, 0, ""), (1, 1, "; the other one is a near tie"), (1, 0, "; the other one is no near tie"),
        (7, 7, "; all 7 others are near ties"), (7, 0, "; none of the 7 others are near ties"),
        (1200, 7, "; 7 of the 1,200 others are near ties"),
    ],
)  # fmt: skip
def test_near_ties_in_words(others: int, ties: int, said: str) -> None:
    assert agreement_traits._ties(others, ties) == said


def test_numbers_are_written_as_the_browser_does() -> None:
    assert [_number(x) for x in (0.0, 7.8e-7, 1e-6, 0.00123, 0.5)] == ["0", "7.8e−7", "1e−6", "0.0012", "0.5"]


def test_all_is_said_only_of_all() -> None:
    assert agreement_traits._percent(1.0) == "100%"
    assert agreement_traits._percent(0.99999) == "99.9%"
    assert agreement_traits._percent(0.9753) == "97.5%"


def test_the_worst_cells_come_first(apart) -> None:
    cells = {(row["layer"], row["position"]): row for row in apart.frame.iter_rows(named=True)}
    worst = [cells[layer, position] for layer, position in apart.worst]
    assert 0 < len(worst) <= 8
    keys = [(not row["agrees"] and not row["near_tie"], row["total_variation"]) for row in worst]
    assert keys == sorted(keys, reverse=True)
    rest = [row["total_variation"] for key, row in cells.items() if list(key) not in apart.worst and not row["agrees"]]
    assert keys[0][0]
    assert all(value <= keys[0][1] for value in rest)
    same = iw.Agreement(apart.session, apart.session, WORDS)
    same.run()
    assert same.worst == []
    assert same.sides == ["llama 0.0 float32 (first)", "llama 0.0 float32 (second)"]


def test_the_sides_are_told_apart(toy, toy_half) -> None:
    assert sides(toy, Away(toy)) == ["toy-grammar float32, here", "toy-grammar float32, on a server"]
    assert sides(toy, Away(toy_half)) == ["toy-grammar float32, here", "toy-grammar bfloat16, on a server"]


def test_selecting(agreement) -> None:
    assert agreement.selection.is_empty()
    agreement.select(position=(2, 4))
    assert agreement.selection["position"].unique().sort().to_list() == [2, 3, 4]
    agreement.select(position=14, layer=3)
    assert agreement.cell == [3, 14]
    assert len(agreement.selection) == 1
    assert agreement.predictions.select("session", "rank").rows() == [
        (name, rank) for name in ("model", "other") for rank in range(1, 6)
    ]
    agreement.set_state({"positions": [3]})
    assert agreement.cell == []
    with pytest.raises(TextError, match="positions 0 to 14"):
        agreement.select(position=15)
    with pytest.raises(SiteError, match="layers are 0 to 3"):
        agreement.select(position=1, layer=4)


def test_a_new_text_forgets_the_selection_and_a_failure_keeps_the_result(agreement) -> None:
    agreement.select(position=14, layer=2)
    click(agreement, "run", text=TEXT)
    agreement.run()
    assert (agreement.positions, agreement.cell) == ([], [])
    before = agreement.frame
    click(agreement, "run", text="")
    with pytest.raises(TextError, match="The text is empty"):
        agreement.run()
    assert "The text is empty" in agreement.error
    assert agreement.frame is before


def test_sessions_that_read_other_tokens_are_refused_in_the_panel(toy) -> None:
    panel = iw.Agreement(toy, tiny_session("llama"), "when mary")
    with pytest.raises(TextError, match="as different tokens"):
        panel.run()
    assert "Agreement needs two sessions with the same tokenizer" in panel.error
    with pytest.raises(InterpError, match="as different tokens"):
        _ = panel.frame


def test_a_long_text_is_shown_through_a_window(monkeypatch, toy, toy_half) -> None:
    monkeypatch.setattr("interp_widgets.panels.lens.WINDOW", 8)
    panel = iw.Agreement(toy, toy_half, IOI)
    panel.run()
    assert panel.window == [7, 15]
    assert any("Positions 7 to 14 of 15 are shown and summed up" in note for note in panel.notes)
    assert panel.totals["cells"].to_list() == [32, 8]
    panel.select(position=10, layer=1)
    click(panel, "window", start=2)
    panel.run()
    assert panel.window == [2, 10]
    assert panel.frame["position"].unique().sort().to_list() == list(range(2, 10))
    assert panel.cell == [1, 10], "it may be seen again"
    click(panel, "window", start=99)
    panel.run()
    assert panel.window == [7, 15]


def test_a_sample_says_so_and_has_a_seed(apart) -> None:
    assert (apart.provenance["seed"], apart.provenance["compared_tokens"]) == (None, "the whole vocabulary")
    panel = iw.Agreement(apart.session, apart.other, WORDS, sampled=True, seed=3)
    panel.run()
    assert panel.frame.equals(methods.agreement(apart.session, apart.other, WORDS, sampled=True, seed=3))
    assert (panel.provenance["seed"], panel.provenance["compared_tokens"]) == (3, 256)
    assert floats(panel.total_variation_error, 2, 7).min() > 0
    assert any("Of each cell 256 tokens are compared" in note for note in panel.notes)
    assert "the panel compared a sample" in panel.code()


def test_provenance_has_both_sessions(agreement) -> None:
    said = agreement.provenance
    json.dumps(said)
    assert (said["dtype"], said["other"]["dtype"]) == ("float32", "bfloat16")
    assert said["weights_sha256"] != said["other"]["weights_sha256"]


def test_the_chart_follows_the_colour(agreement) -> None:
    agreement.color = "residual_difference"
    shaded, _ = agreement.chart.to_dict()["layer"]
    assert shaded["encoding"]["color"]["title"] == "relative residual difference, log scale"


def test_models_that_differ_in_shape_say_so() -> None:
    model, other = noisy("llama", 0.0), noisy("llama", 0.0, num_hidden_layers=3, hidden_size=16)
    panel = iw.Agreement(model, other, WORDS)
    panel.run()
    assert panel.layers == [1]
    assert len(panel.sentences) == 2, "the outputs are all there is"
    assert panel.sentences[0].startswith("In the models' output")
    assert any("so only the outputs are compared" in note for note in panel.notes)
    assert np.isnan(floats(panel.residual_difference, 7)).all()
    frames.check(panel.frame, frames.AGREEMENT)


def test_what_overflows_is_counted() -> None:
    import torch

    broken = noisy("llama", 0.0)
    with torch.no_grad():
        broken.torch_module.lm_head.weight[7] = torch.inf
    panel = iw.Agreement(noisy("llama", 0.0), broken, WORDS)
    panel.run()
    assert set(np.frombuffer(panel.verdict, "u1")) == {3}
    assert any("In 14 cells a logit is not a finite number" in note for note in panel.notes)
    json.dumps(panel.get_state()["sentences"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "changes"), [("gemma2", {"final_logit_softcapping": 5.0}), ("gpt2", {}), ("opt", {})]
)
def test_code_makes_the_frame_for_other_families(tmp_path, variant: str, changes: dict[str, float]) -> None:
    """A soft cap, other names of modules; two models from folders of their own."""
    sessions = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        tiny.model(variant, seed=seed, **changes).save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        sessions.append(iw.load(folder))
    panel = iw.Agreement(*sessions, WORDS)
    panel.run()
    assert not panel.frame["agrees"].all()
    run_code(panel, tmp_path)


@pytest.mark.slow
def test_code_compares_the_outputs_of_models_that_differ_in_shape(tmp_path) -> None:
    sessions = []
    for changes in ({}, {"num_hidden_layers": 3, "hidden_size": 16, "vocab_size": 120}):
        folder = tmp_path / str(len(sessions))
        tiny.model("llama", **changes).save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        sessions.append(iw.load(folder))
    panel = iw.Agreement(*sessions, WORDS)
    panel.run()
    assert len(panel.frame) == 7
    run_code(panel, tmp_path)


@pytest.mark.slow
def test_code_follows_the_window(tmp_path, monkeypatch, toy, toy_half) -> None:
    monkeypatch.setattr("interp_widgets.panels.lens.WINDOW", 6)
    panel = iw.Agreement(toy, toy_half, IOI)
    panel.run()
    assert panel.frame["position"].min() == 9
    run_code(panel, tmp_path)


@pytest.mark.smollm2
@pytest.mark.slow
def test_on_smollm2_in_two_dtypes(smollm2, tmp_path) -> None:
    panel = iw.Agreement(
        iw.load("smollm2-135m"), iw.load("smollm2-135m", dtype="bfloat16"), "The Eiffel Tower is in the city of"
    )
    panel.run()
    assert panel.totals["share"][0] > 0.95
    last = panel.frame.filter(pl.col("layer") == 29)
    assert last["token"][-1] == last["other_token"][-1] == " Paris"
    sizes = {k: len(v) if isinstance(v, (bytes, str)) else len(json.dumps(v)) for k, v in panel.get_state().items()}
    assert sum(v for k, v in sizes.items() if not k.startswith("_")) < 100_000, sizes
    assert panel.to_html(tmp_path / "agreement.html").stat().st_size < 400_000
