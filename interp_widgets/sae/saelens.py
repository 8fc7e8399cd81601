"""SAELens' format, versions 5 and 6: a folder with cfg.json and sae_weights.safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import DictionaryError, SiteError
from ..session.sites import parse
from .dictionary import Dictionary, JumpReLU, ReLU, TopK

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec")


def read(folder: Path, name: str) -> Dictionary:
    """The dictionary in a folder.

    Raises:
        DictionaryError: a file or key that is missing or damaged, or an option that cannot be honoured.
    """
    config, weights = _config(folder), folder / "sae_weights.safetensors"
    if not weights.is_file():
        raise DictionaryError(f"{folder} has no sae_weights.safetensors, which SAELens' format needs beside cfg.json.")
    try:
        tensors = {key: value.float() for key, value in load_file(weights).items()}
    except (SafetensorError, OSError) as error:
        raise DictionaryError(f"{weights} cannot be read as safetensors ({error}); the file may be cut off.") from error
    kind = _architecture(config)
    make, needed = _KINDS[kind]
    if missing := [key for key in (*KEYS, *needed) if key not in tensors]:
        raise DictionaryError(
            f"{weights} lacks {', '.join(missing)}, which a {kind} dictionary needs; it has {sorted(tensors)}."
        )
    _refuse_unknown_options(config, folder)
    common = {key: tensors[key] for key in KEYS}
    _check_sizes(config, common["W_enc"], folder)
    origin = {
        "format": "SAELens",
        "weights": str(weights),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "architecture": kind,
        "model": _meta(config, "model_name"),
    }
    return make(
        config,
        tensors,
        name=name,
        site=_site(config),
        subtract=config.get("apply_b_dec_to_input", True),
        origin=origin,
        **common,
    )


def _topk(config: dict[str, Any], tensors: dict[str, torch.Tensor], **common: Any) -> Dictionary:
    k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise DictionaryError(f"{common['name']}: cfg.json gives no k, which a topk dictionary needs.")
    if config.get("rescale_acts_by_decoder_norm"):
        # The latents are scaled by their decoder's norm before the selection and back after it: fold the norms in.
        norm = common["W_dec"].norm(dim=-1).clamp(min=1e-30)  # a dead atom may have norm 0
        common |= {
            "W_enc": common["W_enc"] * norm,
            "b_enc": common["b_enc"] * norm,
            "W_dec": common["W_dec"] / norm[:, None],
        }
        common["origin"] |= {"folding": _FOLDING}
    return TopK(**common, k=k)


_FOLDING = (
    'norm = sae["W_dec"].norm(dim=-1).clamp(min=1e-30)',
    'sae |= {"W_enc": sae["W_enc"] * norm, "b_enc": sae["b_enc"] * norm, "W_dec": sae["W_dec"] / norm[:, None]}',
)

_KINDS: dict[str, tuple[Callable[..., Dictionary], tuple[str, ...]]] = {
    "standard": (lambda config, tensors, **common: ReLU(**common), ()),
    "topk": (_topk, ()),
    "jumprelu": (lambda config, tensors, **common: JumpReLU(**common, threshold=tensors["threshold"]), ("threshold",)),
}


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DictionaryError(
            f"{folder} has no cfg.json; a SAELens folder has one beside sae_weights.safetensors."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DictionaryError(f"{folder / 'cfg.json'} is not valid JSON: {error}.") from error
    if not isinstance(config, dict):
        raise DictionaryError(f"{folder / 'cfg.json'} must hold an object, not {type(config).__name__}.")
    return config


def _architecture(config: dict[str, Any]) -> str:
    kind = config.get("architecture", "standard")
    if "topk" in (config.get("activation_fn"), config.get("activation_fn_str")):
        kind = "topk"  # version 5 wrote topk as a standard dictionary with another nonlinearity
    if not isinstance(kind, str) or kind not in _KINDS:
        raise DictionaryError(f"Dictionaries of architecture {kind!r} cannot be read; {', '.join(_KINDS)} can.")
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


def _site(config: dict[str, Any]) -> str:
    hook = _meta(config, "hook_name")
    try:
        return str(parse(str(hook)))
    except SiteError as error:
        raise DictionaryError(f"cfg.json says that this dictionary belongs at {hook!r}: {error}") from error


def _check_sizes(config: dict[str, Any], encoder: torch.Tensor, folder: Path) -> None:
    said, found = (config.get("d_in"), config.get("d_sae")), tuple(encoder.shape)
    if len(found) == 2 and any(a not in (None, b) for a, b in zip(said, found, strict=True)):
        raise DictionaryError(f"{folder}: cfg.json says (d_in, d_sae) = {said}, but W_enc has shape {found}.")


def _refuse_unknown_options(config: dict[str, Any], folder: Path) -> None:
    for key, harmless in (
        ("normalize_activations", ("none", None, False)),
        ("reshape_activations", ("none", None)),
        ("finetuning_scaling_factor", (False, None)),
        ("activation_fn", ("relu", "topk", None)),
        ("activation_fn_str", ("relu", "topk", None)),
    ):
        if config.get(key) not in harmless:
            raise DictionaryError(
                f"{folder}: {key} = {config[key]!r} cannot be honoured, so this dictionary would give wrong numbers."
            )
