"""A grid of patched runs as it stands: its numbers, what they mean beside the baselines, and its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import AlignmentError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session
from .alignment import Pairs
from .choices import check_tokens
from .prediction import Prediction, predict
from .reading import Read, Reading, Row, Span

LOGIT_ROWS = 128
"""Runs whose logits are held at once; fewer would read the unembedding too often."""
UNDEFINED = {"logit_difference": 1e-3, "probability": 1e-6}
"""A difference between the prompts so small is rounding: nothing can be recovered of it."""


@dataclass
class PatchingRun:
    """`R` rows (sites) x `C` columns (positions) of patched runs, filled in as it goes; NaN where not computed.

    The *prompt* is patched, the *source* gives what is put in. To denoise, the prompt is the corrupt one and the source the clean
    one; to noise it is the other way round. An ablation has one prompt, which is its own source.
    """

    source: pl.DataFrame
    prompt: pl.DataFrame
    ids: tuple[list[int], list[int]]
    """Of the source and the prompt."""
    pairs: Pairs
    """(position in the source, position in the prompt), ascending."""
    rows: list[Row]
    columns: list[Span]
    answer: int
    foil: int
    source_prediction: Prediction
    """Of one run: fields of shape [1, ...]."""
    prompt_prediction: Prediction
    unaffected: list[int]
    """Positions of the prompt that are zero by causality."""
    tolerance: float
    """How far an identity patch may move the logit difference at this precision."""
    cells: Prediction
    """[R, C, ...]"""
    read: Read
    """Reads the prompts (again), for a sweep that goes on."""
    reading: Reading | None = None
    """What `read` gave, until the sweep ends: a result that is kept does not keep activations."""
    direction: str = "denoise"
    method: str = "exact"
    """What a computed cell is called in the frame."""
    ways: dict[tuple[str, bool], str] = field(default_factory=dict)
    """How each group of rows was run, see `sweep`."""
    identity: list[float] = field(default_factory=list)
    """Change of the logit difference by each identity patch so far."""
    patched: int = 0
    """Patched runs that the model has returned for cells of this grid."""
    whole: Prediction | None = None
    """The stream of a middle layer patched at every position: the source's own prediction, if all tokens are paired. [1, ...]"""
    estimate: torch.Tensor | None = None
    """[R, C]: a first-order estimate of the effect on the logit difference, until the cell is computed."""

    @property
    def labels(self) -> list[str]:
        """Name of each row."""
        return [label_of(row) for row in self.rows]

    @property
    def partner(self) -> dict[int, int]:
        """Per position of the prompt the source's position whose activation goes there."""
        return {j: i for i, j in self.pairs}

    @property
    def causal(self) -> list[int]:
        """Columns that are zero by causality."""
        same = set(self.unaffected)
        return [c for c, span in enumerate(self.columns) if same.issuperset(span)]

    @property
    def patchable(self) -> list[int]:
        """Columns whose positions all have a partner."""
        partner = self.partner
        return [c for c, span in enumerate(self.columns) if all(p in partner for p in span)]

    def check_partners(self) -> None:
        """Raises AlignmentError for a column with a position that nothing can be put at."""
        partner = self.partner
        if lost := [p for span in self.columns for p in span if p not in partner]:
            raise AlignmentError(
                f"Position {lost[0]} of the patched prompt has no partner in the other one, so nothing can be put there."
            )

    @property
    def done(self) -> torch.Tensor:
        """[R, C]: whether a cell is computed."""
        return ~self.cells.logit_difference.isnan()

    @property
    def paired_throughout(self) -> bool:
        """Whether every token of either prompt has its partner in the other one."""
        return len(self.pairs) == len(self.ids[0]) == len(self.ids[1])

    def measure(self, model: Runner) -> Callable[[torch.Tensor], Prediction]:
        """From normalised streams [rows, width] to what they predict. Inside a run only."""
        k, width = self.cells.top_ids.shape[-1], self.cells.normed.shape[-1]

        def measured(normed: torch.Tensor) -> Prediction:
            parts, room = [], None
            for rows in normed.split(LOGIT_ROWS):
                room = model.head(rows, out=room)
                parts.append(predict(room, rows[:, :width], self.answer, self.foil, k))
            return Prediction.cat(parts)

        return measured

    def fill(self, rows: Sequence[int], columns: Sequence[int], found: Prediction) -> None:
        """Put predictions into the grid, row by row."""
        where = torch.tensor(rows)[:, None], torch.tensor(columns)[None]
        self.cells[where] = Prediction(*(x.unflatten(0, (len(rows), len(columns))) for x in vars(found).values()))
        self.patched += len(found)

    def fill_causal(self) -> None:
        """The columns that no run is needed for."""
        if self.causal:
            self.cells[:, self.causal] = self.prompt_prediction[0]

    # filled where the model is

    def work(self, model: Session, function: Callable[..., None], *args: Any, progress: Progress = silent) -> None:
        """`function(model, run, *args, progress=...)` where the model is, which fills cells of this run."""
        if not model.apart:
            function(model, self, *args, progress=progress)
            return
        found = model.work(fill_there, function, self.bare(model), args, progress=progress)
        self.cells[found.done] = found.cells[found.done]
        self.ways |= found.ways
        self.identity += found.identity
        self.patched += found.patched
        self.whole = self.whole if found.whole is None else found.whole

    def bare(self, model: Session) -> PatchingRun:
        """The run as work needs it: as it is, but for a server without what is found so far."""
        if not model.apart:
            return self
        return replace(self, cells=self._nothing((0, 0)), reading=None, estimate=None, identity=[], patched=0)

    def _nothing(self, shape: Sequence[int]) -> Prediction:
        """Cells of which nothing is known, with as much said of each as here."""
        return Prediction.empty(shape, self.cells.top_ids.shape[-1], self.cells.normed.shape[-1])

    def regrid(self, rows: list[Row], read: Read) -> PatchingRun:
        """An empty grid of other rows for the same prompts."""
        cells = self._nothing((len(rows), len(self.columns)))
        return replace(
            self, rows=rows, cells=cells, read=read, reading=None, ways={}, identity=[], patched=0, estimate=None
        )

    @property
    def can_be_asked(self) -> bool:
        """Whether the runs can be measured by another answer; not where their streams stayed on a server."""
        return self.cells.normed.shape[-1] > 0

    def asked(self, model: Session, answer: int, foil: int) -> PatchingRun:
        """The same runs measured by another answer and foil. Nothing is run; estimates are dropped.

        Raises:
            TextError: answer and foil are one token.
        """
        check_tokens(model, answer, foil)
        out = copy(self)
        for name in ("source_prediction", "prompt_prediction", "cells"):
            setattr(out, name, getattr(self, name).clone().asked(model, answer, foil))
        out.whole = None if self.whole is None else self.whole.asked(model, answer, foil)
        out.answer, out.foil, out.estimate, out.identity = answer, foil, None, list(self.identity)
        return out

    @property
    def clean_prediction(self) -> Prediction:
        return self.source_prediction if self.direction == "denoise" else self.prompt_prediction

    @property
    def corrupt_prediction(self) -> Prediction:
        return self.prompt_prediction if self.direction == "denoise" else self.source_prediction

    # what the numbers mean

    def gap(self, metric: str) -> float:
        """Source minus prompt: what a patch can bring over; NaN where that is rounding."""
        gap = float(getattr(self.source_prediction, metric)[0] - getattr(self.prompt_prediction, metric)[0])
        return gap if abs(gap) > UNDEFINED[metric] else float("nan")

    def effect(self, metric: str) -> torch.Tensor:
        """[R, C]: patched minus unpatched prompt."""
        return getattr(self.cells, metric) - getattr(self.prompt_prediction, metric)[0]

    def recovery(self, metric: str) -> torch.Tensor:
        """[R, C]: effect over the difference between source and prompt; NaN where there is none."""
        return self.effect(metric) / self.gap(metric)

    def estimate_left(self) -> torch.Tensor | None:
        """[R, C]: the estimate where nothing is computed yet, else NaN; None when all is computed."""
        missing = ~self.done
        if self.estimate is None or self.estimate[missing].isnan().all():
            return None
        return torch.where(missing, self.estimate, torch.nan)

    # checks

    def check(self, cells: Prediction) -> bool:
        """Note what patches that must change nothing have changed; whether it is within the tolerance."""
        moved = (cells.logit_difference - self.prompt_prediction.logit_difference[0]).tolist()
        self.identity += moved
        return max(map(abs, moved), default=0.0) <= self.tolerance

    @property
    def same_prompt(self) -> bool:
        """Source and prompt are one text."""
        return self.ids[0] == self.ids[1]

    @property
    def largest_identity(self) -> float:
        """The largest change by a patch that must change nothing: identity patches, and every cell where the prompts are one."""
        moved = [abs(x) for x in self.identity]
        if self.same_prompt and self.method == "exact":
            moved += self.effect("logit_difference").abs().nan_to_num(0).flatten().tolist()
        return max(moved, default=0.0)

    def same_grid(self, other: PatchingRun) -> bool:
        """Whether another run patches the same cells of the same prompts."""
        mine, theirs = ((r.ids, r.pairs, r.rows, r.columns, r.method) for r in (self, other))
        return mine == theirs

    # frames

    def describe(self, rows: Sequence[int], columns: Sequence[int]) -> dict[str, object]:
        """What every frame of cells says first, for cells given by row and column."""
        partner, labels = self.partner, self.labels
        spans = [self.columns[c] for c in columns]
        first = [span[0] for span in spans]
        return {
            "site": [labels[row] for row in rows],
            "layer": [min(int(site.layer or 0) for site in self.rows[row]) for row in rows],
            "position": first,
            "last_position": [span[-1] for span in spans],
            "token_id": self.prompt["token_id"].gather(first),
            "token": ["".join(self.prompt["token"].gather(list(span))) for span in spans],
            "source_position": [partner[p] for p in first],
        }


