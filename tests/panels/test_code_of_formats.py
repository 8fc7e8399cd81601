"""The script of an Atoms panel reads the dictionary from its own file, whatever the format."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import interp_widgets as iw

from .conftest import TEXT
from .test_contract import run_code


def batch_topk(d, folder):
    weights = {"encoder.weight": d.W_enc.T, "encoder.bias": d.b_enc, "decoder.weight": d.W_dec.T, "b_dec": d.b_dec}
    torch.save(weights | {"threshold": torch.tensor(0.3)}, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": "BatchTopKSAE"}}))


def gated(d, folder):
    vectors = {"gate_bias": d.b_enc, "mag_bias": d.b_enc - 0.1, "r_mag": torch.full_like(d.b_enc, 0.2)}
    matrices = {"encoder.weight": d.W_enc.T, "decoder.weight": d.W_dec.T, "decoder_bias": d.b_dec}
    torch.save(vectors | matrices, folder / "ae.pt")


def groupmax(d, folder):
    weights = {"encoder.weight": d.W_enc.T.contiguous(), "encoder.bias": d.b_enc, "W_dec": d.W_dec, "b_dec": d.b_dec}
    save_file(weights, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"k": 8, "d_in": d.d_in, "activation": "groupmax"}))


def gemma_scope(d, folder):
    weights = {key: getattr(d, key).numpy() for key in ("W_enc", "b_enc", "W_dec", "b_dec")}
    np.savez(folder / "params.npz", **weights, threshold=np.full(d.width, 0.3, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("write", [batch_topk, gated, groupmax, gemma_scope])
def test_the_script_makes_the_frame(toy, toy_sae, tmp_path, write) -> None:
    write(toy_sae, tmp_path)
    atoms = iw.Atoms(toy, TEXT, sae=iw.load_sae(tmp_path, site=toy_sae.site))
    assert len(atoms.frame) > 8
    run_code(atoms, tmp_path)


def random_folder(model, folder, site, writes="", **config):
    """A SAELens folder of random weights for sites of a model; with a site to write, a transcoder with a skip connection."""
    generator = torch.Generator().manual_seed(0)
    d_in, d_out = model.size(site), model.size(writes or site)
    shapes = {"W_enc": (d_in, 40), "b_enc": (40,), "W_dec": (40, d_out), "b_dec": (d_out,)}
    shapes |= {"W_skip": (d_out, d_in)} if writes else {}
    save_file(
        {key: torch.randn(shape, generator=generator) / shape[0] ** 0.5 for key, shape in shapes.items()},
        folder / "sae_weights.safetensors",
    )
    said = {
        "architecture": "skip_transcoder" if writes else "standard",
        "hook_name": site,
        "hook_name_out": writes or None,
    }
    (folder / "cfg.json").write_text(json.dumps({**said, **config}))
    return iw.load_sae(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "writes", "config"),
    [
        ("mlp_in.1", "mlp_out.1", {}),
        ("resid_pre.2", "resid_post.2", {"normalize_activations": "layer_norm"}),
        ("head_out.1", "", {"normalize_activations": "constant_norm_rescale"}),
        ("head_out.2.3", "", {"normalize_activations": "layer_norm"}),
        ("mlp_act.3", "", {}),
        ("final_norm", "", {}),
        ("resid_post.1", "", {"model_from_pretrained_kwargs": {"center_writing_weights": True}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_script_of_a_transcoder_a_norm_and_other_sites(toy, tmp_path, site, writes, config) -> None:
    atoms = iw.Atoms(toy, TEXT, sae=random_folder(toy, tmp_path, site, writes, **config))
    assert len(atoms.frame) > 8
    run_code(atoms, tmp_path)


def test_a_panel_on_a_transcoder_names_both_sites(toy, tmp_path) -> None:
    panel = iw.Atoms(toy, TEXT, sae=random_folder(toy, tmp_path, "mlp_in.1", "mlp_out.1"))
    panel.run()
    assert "(mlp_in.1 to mlp_out.1, 40 atoms)" in panel.sae_name
    assert panel.provenance["site"] == "mlp_in.1 to mlp_out.1"
    notes = " ".join(panel.notes)
    assert "its atoms are read from mlp_in.1; shares, error and norm are of mlp_out.1, which it writes." in notes
    assert "The share of the bias holds that of the skip connection" in notes
    rest = panel.reconstruction
    shown = np.frombuffer(panel.bias_share, np.float32)
    np.testing.assert_allclose(shown, rest["bias_share"] + rest["skip_share"], rtol=1e-4, atol=1e-6)
    assert rest["skip_share"].abs().min() > 0
    assert panel.chart.to_dict()
    panel.select(position=3)
    assert "skip connection" in panel.chart.to_json()
