"""The format of saprmarks/dictionary_learning: ae.pt, a state dict, with config.json beside it. Equations of version 0.1.0.

Its classes are told apart by their keys; config.json is needed where two classes have the same ones.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import DictionaryError
from . import files, folding
from .dictionary import Dictionary, JumpReLU, ReLU, TopK

_LINEAR = {"W_enc": "encoder.weight.T", "b_enc": "encoder.bias", "W_dec": "decoder.weight.T"}
_MATRICES = {key: key for key in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
_TABLES: dict[str, dict[str, str]] = {
    "AutoEncoder": {**_LINEAR, "b_dec": "bias"},
    "AutoEncoderNew": {**_LINEAR, "b_dec": "decoder.bias"},
    "GatedAutoEncoder": {
        "W_enc": "encoder.weight.T",
        "W_dec": "decoder.weight.T",
        "b_dec": "decoder_bias",
        "r_mag": "r_mag",
        "b_gate": "gate_bias",
        "b_mag": "mag_bias",
    },
    "AutoEncoderTopK": {**_LINEAR, "b_dec": "b_dec"},
    "BatchTopKSAE": {**_LINEAR, "b_dec": "b_dec", "threshold": "threshold"},
    "MatryoshkaBatchTopKSAE": _MATRICES,
    "JumpReluAutoEncoder": _MATRICES,
}
"""Class -> our name of each tensor -> its key, with .T where it lies the other way round."""

_SITES = {"resid_pre": "resid_pre", "resid_post": "resid_post", "resid_out": "resid_post"}
_SITES |= {"attn_out": "attn_out", "mlp_out": "mlp_out"}


def read(weights: Path, name: str, told: files.Told) -> Dictionary:
    """The dictionary in a file ae.pt.

    Raises:
        DictionaryError: a file or key that is missing or damaged, a class or a site that is not known.
    """
    found, where = files.only_tensors(files.load_pickle(weights), weights), weights.parent / "config.json"
    trainer = _trainer(where)
    kind = _class(trainer, found, weights)
    table = _TABLES[kind]
    files.require(found, tuple(key.removesuffix(".T") for key in table.values()), kind, weights)
    tensors = {our: files.taken(found, key).float() for our, key in table.items()}
    files.check_sizes((trainer.get("activation_dim"), trainer.get("dict_size")), tensors["W_enc"], where)
    reading = files.reading_pickle(weights, table)
    if kind == "GatedAutoEncoder":
        tensors, reading = folding.gated(tensors, name), (*reading, *folding.GATED)
    elif kind == "AutoEncoder":  # the library's own from_pretrained does this, too
        tensors, reading = folding.norms(tensors, name), (*reading, *folding.NORMS)
    common: dict[str, Any] = {
        "name": name,
        **files.sites(told, lambda: (_site(trainer, weights),) * 2, False, where),
        "subtract": kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"),
        "origin": files.provenance(weights, "dictionary_learning", kind, trainer.get("lm_name")),
        "reading": reading,
        **{key: tensors[key] for key in ("W_enc", "b_enc", "W_dec", "b_dec")},
    }
    if kind == "AutoEncoderTopK":
        k = int(found["k"]) if "k" in found and found["k"].numel() == 1 else trainer.get("k")
        return TopK(**common, k=files.positive(k, "k", weights))
    if "threshold" in tensors:
        return JumpReLU(**common, threshold=tensors["threshold"].reshape(-1))
    return ReLU(**common)


def _trainer(where: Path) -> dict[str, Any]:
    """The part of config.json that says what was trained; empty without the file."""
    if not where.is_file():
        return {}
    trainer = files.read_config(where, "").get("trainer", {})
    if not isinstance(trainer, dict):
        raise DictionaryError(f"trainer in {where} must be an object, not {type(trainer).__name__}.")
    return trainer


def _class(trainer: dict[str, Any], found: files.Tensors, weights: Path) -> str:
    """The class that the configuration names, else the one whose keys these are."""
    said = trainer.get("dict_class")
    if said in _TABLES:
        return str(said)
    if said is not None:
        raise DictionaryError(
            f"{weights.parent}: dictionaries of class {said!r} cannot be read; {', '.join(_TABLES)} can."
        )
    if "gate_bias" in found:
        return "GatedAutoEncoder"
    if "W_enc" in found:
        return "MatryoshkaBatchTopKSAE" if "group_sizes" in found else "JumpReluAutoEncoder"
    if "b_dec" not in found:
        return "AutoEncoderNew" if "decoder.bias" in found else "AutoEncoder"
    if "threshold" not in found:
        return "AutoEncoderTopK"  # before it learned a threshold
    raise DictionaryError(
        f"{weights} may be an AutoEncoderTopK or a BatchTopKSAE: their tensors have the same names. Write config.json beside it, "
        'with {"trainer": {"dict_class": "BatchTopKSAE"}} or the other class.'
    )


def _site(trainer: dict[str, Any], weights: Path) -> str:
    """Our name of `submodule_name`, as in resid_post_layer_12."""
    said = trainer.get("submodule_name")
    if said is None:
        raise DictionaryError(
            f"{weights}: no config.json says where this dictionary belongs. Pass site=, such as resid_post.3."
        )
    match = re.fullmatch(r"(\w+?)_layer_?(\d+)", str(said))
    return f"{_SITES[match[1]]}.{match[2]}" if match and match[1] in _SITES else str(said)
