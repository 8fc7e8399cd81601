"""A patching sweep as it stands: its numbers, what they mean beside the baselines, and their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
import torch

from .. import frames
from ..errors import AlignmentError, TextError
from ..session.cache import KeysValues
from ..session.session import Session
from ..session.sites import Site
from .alignment import Pairs
from .ranking import top_k as largest

METRICS = ("logit_difference", "probability")


def check_metric(metric: str) -> None:
    """Raises TextError for a metric that patching does not have."""
    if metric not in METRICS:
        raise TextError(f"{metric!r} is not a metric; choose one of {', '.join(METRICS)}.")


@dataclass
class Prediction:
    """What runs predict at the last position: one row a run, K listed tokens. float64 and int64."""

    logit_difference: torch.Tensor
    """[rows]: logit(answer) - logit(foil)"""
    probability: torch.Tensor
    """[rows]: probability of the answer"""
    top_ids: torch.Tensor
    """[rows, K]"""
    top_logits: torch.Tensor
    """[rows, K]"""
    top_probabilities: torch.Tensor
    """[rows, K]"""

    @staticmethod
    def cat(parts: Sequence[Prediction]) -> Prediction:
        """Predictions one after the other."""
        return Prediction(
            *(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True))
        )

    def __getitem__(self, rows: slice) -> Prediction:
        return Prediction(*(column[rows] for column in vars(self).values()))


def predict(logits: torch.Tensor, answer: int, foil: int, k: int) -> Prediction:
    """`logits` [rows, vocabulary]"""
    values, indices = largest(logits, min(k, logits.shape[-1]))
    total = logits.logsumexp(-1).double()
    return Prediction(
        (logits[:, answer] - logits[:, foil]).double().cpu(),
        (logits[:, answer].double() - total).exp().cpu(),
        indices.cpu(),
        values.double().cpu(),
        (values.double() - total[:, None]).exp().cpu(),
    )


@dataclass(frozen=True)
class Reading:
    """Both prompts, read once."""

    clean: dict[str, torch.Tensor]
    """Activations at the sites of the sweep, [tokens, ...] each, and the last logits, [1, vocabulary]."""
    corrupt: dict[str, torch.Tensor]
    """The same, and the stream into the first and out of every layer."""
    kept: KeysValues
    """Keys and values of the corrupt prompt; empty if the model keeps none."""

    def stream(self, layer: int) -> torch.Tensor:
        """The corrupt stream after a layer, [tokens, width]; layer -1: before the first."""
        return self.corrupt["resid_pre.0" if layer < 0 else f"resid_post.{layer}"]


@dataclass
class PatchingRun:
    """A sweep, filled in as it goes. `S` sites, `P` corrupt positions, `K` listed tokens; NaN where not computed."""

    clean: pl.DataFrame
    corrupt: pl.DataFrame
    pairs: Pairs
    sites: list[Site]
    answer: int
    foil: int
    clean_prediction: Prediction
    corrupt_prediction: Prediction
    unaffected: list[int]
    """Corrupt positions that are zero by causality."""
    tolerance: float
    """How far the identity row may move the logit difference at this precision."""
    logit_difference: torch.Tensor
    """[S, P] of the patched run"""
    probability: torch.Tensor
    """[S, P] of the patched run"""
    top_ids: torch.Tensor
    """[S, P, K], -1 where not computed"""
    top_probabilities: torch.Tensor
    """[S, P, K]"""
    identity: list[float] = field(default_factory=list)
    """Change of the logit difference by each identity patch so far."""

    estimate: torch.Tensor | None = None
    """[S, P]: a first-order estimate of the effect on the logit difference, until the cell is computed."""
    reading: Reading | None = None
    """Both prompts' activations, for a sweep that is not finished."""

    @property
    def source(self) -> dict[int, int]:
        """Per corrupt position the clean position whose activation goes there."""
        return {j: i for i, j in self.pairs}

    def patchable(self, positions: Sequence[int] | None) -> list[int]:
        """The corrupt positions asked for, None for all that have a partner.

        Raises:
            AlignmentError: a position without a partner.
        """
        wanted = sorted(self.source) if positions is None else [int(p) for p in positions]
        if lost := [p for p in wanted if p not in self.source]:
            raise AlignmentError(
                f"Position {lost[0]} of the corrupt prompt has no partner in the clean one, so nothing can be put there."
            )
        return wanted

    def cells(self, rows: Sequence[int], at: Sequence[int]) -> dict[str, object]:
        """What every frame of cells says first: site, layer and tokens, of cells given by row and position."""
        source = self.source
        return {
            "site": [str(self.sites[row]) for row in rows],
            "layer": [self.sites[row].layer for row in rows],
            "position": list(at),
            "token_id": self.corrupt["token_id"].gather(list(at)),
            "token": self.corrupt["token"].gather(list(at)),
            "clean_position": [source[p] for p in at],
        }

    def gap(self, metric: str) -> float:
        """Clean minus corrupt; NaN where there is none to recover."""
        gap = float(getattr(self.clean_prediction, metric)[0] - getattr(self.corrupt_prediction, metric)[0])
        return gap if abs(gap) > 1e-6 else float("nan")

    def estimate_left(self) -> torch.Tensor | None:
        """[S, P]: the estimate where nothing is computed yet, else NaN; None when all is computed."""
        missing = self.logit_difference.isnan()
        if self.estimate is None or self.estimate[missing].isnan().all():
            return None
        return torch.where(missing, self.estimate, torch.nan)

    def fill(self, row: int, at: Sequence[int], cells: Prediction) -> None:
        """Put the predictions of one site's cells into the grid; one prediction stands for all of them."""
        self.logit_difference[row, at] = cells.logit_difference
        self.probability[row, at] = cells.probability
        self.top_ids[row, at] = cells.top_ids
        self.top_probabilities[row, at] = cells.top_probabilities

    def check(self, cells: Prediction) -> bool:
        """Note what patches that must change nothing have changed; whether it is within the tolerance."""
        moved = (cells.logit_difference - self.corrupt_prediction.logit_difference[0]).tolist()
        self.identity += moved
        return max(map(abs, moved), default=0.0) <= self.tolerance

    def effect(self, metric: str) -> torch.Tensor:
        """[S, P]: patched minus corrupt."""
        return getattr(self, metric) - getattr(self.corrupt_prediction, metric)[0]

    def recovery(self, metric: str) -> torch.Tensor:
        """[S, P]: effect over the difference between clean and corrupt; NaN where that is zero."""
        return self.effect(metric) / self.gap(metric)

    @property
    def same_prompt(self) -> bool:
        """Clean and corrupt are one text: every effect must be zero."""
        return self.clean["token_id"].to_list() == self.corrupt["token_id"].to_list()

    def same_question(self, other: PatchingRun) -> bool:
        """Whether another run asks for the same cells."""
        mine, theirs = (
            (r.clean["token_id"].to_list(), r.corrupt["token_id"].to_list(), r.pairs, r.sites, r.answer, r.foil)
            for r in (self, other)
        )
        return mine == theirs

    @property
    def largest_identity(self) -> float:
        """The largest change by a patch that must change nothing: identity rows, and every cell where the prompts are one."""
        moved = [abs(x) for x in self.identity]
        if self.same_prompt:
            moved += self.effect("logit_difference").abs().nan_to_num(0).flatten().tolist()
        return max(moved, default=0.0)


