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
