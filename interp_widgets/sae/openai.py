"""OpenAI's format (openai/sparse_autoencoder, Gao et al., arXiv:2406.04093): one .pt file with a state dict and the nonlinearity.

The ReLU dictionaries (v1, v4). The TopK ones (v5) norm each activation and undo it after decoding with its mean and size, which
encode and decode of a `Dictionary` do not hand on.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DictionaryError
from . import files
from .dictionary import Dictionary, ReLU

_TABLE = {"W_enc": "encoder.weight.T", "b_enc": "latent_bias", "W_dec": "decoder.weight.T", "b_dec": "pre_bias"}
_SITES = {
    "mlp_post_act": "mlp_act",
    "resid_delta_attn": "attn_out",
    "resid_delta_mlp": "mlp_out",
    "resid_post_attn": "resid_mid",
    "resid_post_mlp": "resid_post",
}


def read(weights: Path, name: str, site: str | None = None) -> Dictionary:
    """The dictionary in a .pt file.

    Raises:
        DictionaryError: a file or key that is missing or damaged, a nonlinearity that cannot be honoured, no site.
    """
    found = files.load_pickle(weights)
    kind = found.pop("activation", "ReLU")
    found.pop("activation_state_dict", None)
    if kind != "ReLU":
        why = ", because its inputs are layer normed" if kind == "TopK" else ""
        raise DictionaryError(
            f"{weights}: an OpenAI dictionary with activation {kind!r} cannot be read{why}; those with ReLU (v1 and v4) can."
        )
    tensors = files.only_tensors(found, weights)
    files.require(tensors, tuple(key.removesuffix(".T") for key in _TABLE.values()), "OpenAI", weights)
    return ReLU(
        name=name,
        site=files.own_site(site or _site(weights), weights),
        origin=files.provenance(weights, "OpenAI", kind, None),
        reading=files.reading_pickle(weights, _TABLE),
        **{our: files.taken(tensors, key).float() for our, key in _TABLE.items()},
    )


def _site(weights: Path) -> str:
    """As in resid_delta_mlp_v4/autoencoders/3.pt."""
    match = re.search(rf"/({'|'.join(_SITES)})(?:_v\w+)?/autoencoders/(\d+)\.pt$", weights.absolute().as_posix())
    if match is None:
        raise DictionaryError(
            f"{weights} does not lie in folders named as in resid_delta_mlp/autoencoders/3.pt, so it is not known where this "
            "dictionary belongs. Pass site=, such as mlp_out.3."
        )
    return f"{_SITES[match[1]]}.{match[2]}"
