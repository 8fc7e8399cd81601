"""Gemma Scope's formats: params.npz (Gemma 2, Lieberum et al., arXiv:2408.05147), params.safetensors with config.json (Gemma 3).

JumpReLU dictionaries that do not subtract b_dec. Of Gemma 2, the folders of the release say the site; of Gemma 3, config.json.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from ..errors import DictionaryError
from . import files, npz
from .dictionary import Dictionary, JumpReLU

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
_KINDS = {"res": "resid_post", "mlp": "mlp_out", "att": "head_out"}
_HOOKS = {
    "output": "resid_post",
    "post_feedforward_layernorm.output": "mlp_out",
    "self_attn.o_proj.input": "head_out",
}


def read(weights: Path, name: str, site: str | None = None) -> Dictionary:
    """The dictionary in a file params.npz or params.safetensors.

    Raises:
        DictionaryError: a file or key that is missing or damaged, a transcoder, no site.
    """
    first = weights.suffix == ".npz"
    config = (
        {} if first else files.read_config(weights.parent / "config.json", "Gemma Scope 2 says there where it belongs")
    )
    found = npz.read(weights, (*KEYS, "w_enc", "w_dec", "scaling_factor")) if first else files.read_safetensors(weights)
    _refuse_unknown_options(config, found, weights)
    table = {key: key.lower() if key not in found and key.lower() in found else key for key in KEYS}
    files.require(found, tuple(table.values()), "Gemma Scope", weights)
    loading = (
        (
            "import numpy as np",
            "",
            f"found = {{key: torch.tensor(value) for key, value in np.load({str(weights)!r}).items()}}",
        )
        if first
        else ("from safetensors.torch import load_file", "", f"found = load_file({str(weights)!r})")
    )
    return JumpReLU(
        name=name,
        site=files.own_site(site or (_site_of_path(weights) if first else _site_of_config(config, weights)), weights),
        subtract=False,
        origin=files.provenance(weights, f"Gemma Scope {1 if first else 2}", "jumprelu", config.get("model_name")),
        reading=(*loading, *files.renaming(table)),
        **{our: found[key].float() for our, key in table.items()},
    )


def _refuse_unknown_options(config: dict[str, Any], found: files.Tensors, weights: Path) -> None:
    out = config.get("hf_hook_point_out")
    if "affine_skip_connection" in found or out not in (None, config.get("hf_hook_point_in")):
        raise DictionaryError(
            f"{weights} is a transcoder: those read one site and write another, which cannot be used yet. "
            "Use a dictionary that reconstructs the site it reads."
        )
    if (kind := config.get("architecture", "jump_relu")) != "jump_relu":
        raise DictionaryError(f"{weights.parent}: dictionaries of architecture {kind!r} cannot be read; jump_relu can.")
    if (scale := found.get("scaling_factor")) is not None and not torch.allclose(scale.float(), torch.ones(())):
        raise DictionaryError(
            f"{weights}: scaling_factor cannot be honoured, so this dictionary would give wrong numbers."
        )


def _site_of_path(weights: Path) -> str:
    """As in gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71."""
    path = weights.absolute().as_posix()
    kind, layer = re.search(r"gemma-scope-[\w.-]+?-(res|mlp|att)\b", path), re.search(r"/layer_(\d+)/", path)
    if kind is None or layer is None:
        raise DictionaryError(
            f"{weights} does not lie in folders named as in gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71, so it is "
            "not known where this dictionary belongs. Pass site=, such as resid_post.20."
        )
    return f"{_KINDS[kind[1]]}.{layer[1]}"


def _site_of_config(config: dict[str, Any], weights: Path) -> str:
    hook = str(config.get("hf_hook_point_in"))
    match = re.fullmatch(r".*layers\.(\d+)\.(.+)", hook)
    if match is None or match[2] not in _HOOKS:
        raise DictionaryError(
            f"{weights.parent / 'config.json'} says hf_hook_point_in = {hook!r}, which is no site that is known. "
            "Pass site=, such as resid_post.20."
        )
    return f"{_HOOKS[match[2]]}.{match[1]}"
