"""Another model of the server for a panel: the present inputs are asked of it, and what was there stays until it answers."""

from __future__ import annotations

import polars as pl
import pytest
import torch
import transformers
from polars.testing import assert_frame_equal

import interp_widgets as iw
from interp_widgets.panels.models import served
from interp_widgets.session.remote import served as served_models
from tests.methods.conftest import IOI, IOI_CORRUPT
from tests.panels.conftest import TEXT, click
from tests.session.far import HOST
from tests.session.far import far as far
from tests.session.far import far_toy as far_toy


@pytest.fixture(scope="module")
def small(toy, tmp_path_factory) -> iw.Session:
    """A model with the toy model's tokenizer, two layers and another width, in a folder."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=toy.vocabulary_size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "small"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    return iw.load(folder)


@pytest.fixture
def both(far, small):
    far.others.append(small._model)
    return far


def move(panel, model: iw.Session) -> None:
    click(panel, "model", name=model.source)
    assert panel._job.wait(30)


def same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    assert_frame_equal(one, other, abs_tol=1e-6)
    return True


def test_the_lens_moves_with_its_text_and_its_tracked_token(both, far_toy, small) -> None:
    lens = iw.Lens(far_toy, IOI, track=far_toy.single_token("mary"))
    lens.run()
    lens.select(position=3, layer=3)
    lens.pins = [[3, 5]]
    move(lens, small)
    assert lens.error == ""
    assert (lens.model_name, lens.model_source, lens.host) == ("small", small.source, HOST)
    assert lens.session.name == "small"
    assert lens.layers == [0, 1]
    assert (lens.positions, lens.cell, lens.pins) == ([], [], [])
    assert same(lens.frame, iw.methods.logit_lens(small, IOI, track="mary"))
    assert lens.provenance["model"] == "small"
    assert iw.jobs().select("panel", "model").row(0) == ("Lens", "small")


def test_attention_and_patching_move(both, far_toy, small) -> None:
    attention = iw.Attention(far_toy, IOI)
    attention.run()
    attention.select(layer=3, head=3)
    move(attention, small)
    assert same(attention.heads, iw.methods.head_scores(small, IOI))
    patching = iw.Patching(
        far_toy, IOI, IOI_CORRUPT, answer=far_toy.single_token("mary"), foil="john", sites=("resid_post",)
    )
    patching.run()
    patching.select(position=11, layer=3)
    move(patching, small)
    expected = iw.methods.activation_patching(
        small, clean=IOI, corrupt=IOI_CORRUPT, answer="mary", foil="john", sites=["resid_post"]
    )
    assert same(
        patching.frame.drop("recovery"), expected.drop("recovery")
    )  # a small difference of two logits is in that
    assert len(patching.history) == 1  # none of another model
    assert patching.cell == []


def test_a_dictionary_that_does_not_fit_is_said_and_all_stays(both, far_toy, small, toy_sae) -> None:
    atoms = iw.Atoms(far_toy, TEXT, sae=toy_sae)
    atoms.run()
    before = atoms.frame
    move(atoms, small)
    assert "resid_post.2" in atoms.error
    assert atoms.status["state"] == "error"
    assert (atoms.model_name, atoms.session) == ("toy-grammar", far_toy)
    assert same(atoms.frame, before)
    atoms.select(position=3)
    assert atoms.positions == [3]
    atoms.run()
    assert same(atoms.frame, before)


def test_a_direction_that_does_not_fit_is_said_and_all_stays(both, far_toy, small, toy_sae) -> None:
    steering = iw.Steering(far_toy, "", direction=(toy_sae, 122), tokens=3)
    steering.text = "mary went home because"
    move(steering, small)
    assert "resid_post.2 does not exist: small" in steering.error
    assert steering.session is far_toy


def test_a_panel_without_a_text_just_moves(both, far_toy, small) -> None:
    lens = iw.Lens(far_toy)
    move(lens, small)
    assert (lens.error, lens.session.name, lens.model_name) == ("", "small", "small")
    assert both.sent == []
    click(lens, "run", text=TEXT)
    lens._job.wait(30)
    assert lens.layers == [0, 1]


def test_a_text_that_is_too_long_for_it_is_said_and_all_stays(both, far_toy, small) -> None:
    text = " ".join([TEXT] * 4)
    lens = iw.Lens(far_toy, text)
    before = lens.frame
    move(lens, small)
    assert "reads at most 32" in lens.error
    assert lens.session is far_toy
    assert same(lens.frame, before)


def test_a_model_that_is_not_there_is_said_and_all_stays(both, far_toy) -> None:
    lens = iw.Lens(far_toy, TEXT)
    before = lens.frame
    click(lens, "model", name="nobody/nothing")
    lens._job.wait(30)
    assert "nobody/nothing" in lens.error
    assert lens.session is far_toy
    assert same(lens.frame, before)


def test_while_the_other_is_waited_for_the_former_answers_and_stopping_keeps_it(both, far_toy, small) -> None:
    lens = iw.Lens(far_toy, TEXT)
    before = lens.frame
    both.hold, both.go = "running", type(both.go)()
    click(lens, "model", name=small.source)
    assert both.reached.wait(30)
    assert lens.session is far_toy  # for clicks on what is shown
    assert lens.model_name == "toy-grammar"
    click(lens, "cancel")
    assert lens._job.wait(2)
    assert lens.session is far_toy
    assert same(lens.frame, before)


def test_panels_that_cannot_move_say_so(far_toy, toy, toy_sae) -> None:
    explorer = iw.Explorer(far_toy, "")
    assert (explorer.host, explorer.model_source) == (HOST, "")
    local = iw.Lens(toy, TEXT)
    local.run()
    click(local, "model", name="anything")
    assert "Make a new panel" in local.error
    assert local.frame.height


LISTED = iw.frames.build(iw.frames.SERVED_MODELS, {
    "model": ["org/small", "org/odd", "org/words"], "revision": ["main"] * 3, "task": ["text-generation", None, "fill-mask"],
    "level": ["HOT", "WARM", "HOT"], "state": ["RUNNING"] * 3, "replicas": [1, 0, 1], "dtype": ["bfloat16", None, None],
    "parameters": [1, 2, 3], "bytes": [1, 2, 3], "layers": [30, None, 12], "width": [576, None, 768],
    "model_type": ["llama", "odd", "gpt2"], "known": [True, False, True],
})  # fmt: skip


def test_the_list_says_what_each_model_is_and_which_cannot_be_read() -> None:
    assert served(LISTED) == [
        {"id": "org/small", "about": "30 layers, width 576, bfloat16, running", "fits": True},
        {"id": "org/odd", "about": "its layers are not known (odd)", "fits": False},
        {"id": "org/words", "about": "deployed for fill-mask, not for text generation", "fits": False},
    ]


def test_the_list_comes_when_it_is_asked_for_and_a_failure_is_said_in_it(far, far_toy, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(served_models, "models", lambda host: asked.append(host) or LISTED)
    lens = iw.Lens(far_toy, TEXT)
    lens.run()
    click(lens, "models")
    lens._beside["models"].wait(5)
    assert asked == [HOST]
    assert lens.served == {"state": "there", "models": served(LISTED), "error": ""}

    def fail(host: str) -> None:
        raise iw.errors.ServerUnavailable("There is no server at http://far.test.")

    monkeypatch.setattr(served_models, "models", fail)
    click(lens, "models")
    lens._beside["models"].wait(5)
    assert lens.served == {"state": "", "models": [], "error": "There is no server at http://far.test."}
    assert lens.error == ""  # the panel's result has no fault