@dataclass(frozen=True)
class Filled:
    """What work on a run has found."""

    cells: Prediction
    done: torch.Tensor
    ways: dict[tuple[str, bool], str]
    identity: list[float]
    patched: int
    whole: Prediction | None


def fill_there(model: Runner, function: Callable[..., None], run: PatchingRun, args: Sequence[Any]) -> Filled:
    """Work that fills an empty run, and what it found."""
    run.cells = run._nothing((len(run.rows), len(run.columns)))
    function(model, run, *args, progress=silent)
    return Filled(run.cells, run.done, run.ways, run.identity, run.patched, run.whole)


def label_of(row: Row) -> str:
    """Name of sites that are patched together."""
    return "+".join(map(str, row))


def patching_frame(run: PatchingRun, metric: str = "logit_difference") -> pl.DataFrame:
    """The cells computed so far (see `frames.PATCHING`)."""
    where = run.done.nonzero(as_tuple=True)
    rows, columns = (index.tolist() for index in where)
    causal = set(run.causal)
    recovery = run.recovery(metric)[where]
    data = {
        **run.describe(rows, columns),
        "method": ["causal" if c in causal else run.method for c in columns],
        "metric": getattr(run.cells, metric)[where].tolist(),
        "effect": run.effect(metric)[where].tolist(),
        "recovery": [None if r != r else r for r in recovery.tolist()],
        "logit_difference": run.cells.logit_difference[where].tolist(),
        "probability": run.cells.probability[where].tolist(),
    }
    return frames.build(frames.PATCHING, data)
