"""Path patching against the recipe of the papers, run plainly: hold everything but the sender, read the receiver, put it in."""

from __future__ import annotations

import importlib

import polars as pl
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import SiteError

from . import brute
from .conftest import IOI, IOI_CORRUPT, tiny_session

CLEAN, CORRUPT = [3, 14, 15, 9, 26, 7, 31], [5, 35, 8, 9, 79, 7, 31]
FAMILIES = ["llama-grouped", "gpt2", "gpt_neox", "gemma2", "falcon", "opt", "mpt"]


def sublayer(site: str) -> str | None:
    """The output that a site is part of."""
    kind, layer = site.split(".")[:2]
    if kind.startswith("resid"):
        return None
    return f"{'mlp_out' if kind.startswith('mlp') else 'attn_out'}.{layer}"


def by_hand(
    model, sender: str, receivers: list[str], position: int, prompt, source, answer: int = 11, foil: int = 12
) -> float:
    """The metric of the last run."""
    layers, prompt_ids = model.num_layers, list(prompt)
    outputs = {f"{kind}.{layer}" for kind in ("attn_out", "mlp_out") for layer in range(layers)}
    value = brute.activations(model, source, sender)[position]

    def put(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[:, position] = value
        return x

    puts: dict[str, dict[int, torch.Tensor]] = {}
    for receiver in receivers:
        kept = outputs - {sublayer(sender), sublayer(receiver)}
        own = {name: brute.activations(model, prompt, name) for name in kept}
        edit = {name: (lambda _, x=x: x[None]) for name, x in own.items()}
        found = model.run([prompt_ids], [receiver], edit={**edit, sender: put})[receiver][0]
        puts[receiver] = dict(enumerate(found))
    return brute.difference(model, prompt, puts, answer, foil)


@pytest.mark.parametrize(
    "receivers", [["q.1.0", "q.1.2"], ["k.1.0", "v.1.0"], ["head_out.1.3"], ["mlp_out.1"], ["resid_post.1"]]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_path_equals_the_recipe(family: str, receivers: list[str]) -> None:
    model = tiny_session(family)
    with torch.no_grad():  # sharper attention, so that a query matters
        for name, parameter in model.torch_module.named_parameters():
            parameter.mul_(4 if "att" in name and parameter.dim() == 2 else 1)
    senders = ["head_out.0.1", "mlp_out.0", "attn_out.0", "resid_pre.0"]
    named = "logits" if receivers == ["resid_post.1"] else receivers
    frame = methods.path_patching(
        model, clean=CLEAN, corrupt=CORRUPT, answer=11, foil=12, senders=senders, receivers=named
    )
    frames.check(frame, frames.PATH_PATCHING)
    assert frame["receiver"].unique().to_list() == ["+".join(receivers)]
    assert len(frame) == len(senders) * len(CLEAN)
    for row in frame.iter_rows(named=True):
        expected = by_hand(model, row["site"], receivers, row["position"], CLEAN, CORRUPT)
        assert row["metric"] == pytest.approx(expected, abs=1e-5)
    assert frame["effect"].abs().max() > 1e-4, "more than what the comparison forgives"


def test_there_is_no_path_upwards_or_side_by_side() -> None:
    sequential, parallel = tiny_session("gpt2"), tiny_session("gpt_neox")
    asked = {"clean": CLEAN, "corrupt": CORRUPT, "answer": 11, "foil": 12, "direction": "denoise"}
    for model in (sequential, parallel):
        above = methods.path_patching(
            model, **asked, senders=["mlp_out.1", "head_out.1.0"], receivers=["q.1.0", "v.0.0"]
        )
        assert above["effect"].abs().max() < 1e-5
    beside = [
        methods.path_patching(model, **asked, senders=["attn_out.1"], receivers=["mlp_out.1"])["effect"].abs().max()
        for model in (sequential, parallel)
    ]
    assert beside[0] > 1e-4 > 1e-5 > beside[1]


def test_the_direct_paths_of_a_linear_end_add_up() -> None:
    """Without the final norm the direct effects of all that writes into the stream are all of the effect there is."""
    from interp_widgets.session.load import load
    from tests.session import tiny

    module = tiny.model("llama")
    module.set_submodule("model.norm", torch.nn.Identity())
    model = load(module, tokenizer=tiny.tokenizer())
    senders = ["resid_pre.0", "attn_out", "mlp_out"]
    frame = methods.path_patching(model, clean=CLEAN, corrupt=CORRUPT, answer=11, foil=12, senders=senders)
    total = brute.difference(model, CORRUPT) - brute.difference(model, CLEAN)
    assert frame["effect"].sum() == pytest.approx(total, abs=1e-4)


def test_checks_and_bad_requests(toy) -> None:
    asked = {"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john"}
    with pytest.raises(SiteError, match=r"q\.0\.0 cannot be a sender"):
        methods.path_patching(toy, **asked, senders=["q.0.0"])
    with pytest.raises(SiteError, match=r"resid_mid\.1 cannot be a receiver"):
        methods.path_patching(toy, **asked, senders=["attn_out.0"], receivers=["resid_mid.1"])
    with pytest.raises(SiteError, match="stand in one layer"):
        methods.path_patching(toy, **asked, senders=["attn_out.0+attn_out.1"])
    seen: list[str] = []
    frame = methods.path_patching(
        toy, **asked, senders=["head_out.0.*"], receivers=["q.1.0"], positions=[11, -1],
        progress=lambda done, total, message="", partial=None: seen.append(message),
    )  # fmt: skip
    assert seen == ["position 11", "position 14", ""]
    assert frame.select(pl.col("position").unique(maintain_order=True)).to_series().to_list() == [11, 14]


def test_the_check_of_paths_can_fail(toy, monkeypatch) -> None:
    module = importlib.import_module("interp_widgets.methods.path_patching")
    runs = []
    fill = module.PatchingRun.check
    monkeypatch.setattr(module.PatchingRun, "check", lambda run, cells: runs.append(run) or fill(run, cells))
    asked = {"clean": IOI, "corrupt": IOI_CORRUPT, "answer": "mary", "foil": "john", "senders": ["attn_out.0"]}
    methods.path_patching(toy, **asked, receivers=["q.1.0"])
    assert runs[0].largest_identity < 1e-4
    held = module._outputs
    monkeypatch.setattr(module, "_outputs", lambda *a: {name: 1.5 * value for name, value in held(*a).items()})
    methods.path_patching(toy, **asked, receivers=["q.1.0"])
    assert runs[1].largest_identity > runs[1].tolerance