def patching_frame(run: PatchingRun, metric: str = "logit_difference") -> pl.DataFrame:
    """The cells computed so far (see `frames.PATCHING`)."""
    rows, positions = (~run.logit_difference.isnan()).nonzero(as_tuple=True)
    at, which = positions.tolist(), rows.tolist()
    recovery = run.recovery(metric)[rows, positions]
    columns = {
        **run.cells(which, at),
        "method": ["causal" if p in run.unaffected else "exact" for p in at],
        "metric": getattr(run, metric)[rows, positions].tolist(),
        "effect": run.effect(metric)[rows, positions].tolist(),
        "recovery": [None if r != r else r for r in recovery.tolist()],
        "logit_difference": run.logit_difference[rows, positions].tolist(),
        "probability": run.probability[rows, positions].tolist(),
    }
    return frames.build(frames.PATCHING, columns)


def predictions(model: Session, run: PatchingRun, cells: Sequence[tuple[str, int]] = ()) -> pl.DataFrame:
    """What the clean run, the corrupt run and some patched cells `(site, position)` predict next (see `frames.PREDICTIONS`)."""
    shown = [("clean", run.clean_prediction.top_ids[0], run.clean_prediction.top_probabilities[0])]
    shown.append(("corrupt", run.corrupt_prediction.top_ids[0], run.corrupt_prediction.top_probabilities[0]))
    for site, position in cells:
        row = run.sites.index(model.site(site))
        shown.append((f"{site}@{position}", run.top_ids[row, position], run.top_probabilities[row, position]))
    columns: dict[str, list[object]] = {"run": [], "rank": [], "token_id": [], "token": [], "probability": []}
    for name, ids, probabilities in shown:
        for rank, (token_id, probability) in enumerate(zip(ids.tolist(), probabilities.tolist(), strict=True), 1):
            if token_id >= 0:
                for key, value in zip(
                    columns, (name, rank, token_id, model.text_of(token_id), probability), strict=True
                ):
                    columns[key].append(value)
    return frames.build(frames.PREDICTIONS, columns)
