"""Linear probes, and how many directions a labelled concept takes.

A concept that is one direction is read from that direction as well as from all of them, and with it removed nothing is left to
read. So directions are found one after the other, each by a probe on what the earlier ones leave (iterative null-space projection:
Ravfogel et al., arXiv:2004.07667). Accuracy is on examples that no probe was fitted on.

That a probe reads a concept does not mean that the model uses it; and a concept that no line separates, such as "one of two but not
both", has accuracy near one half at every k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from ..progress import Progress, silent
from ..session.session import Session, Text
from .states import states

L2 = 1e-3
HELD_OUT = 0.3
Z = 1.959963984540054
"""Two-sided 95 % of a normal distribution."""


def fit_probe(x: torch.Tensor, y: torch.Tensor, l2: float = L2) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regression by LBFGS, in the scale of x: weights [width] and bias, with P(y = 1) = sigmoid(x . weights + bias).

    Args:
        x: [examples, width].
        y: [examples] of 0 and 1.
        l2: penalty l2 / 2 |w|^2 on the mean loss, of examples centred and scaled to a mean square norm of 1; default 0.001.
    """
    center = x.double().mean(0)
    scale = (x.double() - center).pow(2).sum(-1).mean().sqrt().clamp(min=1e-30)
    scaled, target = (x.double() - center) / scale, y.double()
    w = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device, requires_grad=True)
    b = torch.zeros((), dtype=torch.float64, device=x.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [w, b], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(scaled @ w + b, target) + l2 / 2 * w.dot(w)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[arg-type]
    weights = w.detach() / scale
    return weights.float(), (b.detach() - center @ weights).float()


def concept_directions(
    model: Session,
    texts: Sequence[Text],
    labels: Sequence[bool],
    *,
    site: str,
    k: int = 4,
    l2: float = L2,
    held_out: float = HELD_OUT,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Accuracy of a concept at the last token of texts, by number of directions (see `frames.CONCEPT_DIRECTIONS`).

    Args:
        model: a session.
        texts, labels: examples, and whether each has the concept.
        site: a site with one vector a token, such as resid_post.15.
        k: directions at most, default 4.
        l2: see `fit_probe`. held_out: share of each class that is measured on, default 0.3. seed: of that choice.

    Raises:
        TextError: labels that do not fit, fewer than four examples of a class, or a text whose last token is a sink. SiteError: no
            such site, or one that is no vector.
    """
    read = [model.encode(text) for text in texts]
    if not read:
        raise TextError("There are no texts. Give examples with the concept and without it.")
    x = states(model, read, site, -1, progress)
    if len(x) < len(read):
        raise TextError(f"Text {len(x)} ends in an attention sink or a marker, which says nothing. Give longer texts.")
    return null_space_directions(x, torch.tensor(list(labels)), k=k, l2=l2, held_out=held_out, seed=seed)[1]


def null_space_directions(
    x: torch.Tensor, labels: torch.Tensor, *, k: int = 4, l2: float = L2, held_out: float = HELD_OUT, seed: int = 0
) -> tuple[torch.Tensor, pl.DataFrame]:
    """The directions [k, width], orthonormal, and `frames.CONCEPT_DIRECTIONS`, from activations [examples, width].

    Raises:
        TextError: as `concept_directions`.
    """
    y = labels.bool()
    if y.shape != x.shape[:1]:
        raise TextError(f"There are {len(x)} examples and {len(y)} labels; give one label for each.")
    if min(int(y.sum()), int((~y).sum())) < 4:
        raise TextError(f"Each class needs 4 examples or more; these are {int(y.sum())} with the concept of {len(y)}.")
    if not 1 <= k <= x.shape[1]:
        raise TextError(f"Directions can be 1 to {x.shape[1]} here, not {k}.")
    test = _held_out(y, held_out, seed)
    x = (x - x[~test].mean(0)).double()
    directions = torch.zeros(0, x.shape[1], dtype=torch.float64)
    rows: list[dict[str, float]] = []
    n = int(test.sum())
    chance = max(float(y[test].double().mean()), float((~y[test]).double().mean()))
    for count in range(1, k + 1):
        left = x - (x @ directions.T) @ directions
        w, b = fit_probe(left[~test], y[~test], l2)
        accuracy = _accuracy(left[test].float(), y[test], w, b)
        new = w.double() - directions.T @ (directions @ w.double())
        directions = torch.cat([directions, (new / new.norm().clamp(min=1e-30))[None]])
        joint = _accuracy(
            (x @ directions.T)[test].float(), y[test], *fit_probe((x @ directions.T)[~test], y[~test], l2)
        )
        low, high = wilson(accuracy * n, n)
        joint_low, joint_high = wilson(joint * n, n)
        rows.append(
            {"directions": count, "accuracy": accuracy, "low": low, "high": high, "joint": joint, "joint_low": joint_low,
             "joint_high": joint_high, "chance": chance, "n": n}
        )  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in frames.CONCEPT_DIRECTIONS}
    return directions.float(), frames.build(frames.CONCEPT_DIRECTIONS, columns)


def wilson(hits: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of `n` (Wilson, 1927)."""
    share, z2 = hits / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _held_out(y: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """[examples]: which are measured on: a share of each class, at least two."""
    generator = torch.Generator().manual_seed(seed)
    test = torch.zeros_like(y)
    for of in (True, False):
        members = (y == of).nonzero().flatten()
        order = members[torch.randperm(len(members), generator=generator)]
        test[order[: min(len(order) - 2, max(2, round(share * len(order))))]] = True
    return test


def _accuracy(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> float:
    return float(((x @ w + b > 0) == y).double().mean())
