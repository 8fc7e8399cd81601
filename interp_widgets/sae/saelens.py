"""SAELens' format, versions 5 and 6: a folder with cfg.json and sae_weights.safetensors.

Architectures standard, topk, gated and jumprelu, and four kinds of transcoder; batchtopk and matryoshka dictionaries are saved as
jumprelu. Files of versions before 5 differ in the names of a few entries.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from ..errors import DictionaryError
from . import files, folding
from .dictionary import Dictionary, JumpReLU, Norm, ReLU, TopK

READING = (
    "from safetensors.torch import load_file",
    "",
    "sae = {{name: tensor.float() for name, tensor in load_file({!r}).items()}}",
)
"""Lines of a script that read all tensors of a file."""

_NEEDED = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "gated": ("W_enc", "b_gate", "r_mag", "b_mag", "W_dec", "b_dec"),
    "transcoder": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "skip_transcoder": ("W_enc", "b_enc", "W_dec", "b_dec", "W_skip"),
    "jumprelu_transcoder": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "jumprelu_skip_transcoder": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "W_skip"),
}

_NORMS: dict[Any, Norm] = {
    "none": "",
    None: "",
    False: "",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "unit_rms",
    "expected_average_only_in": "",
    True: "",
}
_SCALED = ("expected_average_only_in", True)
"""Trained on activations times one factor. True is what it was called before version 5."""

_WRITTEN = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""The residual stream and what is written to it."""

_OLD_NAMES = {"hook_name": "hook_point", "hook_head_index": "hook_point_head_index"}


def read(weights: Path, name: str, told: files.Told) -> Dictionary:
    """The dictionary in a file sae_weights.safetensors that has cfg.json beside it.

    Raises:
        DictionaryError: a file or key that is missing or damaged, or an option that cannot be honoured.
    """
    where = weights.parent / "cfg.json"
    config = files.read_config(where, "a SAELens folder has one beside sae_weights.safetensors") | dict(told.config)
    tensors, kind = files.read_safetensors(weights), _architecture(config)
    files.require(tensors, _NEEDED[kind], kind, weights)
    _refuse_unknown_options(config, where)
    files.check_sizes((config.get("d_in"), config.get("d_sae")), tensors["W_enc"], where)
    reading = tuple(line.format(str(weights)) for line in READING)
    if kind == "gated":
        tensors, reading = folding.gated(tensors, name), (*reading, *folding.GATED)
    elif kind == "topk" and config.get("rescale_acts_by_decoder_norm"):
        # The latents are scaled by their decoder's norm before the selection and back after it.
        tensors, reading = folding.norms(tensors, name), (*reading, *folding.NORMS)
    if key := _finetuned(config, tensors, where):
        tensors, reading = (
            folding.directions(tensors, key, name),
            (*reading, *(line.format(key) for line in folding.DIRECTIONS)),
        )
    if config.get("normalize_activations") in _SCALED:
        factor = _factor(told, weights.parent)
        tensors, reading = (
            folding.inputs(tensors, factor),
            (*reading, *(line.format(factor) for line in folding.INPUTS)),
        )
    transcodes = kind.endswith("transcoder")
    if transcodes and config.get("d_out") not in (None, tensors["W_dec"].shape[-1]):
        raise DictionaryError(
            f"{where} says d_out = {config['d_out']}, but W_dec has shape {tuple(tensors['W_dec'].shape)}."
        )
    sites = files.sites(told, lambda: _sites(config, transcodes, where), transcodes, where)
    common: dict[str, Any] = {
        "name": name,
        **sites,
        "subtract": not transcodes and config.get("apply_b_dec_to_input", True),
        "origin": files.provenance(
            weights, "SAELens", kind, _meta(config, "model_name"), _meta(config, "neuronpedia_id")
        ),
        "reading": reading,
        "W_skip": tensors["W_skip"].T if kind.endswith("skip_transcoder") else None,
        "norm": _norm(config, sites["site"], transcodes, where),
        **{key: tensors[key] for key in _NEEDED["standard"]},
    }
    if "threshold" in tensors and kind not in ("standard", "topk"):
        return JumpReLU(**common, threshold=tensors["threshold"])
    if kind == "topk":
        k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
        return TopK(**common, k=files.positive(k, "k", where))
    return ReLU(**common)


