"""What an atom's direction adds to the logits on the direct way: past all later layers, through norm and unembedding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
import torch

from .. import frames
from ..errors import DictionaryError
from ..sae.dictionary import Dictionary
from ..sae.fits import check_fits
from ..session.runner import Runner
from ..session.session import Session


def writes_stream(model: Runner, sae: Dictionary) -> bool:
    """Whether what the atoms write goes into the residual stream as it is, so that they have direct logit weights."""
    return model.site(sae.site_out).kind in ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def direct_weights(model: Runner, direction: torch.Tensor) -> torch.Tensor:
    """[vocabulary]: what one unit of a direction adds to the logits on the direct way, up to the norm's scale. Inside `then` only.

    The direction is of the stream's type and on its device.

    The final norm is taken as its gain alone: norm(v) - norm(-v) over 2 v, for a v of mean 0 and mean square 1, which holds for
    LayerNorm and RMSNorm, with weights stored as they are or less one.
    """
    v = torch.ones_like(direction)
    v[1::2] = -1
    gain = (model.final_norm(v) - model.final_norm(-v)) / 2 * v
    pushed = gain * direction
    weights = (model.head(pushed) - model.head(torch.zeros_like(pushed))).float()
    return weights - weights.mean()


class DirectWeights(NamedTuple):
    """The direct logit weights of a direction: both ends, and how all of them are spread."""

    token_ids: list[int]
    """The tokens of largest weight, then those of least, from the largest to the least."""
    weights: list[float]
    ranks: list[int]
    heights: list[int]
    """Of a histogram over the whole vocabulary."""
    edges: list[float]


def measure_direct_weights(
    model: Session, sae: Dictionary, atom: int, *, count: int = 10, bars: int = 50
) -> DirectWeights:
    """The direct logit weights of an atom, `count` tokens at either end. Raises as `direct_logits`."""
    check_fits(model, sae)
    sae.check_atom(atom)
    if not writes_stream(model, sae):
        raise DictionaryError(
            f"{sae.name} writes {sae.site_out}, which is no part of the stream: it has no direct logit weights."
        )
    return model.work(_direct_weights, sae.W_dec[atom], count, bars)


def _direct_weights(model: Runner, direction: torch.Tensor, count: int, bars: int) -> DirectWeights:
    def reduce(values: dict[str, torch.Tensor]) -> torch.Tensor:
        return direct_weights(model, direction.to(values["embed"])).cpu()

    weights = model.run([[0]], ["embed"], then=reduce)
    count = min(count, len(weights) // 2)
    order = weights.argsort(descending=True, stable=True)
    ids = torch.cat([order[:count], order[-count:]])
    ranks = [*range(1, count + 1), *range(len(weights) - count + 1, len(weights) + 1)]
    heights, edges = np.histogram(weights.double().numpy(), bars)
    return DirectWeights(ids.tolist(), weights[ids].tolist(), ranks, heights.tolist(), edges.tolist())


def direct_logits(model: Session, sae: Dictionary, atom: int, *, count: int = 10) -> pl.DataFrame:
    """The tokens that an atom's direction adds to most and least on the direct way to the logits (see `frames.DIRECT_LOGITS`).

    Later layers are left out, so in the middle of a model the list means little: compare `ablate_atom`, which measures.

    Args:
        model, sae: as in `atom_effects`.
        atom: which.
        count: tokens at either end; default 10.

    Raises:
        DictionaryError: no such atom, or one that does not write into the residual stream.
    """
    found = measure_direct_weights(model, sae, atom, count=count)
    columns = {
        "atom": [atom] * len(found.ranks),
        "rank": found.ranks,
        "token_id": found.token_ids,
        "token": [model.text_of(i) for i in found.token_ids],
        "weight": found.weights,
    }
    return frames.build(frames.DIRECT_LOGITS, columns)
