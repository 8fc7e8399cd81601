"""OpenAI's format (openai/sparse_autoencoder, Gao et al., arXiv:2406.04093): one .pt file with a state dict and the nonlinearity.

The ReLU dictionaries (v1, v4) and the TopK ones (v5), which norm each input and undo that.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import DictionaryError
from . import files
from .dictionary import Dictionary, ReLU, TopK

_TABLE = {"W_enc": "encoder.weight.T", "b_enc": "latent_bias", "W_dec": "decoder.weight.T", "b_dec": "pre_bias"}
_SITES = {
    "mlp_post_act": "mlp_act",
    "resid_delta_attn": "attn_out",
    "resid_delta_mlp": "mlp_out",
    "resid_post_attn": "resid_mid",
    "resid_post_mlp": "resid_post",
}


def read(weights: Path, name: str, told: files.Told) -> Dictionary:
    """The dictionary in a .pt file.

    Raises:
        DictionaryError: a file or key that is missing or damaged, a nonlinearity that cannot be honoured, no site.
    """
    found = files.load_pickle(weights)
    kind = found.pop("activation", "ReLU")
    options = found.pop("activation_state_dict", None)
    options = options if isinstance(options, dict) else {}
    if kind not in ("ReLU", "TopK") or options.get("postact_fn", "ReLU") != "ReLU":
        raise DictionaryError(
            f"{weights}: an OpenAI dictionary with activation {kind!r} {options or ''} cannot be read; ReLU (v1 and v4) and TopK "
            "followed by ReLU (v5) can."
        )
    # The library writes the nonlinearity's numbers a second time, among the tensors.
    named = {key: value for key, value in found.items() if not str(key).startswith("activation.")}
    tensors = files.only_tensors(named, weights)
    files.require(tensors, tuple(key.removesuffix(".T") for key in _TABLE.values()), "OpenAI", weights)
    common: dict[str, Any] = {
        "name": name,
        **files.sites(told, lambda: (_site(weights),) * 2, False, weights),
        "origin": files.provenance(weights, "OpenAI", kind, None),
        "reading": files.reading_pickle(weights, _TABLE),
        **{our: files.taken(tensors, key).float() for our, key in _TABLE.items()},
    }
    if kind == "TopK":  # the library norms the inputs of these, and of no others
        return TopK(**common, norm="layer_norm", k=files.positive(options.get("k"), "k", weights))
    return ReLU(**common)


def _site(weights: Path) -> str:
    """As in resid_delta_mlp_v4/autoencoders/3.pt."""
    match = re.search(rf"/({'|'.join(_SITES)})(?:_v\w+)?/autoencoders/(\d+)\.pt$", weights.absolute().as_posix())
    if match is None:
        raise DictionaryError(
            f"{weights} does not lie in folders named as in resid_delta_mlp/autoencoders/3.pt, so it is not known where this "
            "dictionary belongs. Pass site=, such as mlp_out.3."
        )
    return f"{_SITES[match[1]]}.{match[2]}"
