"""Writing a dictionary as SAELens does, version 6: a folder with cfg.json and sae_weights.safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from .files import Tensors

WEIGHTS = "sae_weights.safetensors"
LAYOUT = "6.54.12"
"""The version of SAELens whose layout this is; it says nothing about who trained."""


def write(folder: Path, tensors: Tensors, *, k: int | None, metadata: dict[str, Any]) -> None:
    """The files of a TopK dictionary of this k, or of a JumpReLU one where `k` is None.

    Args:
        tensors: W_enc [d_in, width], b_enc, W_dec [width, d_in], b_dec, and threshold for JumpReLU, on raw activations.
        metadata: at least model_name and hook_name; what SAELens does not know it keeps and passes over.
    """
    d_in, width = tensors["W_enc"].shape
    config: dict[str, Any] = {
        "architecture": "jumprelu" if k is None else "topk",
        "d_in": d_in,
        "d_sae": width,
        **({} if k is None else {"k": k, "rescale_acts_by_decoder_norm": False}),
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": LAYOUT, "sae_lens_training_version": None, **metadata},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(save(tensors))
    (folder / "cfg.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