def _architecture(config: dict[str, Any]) -> str:
    kind = config.get("architecture", "standard")
    if "topk" in (config.get("activation_fn"), config.get("activation_fn_str")):
        kind = "topk"  # version 5 wrote topk as a standard dictionary with another nonlinearity
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise DictionaryError(f"Dictionaries of architecture {kind!r} cannot be read; {', '.join(_NEEDED)} can.")
    return kind


def _meta(config: dict[str, Any], key: str) -> Any:
    """An entry that version 6 keeps under `metadata` and version 5 at the top; None without it."""
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise DictionaryError(f"metadata in cfg.json must be an object, not {type(metadata).__name__}.")
    found = (part.get(name) for part in (metadata, config) for name in (key, _OLD_NAMES.get(key, key)))
    return next((value for value in found if value not in (None, "")), None)


def _sites(config: dict[str, Any], transcodes: bool, where: Path) -> tuple[str, str]:
    """What it reads and writes, from the hooks' names and the head's number."""
    reads = _hook(config, "", where)
    return reads, _hook(config, "_out", where) if transcodes else reads


def _hook(config: dict[str, Any], end: str, where: Path) -> str:
    hook = _meta(config, f"hook_name{end}")
    if hook is None:
        raise DictionaryError(
            f"{where} does not say hook_name{end}, so it is not known where this dictionary belongs. Pass site{end}=, such as "
            "resid_post.3."
        )
    if str(hook).endswith("ln2.hook_normalized"):
        raise DictionaryError(
            f"{where} says hook_name{end} = {hook!r}: the stream behind the MLP's norm but before its gain, which is no site here. "
            "If it was trained on what the MLP reads, gain included, pass site=, such as mlp_in.3."
        )
    if str(hook).endswith("hook_mlp_in") and str(_meta(config, f"hf_hook_name{end}")).endswith("layernorm.output"):
        hook = str(hook).replace("hook_mlp_in", "mlp.hook_in")  # so SAELens calls what Gemma Scope 2's transcoders read
    head = _meta(config, f"hook_head_index{end}")
    return str(hook) if head is None else f"{files.own_site(hook, where)}.{head}"


def _norm(config: dict[str, Any], site: str, transcodes: bool, where: Path) -> Norm:
    """How inputs are normed. TransformerLens can centre all weights that write to the stream; ours is as the model has it."""
    norm = _NORMS[config.get("normalize_activations")]
    options = _meta(config, "model_from_pretrained_kwargs")
    centred = isinstance(options, dict) and bool(options.get("center_writing_weights"))
    if not centred or transcodes or norm == "layer_norm" or site.split(".")[0] not in _WRITTEN:
        return norm
    if norm:
        raise DictionaryError(
            f"{where}: centred weights together with {config['normalize_activations']!r} cannot be honoured."
        )
    return "center"


def _finetuned(config: dict[str, Any], tensors: files.Tensors, where: Path) -> str:
    """The key of the factors that directions have to be multiplied with, "" if there are none.

    Raises:
        DictionaryError: there are some, and the configuration does not say that they count.
    """
    for key in ("scaling_factor", "finetuning_scaling_factor"):
        if key in tensors and not torch.allclose(tensors[key], torch.ones(())):
            if not config.get("finetuning_scaling_factor"):
                raise DictionaryError(
                    f"{where} does not say finetuning_scaling_factor, but the weights have a {key} that is not 1, so it is not "
                    "known whether it counts."
                )
            return key
    return ""


def _factor(told: files.Told, folder: Path) -> float:
    """What activations were multiplied with in training: from a table of releases, or from the file beside a checkpoint."""
    file = folder / "activation_scaler.json"
    factor = told.factor
    if factor is None and file.is_file():
        factor = files.read_config(file, "").get("scaling_factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not (math.isfinite(factor) and factor > 0):
        raise DictionaryError(
            f"{folder / 'cfg.json'} says that activations were scaled in training (normalize_activations), and no file says by how "
            'much. Write {"scaling_factor": ...} to activation_scaler.json beside it: the square root of d_in over their mean norm.'
        )
    return float(factor)


def _refuse_unknown_options(config: dict[str, Any], where: Path) -> None:
    for key, known in (
        ("normalize_activations", tuple(_NORMS)),
        ("reshape_activations", ("none", "hook_z", None)),  # heads side by side, as head_out is read
        ("activation_fn", ("relu", "topk", None)),
        ("activation_fn_str", ("relu", "topk", None)),
    ):
        if config.get(key) not in known:
            raise DictionaryError(
                f"{where}: {key} = {config[key]!r} cannot be honoured, so this dictionary would give wrong numbers."
            )
