"""SAELens folders of known content, for tests to read and to damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

D_IN, WIDTH = 6, 10

Tensors = dict[str, torch.Tensor]


def tensors(seed: int = 0) -> Tensors:
    """Random weights, float32, with atoms of very different norms; a threshold for jumprelu."""
    generator = torch.Generator().manual_seed(seed)
    made = {
        "W_enc": torch.randn(D_IN, WIDTH, generator=generator),
        "b_enc": torch.randn(WIDTH, generator=generator) * 0.3,
        "W_dec": torch.randn(WIDTH, D_IN, generator=generator),
        "b_dec": torch.randn(D_IN, generator=generator),
    }
    made["W_dec"] *= torch.linspace(0.2, 3, WIDTH)[:, None]
    return made


def config(architecture: str | None = "standard", **changes: Any) -> dict[str, Any]:
    """As version 6 writes it: where it belongs is under `metadata`."""
    made = {
        "architecture": architecture,
        "d_in": D_IN,
        "d_sae": WIDTH,
        "dtype": "float32",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post"},
    }
    return made | changes


def flat(**changes: Any) -> dict[str, Any]:
    """As version 5 writes it: everything at the top."""
    made = config(changes.pop("architecture", "standard")) | {
        "model_name": "tiny",
        "hook_name": "blocks.1.hook_resid_post",
    }
    del made["metadata"]
    return made | {"hook_layer": 1, "finetuning_scaling_factor": False, "activation_fn_str": "relu"} | changes


def write(folder: Path, cfg: dict[str, Any] | str | None, weights: Tensors | bytes | None) -> Path:
    """A folder with these two files; None leaves one out, text or bytes are written as they are."""
    folder.mkdir(exist_ok=True)
    if cfg is not None:
        (folder / "cfg.json").write_text(cfg if isinstance(cfg, str) else json.dumps(cfg))
    if isinstance(weights, bytes):
        (folder / "sae_weights.safetensors").write_bytes(weights)
    elif weights is not None:
        save_file(weights, folder / "sae_weights.safetensors")
    return folder
