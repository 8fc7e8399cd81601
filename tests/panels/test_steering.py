"""The steering panel: its numbers are the method's, settings wait for a run, a strength can be added, scripts make its frame."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, InterpError, SiteError, TextError
from interp_widgets.methods.steering_run import METRICS
from interp_widgets.methods.text_diff import differing
from interp_widgets.widgets import steering as widget

from .conftest import STEERED, click
from .test_contract import run_code

PROMPT = "the teacher near the windows"
ASKED = {"positions": [2], "generated": False, "answer": "are", "foil": "is", "tokens": 6}


@pytest.fixture(scope="module")
def plural(toy) -> methods.Direction:
    nouns = ["author", "teacher", "farmer", "king", "doctor"]
    texts = [[f"the {noun}{end} near the cat" for noun in nouns] for end in ("s", "")]
    return methods.mean_difference(toy, *texts, site="resid_post.1", position=2, name="plural")


@pytest.fixture
def panel(toy, plural) -> iw.Steering:
    made = iw.Steering(toy, PROMPT, direction=plural, strengths=[-1, 0, 1], **ASKED)
    made.run()
    return made


def floats(data: bytes, *shape: int) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(shape or (-1,))


def test_what_travels_is_what_the_frames_hold(panel) -> None:
    frame = panel.frame
    frames.check(frame, frames.STEERING)
    frames.check(panel.texts, frames.STEERED_TEXT)
    assert tuple(METRICS) == widget.METRICS
    given, random = floats(panel.given, 4, 3), floats(panel.random, 3, 4, 3)
    for m, metric in enumerate(METRICS):
        for s, strength in enumerate(panel.strengths):
            here = frame.filter(strength=strength)
            assert given[m, s] == pytest.approx(here.filter(direction="given")[metric].item(), abs=1e-5)
            others = here.filter(direction="random")[metric]
            assert random[:, m, s] == pytest.approx([others.mean(), others.min(), others.max()], abs=1e-5)
            levels = panel.levels[m]
            assert (
                levels[0] - 1e-6
                <= min(given[m, s], random[1, m, s])
                <= max(given[m, s], random[2, m, s])
                <= levels[-1] + 1e-6
            )
        assert panel.baseline[m] == frame.filter(direction="baseline")[metric].item()
    assert panel.norm_ratio == frame.filter(direction="given")["norm_ratio"].to_list()
    assert panel.measured == ["are", "is"]
    assert panel.seeds == [0, 1, 2]
    assert panel.masked == [0]
    assert all(len(levels) <= 7 for levels in panel.levels)
    json.dumps(panel.provenance)
    assert panel.provenance["direction"]["kind"] == "mean_difference"


def test_texts_and_their_differences(panel) -> None:
    said, texts = panel.said, panel.texts
    for s, strength in enumerate(panel.strengths):
        entry = said["given"][s]
        rows = texts.filter(direction="given", strength=strength)
        assert [token["token_id"] for token in entry["tokens"]] == rows["token_id"].to_list()
        there, here = differing([t["token_id"] for t in said["baseline"]], rows["token_id"].to_list())
        assert (entry["baseline_differs"], entry["differs"]) == (there, here)
    assert said["given"][1]["first"] is None
    assert said["given"][2]["first"] == 0, "another verb"
    assert said["gap"] == " ", "its tokens are words"
    assert panel.checks[0]["passed"]
    assert "strength 0 says the 6 tokens of the baseline" in panel.checks[0]["text"]


def test_differing_tokens() -> None:
    assert differing([1, 2, 3, 4], [1, 9, 3, 4, 5]) == ([False, True, False, False], [False, True, False, False, True])
    assert differing([1, 2], [1, 2]) == ([False] * 2, [False] * 2)
    assert differing([1], [2, 3]) == ([True], [True, True])
    assert differing([7] * 300, [7] * 301)[1].count(True) == 1


def test_selecting_a_strength(panel) -> None:
    panel.select(strength=-1)
    assert panel.selection["strength"].unique().to_list() == [-1]
    assert panel.selection["direction"].to_list() == ["given", *["random"] * 3]
    with pytest.raises(TextError, match="finite"):
        panel.select(strength=float("nan"))


def test_a_new_strength_is_run_and_added(panel, toy, plural) -> None:
    before = panel.frame
    panel.select(strength=0.5)
    assert panel.strengths == [-1, 0, 0.5, 1]
    assert panel.strength == 0.5
    expected = methods.steer(toy, PROMPT, direction=plural, strengths=[-1, 0, 0.5, 1], **ASKED)
    assert panel.frame.drop(METRICS).equals(expected.drop(METRICS))
    for metric in METRICS:
        assert (panel.frame[metric] - expected[metric]).abs().max() < 1e-4
    assert panel.frame.filter(pl.col("strength") != 0.5).equals(before)
    assert not panel.stale


def test_settings_wait_for_a_run(panel) -> None:
    before = panel.frame
    assert not panel.stale
    panel.set_state({"mode": "project_out"})  # as the browser does
    assert panel.stale
    panel.mode = "add"
    assert not panel.stale
    panel.positions = [3]
    assert panel.stale
    assert panel.frame.equals(before)
    click(panel, "run")
    panel.run()
    assert not panel.stale
    assert not panel.frame.equals(before)
    click(panel, "run", text="the kings near the cat")
    panel.run()
    assert panel.positions == [], "those were positions of another text"
    assert panel.tokens[2] == "kings"


def test_where_it_is_steered(toy, plural) -> None:
    def change(**options):
        made = iw.Steering(toy, PROMPT, direction=plural, strengths=1, tokens=2, randoms=0, **options)
        made.run()
        return made._run.change

    assert (change().positions, change().generated) == ([1, 2, 3, 4, 5], True)
    assert (change(positions=[]).positions, change(positions=[]).generated) == ([], True)
    assert (change(positions=[4], generated=False).positions, change(generated=False).generated) == ([4], False)
    assert [str(site) for site in change(layers=[0, 2]).sites] == ["resid_post.0", "resid_post.2"]
    assert [str(site) for site in change(site="resid_post.1-2").sites] == ["resid_post.1", "resid_post.2"]


def test_another_atom(toy, toy_sae) -> None:
    panel = iw.Steering(toy, STEERED, direction=(toy_sae, 122), tokens=3, randoms=1)
    panel.run()
    panel.set_state({"atom": 77})
    assert panel.stale
    panel.run()
    assert panel.frame.equals(methods.steer(toy, STEERED, direction=(toy_sae, 77), tokens=3, randoms=1))
    assert panel.direction["name"].endswith("#77")
    panel.set_state({"atom": 384})
    assert panel.atom == 77
    assert "atoms 0 to 383" in panel.error
    panel.mode = "ablate"
    panel.run()
    assert panel.strengths == [0, 0.25, 0.5, 0.75, 1]
    assert panel.strength == 1


def test_the_contract_call(toy, toy_sae) -> None:
    panel = iw.Steering(toy, STEERED, direction=toy_sae.direction(122), site="resid_post.2", tokens=2)
    panel.run()
    named = methods.steer(toy, STEERED, direction=(toy_sae, 122), tokens=2)
    assert panel.frame.equals(named)
    assert panel.direction["made"] == "given as numbers"
    assert (panel.atom, panel.atoms) == (-1, 0)


def test_a_model_without_a_cache() -> None:
    model = iw.load("modadd-59")
    here, there = (model.read(text, ["resid_post.0"])["resid_post.0"][2] for text in ("12 30 =", "40 1 ="))
    asked = {"site": "resid_post.0", "positions": [2], "tokens": 1, "strengths": [0, 1]}
    panel = iw.Steering(model, "12 30 =", direction=there - here, **asked)
    panel.run()
    assert panel.said["baseline"][0]["token"] == "42"
    assert panel.checks[0]["passed"]
    assert panel.said["given"][1]["tokens"][0]["token"] == "41", "the activation of 40 + 1, put in its place"


def test_what_cannot_be_is_refused_at_once_or_told_in_the_panel(toy, toy_sae, plural) -> None:
    with pytest.raises(SiteError, match="Say where to steer"):
        iw.Steering(toy, PROMPT, direction=torch.ones(128))
    with pytest.raises(SiteError, match="layers 0 to 3"):
        iw.Steering(toy, PROMPT, direction=plural, site="resid_post.7")
    with pytest.raises(DictionaryError, match="atoms 0 to 383"):
        iw.Steering(toy, PROMPT, direction=(toy_sae, 999))
    panel = iw.Steering(toy, PROMPT, direction=plural, answer="no such word")
    with pytest.raises(InterpError, match="exactly one token"):
        panel.run()
    click(panel, "run", answer="are")
    panel.run()
    before = panel.frame
    click(panel, "run", site="resid_post.3-1")
    with pytest.raises(SiteError):
        panel.run()
    assert "lower one first" in panel.error
    assert panel.frame.equals(before), "the former result stays"
    click(panel, "strength", value=float("inf"))
    assert "finite" in panel.error


def test_the_given_direction_is_shown_before_the_random_ones(toy, plural, monkeypatch) -> None:
    from interp_widgets.methods import steering

    seen = []
    measure = steering.fluency

    def watched(*arguments):
        seen.append((len(panel.strengths), np.isnan(floats(panel.random)).mean() if panel.random else None))
        return measure(*arguments)

    monkeypatch.setattr(steering, "fluency", watched)
    with toy._lock:
        panel = iw.Steering(toy, PROMPT, direction=plural, tokens=3)
    panel.run()
    assert seen == [(0, None), (9, 1.0)], "while the random directions ran, the given one was there"
    assert not np.isnan(floats(panel.random)).any()


def test_cancelling_keeps_what_is_done(toy, plural, monkeypatch) -> None:
    from interp_widgets.methods import steering

    way = steering.go_on

    def stop(*arguments, **options):
        if not options["plain"]:
            panel.cancel()
        return way(*arguments, **options)

    monkeypatch.setattr(steering, "go_on", stop)
    with toy._lock:
        panel = iw.Steering(toy, PROMPT, direction=plural, tokens=4)
    with pytest.raises(iw.errors.Cancelled):
        panel.run()
    assert panel.status["state"] == "cancelled"
    assert set(panel.frame["direction"]) >= {"baseline", "given"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [
    {"mode": "add", "layers": [0, 2], "temperature": 1.0, "seed": 4},
    {"mode": "project_out", "site": "attn_out.1"},
    {"mode": "clamp", "strengths": [-2, 2], "positions": []},
    {"mode": "ablate", "generated": False},
])  # fmt: skip
def test_code_makes_the_same_frame(toy, toy_sae, tmp_path, options) -> None:
    panel = iw.Steering(toy, STEERED, direction=(toy_sae, 122), tokens=3, randoms=1, **options)
    panel.run()
    run_code(panel, tmp_path)


@pytest.mark.slow
def test_code_of_a_direction_made_from_texts(panel, tmp_path) -> None:
    run_code(panel, tmp_path)


def test_no_script_for_single_heads(toy) -> None:
    panel = iw.Steering(toy, PROMPT, direction=torch.ones(toy.head_width), site="head_out.1.2", tokens=1)
    panel.run()
    with pytest.raises(SiteError, match="No script"):
        panel.code()
