"""Gemma Scope's formats: params.npz (Gemma 2, Lieberum et al., arXiv:2408.05147), params.safetensors with config.json (Gemma 3).

JumpReLU dictionaries that do not subtract b_dec, and transcoders of the MLP. Of Gemma 2, the folders of the release say the site;
of Gemma 3, config.json.
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
_SKIP = "affine_skip_connection"
_KINDS = {"res": "resid_post", "mlp": "mlp_out", "att": "head_out"}
_FOLDERS = {
    "resid_post": ("output", ""),
    "attn_out": ("self_attn.o_proj.input", ""),
    "mlp_out": ("post_feedforward_layernorm.output", ""),
    "transcoder": ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
}
_HOOKS = {
    "output": "resid_post",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
    "self_attn.o_proj.input": "head_out",
}


def read(weights: Path, name: str, told: files.Told) -> Dictionary:
    """The dictionary in a file params.npz or params.safetensors.

    Raises:
        DictionaryError: a file or key that is missing or damaged, an option that cannot be honoured, no site.
    """
    first = weights.suffix == ".npz"
    config = {} if first else _config(weights.parent)
    found = npz.read(weights, (*KEYS, "w_enc", "w_dec", "scaling_factor")) if first else files.read_safetensors(weights)
    _refuse_unknown_options(config, found, weights)
    table = {key: key.lower() if key not in found and key.lower() in found else key for key in KEYS}
    if _SKIP in found or config.get("affine_connection"):
        table["W_skip"] = _SKIP
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
    if (
        first
        and told.site_out is None
        and re.search(r"gemma-scope-[\w.-]+?-transcoders\b", weights.absolute().as_posix())
    ):
        raise DictionaryError(
            f"{weights} is a transcoder of Gemma Scope 1. These read the stream behind the MLP's norm but before its gain, which "
            "is no site here, so it would give wrong numbers. The transcoders of Gemma Scope 2 can be used."
        )
    out = config.get("hf_hook_point_out")
    transcodes = told.site_out is not None if first else out not in (None, config.get("hf_hook_point_in"))
    said = (lambda: (_site_of_path(weights),) * 2) if first else (lambda: _sites_of_config(config, transcodes, weights))
    sites = files.sites(told, said, transcodes, weights)
    return JumpReLU(
        name=name,
        site=sites["site"],
        writes=sites["writes"],
        subtract=False,
        origin=files.provenance(weights, f"Gemma Scope {1 if first else 2}", "jumprelu", config.get("model_name")),
        reading=(*loading, *files.renaming(table)),
        **{our: found[key].float() for our, key in table.items()},
    )


def _config(folder: Path) -> dict[str, Any]:
    """config.json; where the release lacks it, what the folders say, as in transcoder_all/layer_5_width_16k_l0_big_affine."""
    match = re.search(rf"/({'|'.join(_FOLDERS)})(?:_all)?/layer_(\d+)_[^/]*$", folder.absolute().as_posix())
    if match is None or (folder / "config.json").is_file():
        return files.read_config(folder / "config.json", "Gemma Scope 2 says there where it belongs")
    reads, writes = _FOLDERS[match[1]]
    return {
        f"hf_hook_point_{end}": f"layers.{match[2]}.{hook}" for end, hook in (("in", reads), ("out", writes)) if hook
    }


def _refuse_unknown_options(config: dict[str, Any], found: files.Tensors, weights: Path) -> None:
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


def _sites_of_config(config: dict[str, Any], transcodes: bool, weights: Path) -> tuple[str, str]:
    sites = []
    for key in ("hf_hook_point_in", "hf_hook_point_out") if transcodes else ("hf_hook_point_in",):
        hook = str(config.get(key))
        match = re.fullmatch(r".*layers\.(\d+)\.(.+)", hook)
        if match is None or match[2] not in _HOOKS:
            raise DictionaryError(
                f"{weights.parent / 'config.json'} says {key} = {hook!r}, which is no site that is known. "
                "Pass site=, such as resid_post.20."
            )
        sites.append(f"{_HOOKS[match[2]]}.{match[1]}")
    return sites[0], sites[-1]
