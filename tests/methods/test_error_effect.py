"""What goes through atoms and errors: against hooks, where the model is linear, and with planted gaps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import AlignmentError, TextError
from interp_widgets.methods.error_effect import run_effect
from interp_widgets.sae import ReLU
from interp_widgets.session.load import load

from ..session import tiny
from .conftest import IOI, IOI_CORRUPT, tiny_session

IDS = [3, 14, 15, 9, 26, 7]


def linear(family: str = "llama"):
    """Without the final norm the logits are linear in the last layer's result."""
    module = tiny.model(family)
    module.set_submodule(tiny_session(family).architecture.final_norm, torch.nn.Identity())
    return load(module, tokenizer=tiny.tokenizer())


def spanning(directions: torch.Tensor, site: str) -> ReLU:
    both = torch.cat([directions, -directions])
    return ReLU("planted", site, both.T.contiguous(), torch.zeros(len(both)), both, torch.zeros(directions.shape[1]))


def without(direction: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of all directions but one."""
    start = torch.cat([direction[:, None], torch.randn(len(direction), len(direction) - 1)], 1)
    return torch.linalg.qr(start)[0].T[1:]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_dictionary_that_misses_the_answers_direction_leaves_all_to_its_errors(family: str) -> None:
    torch.manual_seed(0)
    model = linear(family)
    weight = model.torch_module.get_submodule(model.architecture.head).weight.detach()
    read = weight[11] - weight[12]
    site = f"resid_post.{model.num_layers - 1}"
    missing, having = spanning(without(read), site), spanning((read / read.norm())[None], site)
    found = run_effect(model, IDS, missing, answer=11, foil=12)
    assert found.share == pytest.approx(1, abs=1e-3)
    assert found.at(found.nodes, False) == pytest.approx(0, abs=1e-3)
    assert found.at(0, True) == pytest.approx(1, abs=1e-3)
    found = run_effect(model, IDS, having, answer=11, foil=12)
    assert found.share == pytest.approx(0, abs=1e-3)
    assert found.at(found.nodes, False) == pytest.approx(1, abs=1e-3)
    assert found.at(1, False) == pytest.approx(1, abs=1e-3), "only the last position is read, and there one atom is on"
    assert abs(found.residual) < 1e-4


@pytest.mark.parametrize("other", [None, IOI_CORRUPT])
def test_its_runs_are_those_of_a_plain_hook(toy, toy_sae, other) -> None:
    found = run_effect(toy, IOI, toy_sae, answer="mary", foil="john", other=other)
    mary, john = toy.single_token("mary"), toy.single_token("john")
    layer = toy.torch_module.get_submodule("model.layers.2")

    def answer(put) -> float:
        def hook(_, __, output):
            stream = (output[0] if isinstance(output, tuple) else output).clone()
            at = [p for p in range(1, stream.shape[1]) if p not in left_out]
            stream[:, at] = put(stream[:, at])
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        handle = layer.register_forward_hook(hook)
        with torch.no_grad():
            logits = toy.torch_module(torch.tensor([toy.encode(IOI)])).logits[0, -1]
        handle.remove()
        return float(logits[mary] - logits[john])

    x = toy.read(IOI, ["resid_post.2"])["resid_post.2"]
    y = toy.read(other or IOI, ["resid_post.2"])["resid_post.2"]
    left_out = {p for norms in (x.norm(dim=1), y.norm(dim=1)) for p in range(len(x)) if norms[p] > 5 * norms.median()}
    at = [p for p in range(1, len(x)) if p not in left_out]
    assert found.counted == len(at)

    def atoms(z):
        return toy_sae.encode(z) @ toy_sae.W_dec

    def error(z):
        return z - toy_sae.decode(toy_sae.encode(z))

    if other is None:
        nothing, alone, kept = (
            (lambda z: toy_sae.b_dec.expand_as(z)),
            toy_sae.decode,
            lambda z: toy_sae.b_dec + error(z),
        )
        nothing, alone = nothing, lambda z: toy_sae.decode(toy_sae.encode(z))
    else:
        nothing = lambda z: y[at][None]  # noqa: E731
        alone = lambda z: atoms(z) + toy_sae.b_dec + error(y[at])[None]  # noqa: E731
        kept = lambda z: atoms(y[at])[None] + toy_sae.b_dec + error(z)  # noqa: E731
    assert found.model == pytest.approx(answer(lambda z: z), abs=1e-3)
    assert found.nothing == pytest.approx(answer(nothing), abs=1e-3)
    whole = found.model - found.nothing
    assert found.at(found.nodes, False) == pytest.approx((answer(alone) - found.nothing) / whole, abs=1e-3)
    assert found.at(0, True) == pytest.approx((answer(kept) - found.nothing) / whole, abs=1e-3)
    assert found.at(found.nodes, True) == pytest.approx(1, abs=1e-4), "nothing is removed"


def test_effects_add_up_to_the_change_but_for_what_is_said(toy, toy_sae) -> None:
    for text, more in ((IOI, {"answer": "mary", "foil": "john"}), ("the keys to the cabinet", {})):
        found = run_effect(toy, text, toy_sae, **more)
        assert abs(found.residual) < 0.04 * abs(found.model - found.nothing)
        assert 0 < found.share < 1


def test_the_curve_is_a_checked_frame(toy, toy_sae) -> None:
    frame = methods.error_effect(toy, IOI, sae=toy_sae, answer="mary", foil="john")
    frames.check(frame, frames.FAITHFULNESS)
    kept = frame.filter(~frame["errors"])["atoms"].to_list()
    assert kept[:5] == [0, 1, 2, 4, 8]
    assert kept[-1] == 8 * 14
    with_errors = frame.filter(frame["errors"])
    assert with_errors["faithfulness"][-1] == pytest.approx(1, abs=1e-4)
    assert frame.filter(atoms=0, errors=False)["faithfulness"].item() == pytest.approx(0, abs=1e-6)


def test_the_answer_is_the_likeliest_token_where_none_is_given(toy, toy_sae) -> None:
    found = run_effect(toy, IOI, toy_sae)
    logits = toy.read(IOI, ["logits"])["logits"][-1]
    assert found.answer == int(logits.argmax())
    assert found.model == pytest.approx(float(logits.max() - logits.mean()), abs=1e-4)


def test_what_cannot_be_measured_gets_a_sentence(toy, toy_sae) -> None:
    with pytest.raises(AlignmentError, match="15 and 4 tokens"):
        methods.error_effect(toy, IOI, sae=toy_sae, other="the cat sleeps")
    with pytest.raises(TextError, match="left out"):
        methods.error_effect(toy, [toy.tokenizer.bos_token_id], sae=toy_sae)
    with pytest.raises(TextError, match="exactly one token"):
        methods.error_effect(toy, IOI, sae=toy_sae, answer="mary john")


def test_where_nothing_has_an_effect_there_is_no_share(toy, toy_sae) -> None:
    """Answer and foil are the same token, so the metric is zero whatever is removed."""
    found = run_effect(toy, IOI, toy_sae, answer="mary", foil="mary")
    assert found.share is None
    assert found.at(0, True) is None
    assert (
        methods.error_effect(toy, IOI, sae=replace(toy_sae), answer="mary", foil="mary")["faithfulness"].null_count()
        > 4
    )
