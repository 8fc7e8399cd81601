"""What runs predict at the last position, and the metrics of patching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import TextError
from ..session.runner import Runner
from .ranking import top_k as largest

METRICS = ("logit_difference", "probability")


def check_metric(metric: str) -> None:
    """Raises TextError for a metric that patching does not have."""
    if metric not in METRICS:
        raise TextError(f"{metric!r} is not a metric; choose one of {', '.join(METRICS)}.")


@dataclass
class Prediction:
    """What runs predict at the last position. `...` is one axis of runs, or rows x columns of a grid; `K` listed tokens."""

    logit_difference: torch.Tensor
    """[...] float64: logit(answer) - logit(foil)"""
    probability: torch.Tensor
    """[...] float64: probability of the answer"""
    total: torch.Tensor
    """[...] float64: log of the sum of exp(logit) over the vocabulary, so that a logit gives a probability"""
    top_ids: torch.Tensor
    """[..., K] int64, likeliest first"""
    top_probabilities: torch.Tensor
    """[..., K] float64"""
    normed: torch.Tensor
    """[..., width] the normalised stream that the logits are read from: it answers for any other token"""

    @staticmethod
    def empty(shape: Sequence[int], k: int, width: int) -> Prediction:
        """Nothing known yet: NaN, and -1 for ids."""
        one, two, three, listed = (
            torch.full((*shape, *more), torch.nan, dtype=torch.float64) for more in ((), (), (), (k,))
        )
        return Prediction(one, two, three, torch.full((*shape, k), -1), listed, torch.full((*shape, width), torch.nan))

    @staticmethod
    def cat(parts: Sequence[Prediction]) -> Prediction:
        """Predictions one after the other."""
        return Prediction(*(torch.cat(fields) for fields in zip(*(vars(part).values() for part in parts), strict=True)))

    def __getitem__(self, where: Any) -> Prediction:
        return Prediction(*(field[where] for field in vars(self).values()))

    def __setitem__(self, where: Any, value: Prediction) -> None:
        for name, field in vars(self).items():
            field[where] = getattr(value, name)

    def __len__(self) -> int:
        return len(self.total)

    def clone(self) -> Prediction:
        return Prediction(*(field.clone() for field in vars(self).values()))

    def asked(self, model: Runner, answer: int, foil: int) -> Prediction:
        """The same runs, measured by another answer and foil: two rows of the unembedding, and no run."""
        logits = model.logits_of(self.normed, [answer, foil]).double()
        return replace(
            self, logit_difference=logits[..., 0] - logits[..., 1], probability=(logits[..., 0] - self.total).exp()
        )


def predict(logits: torch.Tensor, normed: torch.Tensor, answer: int, foil: int, k: int) -> Prediction:
    """`logits` [rows, vocabulary], `normed` [rows, width]"""
    logits = logits.float()
    values, indices = largest(logits, min(k, logits.shape[-1]))
    total, chosen = logits.logsumexp(-1).cpu().double(), logits[:, [answer, foil]].cpu().double()
    return Prediction(
        chosen[:, 0] - chosen[:, 1],
        (chosen[:, 0] - total).exp(),
        total,
        indices.cpu(),
        (values.cpu().double() - total[:, None]).exp(),
        normed.float().cpu(),
    )
