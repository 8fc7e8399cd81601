"""EleutherAI sparsify's format: a folder named after its hook point, with cfg.json and sae.safetensors. Equations of version 1.3.3.

Hook points are modules below the base model: layers.10 is what layer 10 puts out, layers.3.mlp what its MLP does. A transcoder
reads what the module reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import DictionaryError
from . import files
from .dictionary import Dictionary, GroupMax, TopK

_TABLE = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}
_PARTS = {"": "resid_post", "mlp": "mlp_out", "attn": "attn_out", "self_attn": "attn_out", "attention": "attn_out"}
_INPUTS = {"resid_post": "resid_pre", "mlp_out": "mlp_in"}
_EMBED = ("embed_tokens", "embed_in", "wte")


def read(weights: Path, name: str, told: files.Told) -> Dictionary:
    """The dictionary in a file sae.safetensors that has cfg.json beside it.

    Raises:
        DictionaryError: a file or key that is missing or damaged, an option that cannot be honoured, a hook point that is no site.
    """
    where = weights.parent / "cfg.json"
    config = files.read_config(where, "a sparsify folder has one beside sae.safetensors")
    _refuse_unknown_options(config, where)
    found, kind = files.read_safetensors(weights), config.get("activation", "topk")
    table, transcodes = _TABLE, bool(config.get("transcode"))
    if config.get("skip_connection"):
        table = _TABLE | {"W_skip": "W_skip.T"}
    files.require(found, tuple(key.removesuffix(".T") for key in table.values()), kind, weights)
    tensors = {our: files.taken(found, key) for our, key in table.items()}
    files.check_sizes((config.get("d_in"), config.get("num_latents") or None), tensors["W_enc"], where)
    load = f"found = load_file({str(weights)!r})"
    common: dict[str, Any] = {
        "name": name,
        **files.sites(told, lambda: _sites(weights.parent.name, transcodes), transcodes, weights.parent),
        "subtract": not transcodes,
        "origin": files.provenance(weights, "sparsify", kind, None),
        "reading": ("from safetensors.torch import load_file", "", load, *files.renaming(table)),
        "k": files.positive(config.get("k"), "k", where),
        **tensors,
    }
    return GroupMax(**common) if kind == "groupmax" else TopK(**common)


def _refuse_unknown_options(config: dict[str, Any], where: Path) -> None:
    if config.get("signed"):  # sparsify once had signed activations
        raise DictionaryError(
            f"{where}: signed = True cannot be honoured, so this dictionary would give wrong numbers."
        )
    if (kind := config.get("activation", "topk")) not in ("topk", "groupmax"):
        raise DictionaryError(f"{where}: dictionaries with activation {kind!r} cannot be read; topk and groupmax can.")


def _sites(hookpoint: str, transcodes: bool) -> tuple[str, str]:
    """Our names of what is read and written at the hook point that a folder is named after."""
    if hookpoint in _EMBED and not transcodes:
        return "embed", "embed"
    match = re.fullmatch(r"(?:layers|h|blocks)\.(\d+)\.?(\w*)", hookpoint)
    if match is None or match[2] not in _PARTS:
        raise DictionaryError(
            f"The folder {hookpoint} is not named after a hook point such as layers.10 or layers.3.mlp, so it is not known "
            "where this dictionary belongs. Pass site=, such as resid_post.10."
        )
    kind, layer = _PARTS[match[2]], match[1]
    if transcodes and kind not in _INPUTS:
        raise DictionaryError(
            f"The folder {hookpoint} holds a transcoder, and what that module reads is no site. Pass site= and site_out=."
        )
    return f"{_INPUTS[kind] if transcodes else kind}.{layer}", f"{kind}.{layer}"
