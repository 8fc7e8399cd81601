"""Steered runs as they stand: their outcomes, strength by strength, and their frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch

from .. import frames
from ..session.session import Session
from ..session.stays import Stays
from .steered_runs import Change, Said

METRICS = ("logit_difference", "probability", "kl", "fluency")


@dataclass(frozen=True)
class Outcome:
    """One run: what it says, and its metrics (see `frames.STEERING`)."""

    said: Said
    logit_difference: float
    probability: float
    kl: float
    fluency: float


@dataclass
class SteeringRun:
    """A prompt, what is done to it, and the outcomes known so far."""

    tokens: pl.DataFrame
    masked: list[int]
    change: Change
    norms: torch.Tensor
    """[sites, tokens]: of the unsteered prompt's activations at the positions that norm ratios are measured at"""
    coordinates: torch.Tensor
    """[sites, tokens]: `Change.coordinate` of the same"""
    after_prompt: Stays
    """[vocabulary] float64: log-probabilities after the unsteered prompt"""
    answer: int
    foil: int
    length: int
    """New tokens."""
    ends: list[int]
    """Tokens that end a text."""
    temperature: float
    seed: int
    seeds: list[int]
    """Of the random directions."""
    strengths: list[float]
    """Ascending."""
    baseline: Outcome | None = None
    outcomes: dict[tuple[int | None, float], Outcome] = field(default_factory=dict)
    """By the seed of a random direction, None for the given one, and strength."""

    def norm_ratio(self, strength: float) -> float:
        """Median of |change| / |activation| over the steered tokens of the prompt and the sites, as they are unsteered."""
        amount = self.change.amount(self.coordinates, torch.tensor(float(strength)))
        ratio = amount.abs() * self.change.direction.norm / self.norms.clamp(min=1e-30)
        return float(np.median(ratio.cpu()))

    def values(self, metric: str, seed: int | None = None) -> list[float]:
        """A metric at each strength, NaN where it is not known yet."""
        return [
            getattr(self.outcomes[seed, s], metric) if (seed, s) in self.outcomes else math.nan for s in self.strengths
        ]

    def random_range(self, metric: str) -> np.ndarray:
        """Mean, least and largest over the random directions, [3, strengths]; NaN where not all are known."""
        values = np.array([self.values(metric, seed) for seed in self.seeds]).reshape(-1, len(self.strengths))
        if not self.seeds:
            return np.full((3, len(self.strengths)), np.nan)
        return np.stack([values.mean(0), values.min(0), values.max(0)])


def steering_frame(run: SteeringRun) -> pl.DataFrame:
    """The metrics of what is known so far (see `frames.STEERING`)."""
    ratios = {strength: run.norm_ratio(strength) for strength in run.strengths}
    rows = [
        (who, seed, strength, ratios[strength] if who != "baseline" else 0.0, *(getattr(one, m) for m in METRICS))
        for who, seed, strength, one in _listed(run)
    ]
    return frames.build(frames.STEERING, dict(zip(frames.STEERING, zip(*rows, strict=True), strict=True)))


def text_frame(model: Session, run: SteeringRun) -> pl.DataFrame:
    """What the runs known so far say (see `frames.STEERED_TEXT`)."""
    rows = [
        (who, seed, strength, step, i, model.text_of(i), p)
        for who, seed, strength, one in _listed(run)
        for step, (i, p) in enumerate(zip(one.said.token_ids, one.said.probabilities, strict=True))
    ]
    return frames.build(frames.STEERED_TEXT, dict(zip(frames.STEERED_TEXT, zip(*rows, strict=True), strict=True)))


def _listed(run: SteeringRun) -> list[tuple[str, int | None, float, Outcome]]:
    """All outcomes in the order of the frames."""
    out: list[tuple[str, int | None, float, Outcome]] = [("baseline", None, 0.0, run.baseline)] if run.baseline else []
    for seed in [None, *run.seeds]:
        who = "given" if seed is None else "random"
        out += [(who, seed, s, run.outcomes[seed, s]) for s in run.strengths if (seed, s) in run.outcomes]
    return out
