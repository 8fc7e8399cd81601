"""SAELens' format, versions 5 and 6: a folder with cfg.json and sae_weights.safetensors.

Architectures standard, topk, gated and jumprelu; batchtopk and matryoshka dictionaries are saved as jumprelu.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DictionaryError
from . import files, folding
from .dictionary import Dictionary, JumpReLU, ReLU, TopK

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
}


def read(weights: Path, name: str, site: str | None = None) -> Dictionary:
    """The dictionary in a file sae_weights.safetensors that has cfg.json beside it.

    Raises:
        DictionaryError: a file or key that is missing or damaged, or an option that cannot be honoured.
    """
    where = weights.parent / "cfg.json"
    config = files.read_config(where, "a SAELens folder has one beside sae_weights.safetensors")
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
    common: dict[str, Any] = {
        "name": name,
        "site": files.own_site(site or _meta(config, "hook_name"), where),
        "subtract": config.get("apply_b_dec_to_input", True),
        "origin": files.provenance(weights, "SAELens", kind, _meta(config, "model_name")),
        "reading": reading,
        **{key: tensors[key] for key in _NEEDED["standard"]},
    }
    if kind == "standard":
        return ReLU(**common)
    if kind == "topk":
        k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
        return TopK(**common, k=files.positive(k, "k", where))
    return JumpReLU(**common, threshold=tensors["threshold"])


def _architecture(config: dict[str, Any]) -> str:
    kind = config.get("architecture", "standard")
    if "topk" in (config.get("activation_fn"), config.get("activation_fn_str")):
        kind = "topk"  # version 5 wrote topk as a standard dictionary with another nonlinearity
    if isinstance(kind, str) and "transcoder" in kind:
        raise DictionaryError(
            f"Dictionaries of architecture {kind!r} read one site and write another, which cannot be used yet. "
            "Use a dictionary that reconstructs the site it reads."
        )
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise DictionaryError(f"Dictionaries of architecture {kind!r} cannot be read; {', '.join(_NEEDED)} can.")
    return kind


def _meta(config: dict[str, Any], key: str) -> Any:
    """An entry that version 6 keeps under `metadata` and version 5 at the top."""
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise DictionaryError(f"metadata in cfg.json must be an object, not {type(metadata).__name__}.")
    value = metadata.get(key) or config.get(key)
    if value is None:
        raise DictionaryError(f"cfg.json does not say {key}, so it is not known where this dictionary belongs.")
    return value


def _refuse_unknown_options(config: dict[str, Any], where: Path) -> None:
    for key, harmless in (
        ("normalize_activations", ("none", None, False)),
        ("reshape_activations", ("none", None)),
        ("finetuning_scaling_factor", (False, None)),
        ("activation_fn", ("relu", "topk", None)),
        ("activation_fn_str", ("relu", "topk", None)),
    ):
        if config.get(key) not in harmless:
            raise DictionaryError(
                f"{where}: {key} = {config[key]!r} cannot be honoured, so this dictionary would give wrong numbers."
            )
