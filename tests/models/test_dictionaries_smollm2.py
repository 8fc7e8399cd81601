"""The bundled dictionaries of SmolLM2: what they say of themselves, and what they keep of a text that nobody trained on."""

from __future__ import annotations

import json

import polars as pl
import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.sae.load import ASSETS
from interp_widgets.session.session import Session
from tests.benchmarks.measure import ENGLISH

LAYERS = (15, 21)


@pytest.mark.parametrize("layer", LAYERS)
def test_what_lies_beside_the_weights_fits_them(layer: int) -> None:
    folder = ASSETS / "smollm2-135m" / f"{layer}-resid-4096"
    history = frames.check(pl.read_parquet(folder / "training.parquet"), frames.TRAINING)
    said = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))["metadata"]
    last = history.row(-1, named=True)
    assert said["hook_name"] == f"blocks.{layer}.hook_resid_post"
    assert said["training"]["steps"] == last["step"] == -(-3 * said["tokens"] // 1024)
    assert said["held_out_metrics"] == {name: last[name] for name in said["held_out_metrics"]}
    sae = iw.load_sae(f"smollm2-135m/{layer}-resid-4096")
    assert sae.origin["sha256"] in (folder / "README.md").read_text(encoding="utf-8")
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(4096), atol=1e-3)


@pytest.mark.smollm2
@pytest.mark.parametrize("layer", LAYERS)
def test_it_keeps_most_of_the_stream_and_of_the_loss(smollm2, layer: int) -> None:
    model, sae = iw.load("smollm2-135m"), iw.load_sae(f"smollm2-135m/{layer}-resid-4096")
    ids = torch.tensor([model.encode(ENGLISH)[:128]])
    x = model.run(ids.tolist(), [sae.site])[sae.site]
    found = sae.decode(sae.encode(x[:, 1:]))
    error, spread = (x[:, 1:] - found).square().sum(), (x[:, 1:] - x[:, 1:].mean(1, keepdim=True)).square().sum()
    assert 1 - error / spread > 0.75

    def loss(model: Session, put: torch.Tensor) -> float:
        stream = torch.cat([x[:, :1], put.expand_as(x[:, 1:])], dim=1)  # position 0 is a sink: it is left alone
        logits = model.run(ids.tolist(), ["logits"], start=(layer + 1, stream))["logits"]
        return torch.nn.functional.cross_entropy(logits[0, 1:-1].float(), ids[0, 2:]).item()

    clean, spliced, without = loss(model, x[:, 1:]), loss(model, found), loss(model, x[:, 1:].mean(1, keepdim=True))
    assert (without - spliced) / (without - clean) > 0.9
