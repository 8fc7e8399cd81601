"""Dictionaries that nobody trained, to compare trained ones with: coordinates, principal components, random directions.

Activations of atoms are not negative, so a direction that is read with both signs is two atoms: i and, pointing the other way,
i + (number of directions). Only `coordinates` have signs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from ..errors import DictionaryError
from ..session.runner import Runner
from .dictionary import Dictionary, Linear, ReLU, TopK
from .fits import checked_site


def identity(model: Runner, site: str, *, k: int | None = None, center: torch.Tensor | None = None) -> Dictionary:
    """Coordinates: atom i is coordinate i where it is positive, atom i + size where it is negative. Nothing is lost.

    At `mlp_act.L` these are the neurons. Both signs are kept there, too: GELU and SiLU go below zero.

    Args:
        k: keep only the k coordinates of largest size at each token; default all.
        center: [size], from where the coordinates count and what stands in for those left out; default zero.
    """
    if k is not None and k < 1:
        raise DictionaryError(f"Coordinates to keep must be 1 or more, not {k}.")
    found = checked_site(model, site, "A baseline")
    size = model.size(found)
    center = torch.zeros(size) if center is None else center.float().cpu()
    return _two_sided("identity", str(found), torch.eye(size), center, k)


def coordinates(model: Runner, site: str) -> Linear:
    """Coordinates as they are: atom i is coordinate i, of either sign. Nothing is lost. At `mlp_act.L` these are the neurons.

    Raises:
        SiteError, DictionaryError: a site that does not exist in the model, or cannot have a dictionary.
    """
    found = checked_site(model, site, "A baseline")
    eye, zero = _eye(model.size(found))
    return Linear("coordinates", str(found), eye, zero, eye, zero, subtract=False, origin={"format": "coordinates"})


@lru_cache(maxsize=8)
def _eye(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One for all layers: a model of many would hold many."""
    return torch.eye(size), torch.zeros(size)


def pca(x: torch.Tensor, site: str, *, components: int | None = None) -> Dictionary:
    """Principal components of activations, the largest first; with all of them nothing is lost.

    Args:
        x: [samples, d_in], such as `model.read(text, [site])[site][1:]`; leave out attention sinks, which would be all there is.
        site: where they are from.
        components: how many; default as many as samples and d_in allow.

    Raises:
        DictionaryError: x is no matrix of finite numbers with two samples, or has fewer components.
    """
    if x.dim() != 2 or len(x) < 2 or not torch.isfinite(x).all():
        raise DictionaryError(
            f"Principal components need finite activations [2 or more samples, d_in], not {tuple(x.shape)}."
        )
    x = x.detach().double().cpu()
    most = min(len(x) - 1, x.shape[1])
    if not 1 <= (count := most if components is None else components) <= most:
        raise DictionaryError(f"{count} components cannot be had from activations {tuple(x.shape)}; give 1 to {most}.")
    directions = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return _two_sided("pca", site, (directions * largest.sign()).float(), x.mean(0).float())


def random(
    model: Runner, site: str, *, width: int, k: int, seed: int = 0, center: torch.Tensor | None = None
) -> Dictionary:
    """`width` directions of norm 1, uniform on the sphere; the k that point most along an activation less `center` are on.

    `center`: [width of the model], default zero.
    """
    if min(width, k) < 1:
        raise DictionaryError(f"A random dictionary needs a width and a k above 0, not {width} and {k}.")
    found = checked_site(model, site, "A baseline")
    size = model.size(found)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(width, size, generator=generator), dim=1)
    return TopK(
        name="random",
        site=str(found),
        W_enc=directions.T.contiguous(),
        b_enc=torch.zeros(width),
        W_dec=directions,
        b_dec=torch.zeros(size) if center is None else center.float().cpu(),
        origin={"format": "random", "seed": seed},
        k=k,
    )


def _two_sided(
    name: str, site: str, directions: torch.Tensor, center: torch.Tensor, k: int | None = None
) -> Dictionary:
    """Orthonormal `directions` [n, d_in], each read with both signs from `center` [d_in]; the `k` strongest, or all."""
    both = torch.cat([directions, -directions])
    weights: dict[str, Any] = {
        "name": name,
        "site": site,
        "W_enc": both.T.contiguous(),
        "b_enc": torch.zeros(len(both)),
        "W_dec": both,
        "b_dec": center,
        "origin": {"format": name},
    }
    return ReLU(**weights) if k is None else TopK(**weights, k=k)
