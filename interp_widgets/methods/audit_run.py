"""What an audit gathers: sums over the tokens of each window, so that any share of the windows can be summed up and drawn anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, TypeVar

import numpy as np
import torch

from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_reconstructs
from ..session.harvest import Batch, Window, batched, each_batch, windows
from ..session.session import Session, Text
from .audit_batch import Sums, measure_batch
from .audit_fit import ALL, TEXT, Fit, Settings, Split, fit, spread
from .error_effect import ErrorEffect, run_effect

T = TypeVar("T")
EDGES = 10.0 ** (np.arange(-19, 1) / 4)
"""Upper ends of the columns of a histogram of densities: four for each power of ten, from 10^-4.75 to 1."""


@dataclass(eq=False)
class AuditRun:
    """The sums of one dictionary and of what it is compared with. `N` windows measured so far."""

    site: str
    sae: Dictionary
    settings: Settings
    fit: Fit
    fitted: list[Window]
    """What was fitted on."""
    measured: list[Window]
    """What is to be measured, besides the text that is looked at."""
    sources: list[str] = field(default_factory=list)
    """[N]: the source of each window; `TEXT` for those of the text that is looked at."""
    tokens: list[int] = field(default_factory=list)
    """[N]: tokens that count"""
    inside: list[int] = field(default_factory=list)
    """[N]: tokens of text, counted or not"""
    predicted: list[int] = field(default_factory=list)
    """[N]: predictions that the loss is over; 0 where it was not measured"""
    sum: list[np.ndarray] = field(default_factory=list)
    """[N] of [d_in], float64: sum of x"""
    square: list[float] = field(default_factory=list)
    """[N]: sum of |x|^2"""
    sums: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """[N] for (dictionary, quantity): sums over tokens of `error` |x - x_hat|^2, `cosine`, `norm_ratio` and `active`."""
    loss: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """[N] for each dictionary and for `model` (as it is), `mean` and `zero` (in the place of x): summed, NaN if not measured"""
    fired: dict[tuple[str, str], torch.Tensor] = field(default_factory=dict)
    """[width] for (dictionary, source): tokens at which each atom fires"""
    effects: dict[str, ErrorEffect] = field(default_factory=dict)
    """By dictionary: what removing atoms and errors does to what the text that is looked at says next"""
    activation: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    """[width], float64: activation of each atom of `sae`, summed over all texts"""

    @property
    def dictionaries(self) -> dict[str, Dictionary]:
        """The one that is audited first, by name."""
        return {self.sae.name: self.sae, **self.fit.others}

    @property
    def done(self) -> bool:
        """Whether every window of the texts is measured."""
        return int(self.at(ALL).sum()) == len(self.measured)

    @property
    def with_loss(self) -> list[Window]:
        """The windows of the texts that the loss is measured on."""
        return spread(self.measured, self.settings.loss_tokens)[0]

    @property
    def named(self) -> list[str]:
        """Names of the sources, as the texts came."""
        return [name for name in dict.fromkeys(self.sources) if name not in ("", TEXT)]

    def at(self, source: str) -> np.ndarray:
        """[N], bool: the windows of a source; `ALL` is every one but those of the text that is looked at."""
        names = np.array(self.sources, dtype=object)
        return names != TEXT if source == ALL else names == source

    def density(self, source: str, dictionary: str | None = None) -> np.ndarray:
        """[width]: share of a source's tokens at which each atom fires; NaN without tokens."""
        name = dictionary or self.sae.name
        names = [s for s in dict.fromkeys(self.sources) if (s != TEXT if source == ALL else s == source)]
        fired = sum((self.fired[name, s].numpy() for s in names), np.zeros(self.dictionaries[name].width))
        tokens = int(np.array(self.tokens)[self.at(source)].sum()) if self.tokens else 0
        return fired / tokens if tokens else np.full_like(fired, np.nan)

    def histogram(self, source: str) -> np.ndarray:
        """[1 + len(EDGES)]: atoms that never fire, and atoms by density: up to the first edge, to the second, ... to 1."""
        density = self.density(source)
        counted = np.bincount(self._bins(density), minlength=len(EDGES) + 1)
        return counted if np.isfinite(density).all() else np.zeros_like(counted)

    def atoms_in(self, source: str, column: int) -> list[int]:
        """The atoms of a column of `histogram`, the densest first."""
        density = self.density(source)
        members = np.flatnonzero(self._bins(density) == column)
        return members[np.argsort(-density[members], kind="stable")].tolist()

    @staticmethod
    def _bins(density: np.ndarray) -> np.ndarray:
        return np.where(density > 0, 1 + np.searchsorted(EDGES, density, side="left").clip(max=len(EDGES) - 1), 0)

    def strength(self) -> np.ndarray:
        """[width]: mean activation of each atom where it fires, over all texts; NaN for atoms that never fire."""
        fired = self.density(ALL) * sum(n for n, s in zip(self.tokens, self.sources, strict=True) if s != TEXT)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.activation.numpy() / fired


def start(model: Session, windows: Split, sae: Dictionary, settings: Settings, progress: Progress = silent) -> AuditRun:
    """A run with nothing measured yet; the baselines are fitted."""
    check_reconstructs(model, sae)
    fitting, measured = windows
    fitted = fit(model, sae, fitting, settings, progress)
    run = AuditRun(sae.site, sae, settings, fitted, fitting, measured)
    run.activation = torch.zeros(sae.width, dtype=torch.float64)
    return run


def measure_texts(model: Session, run: AuditRun, progress: Progress = silent) -> None:
    """Reads the windows and fills the run: those with a loss first, then the others."""
    parts = spread(run.measured, run.settings.loss_tokens)
    for part, loss in zip(parts, (True, False), strict=True):
        _take(model, run, part, loss, "texts", progress)
    progress(len(run.measured), len(run.measured), run.site, run)


def measure_text(
    model: Session,
    run: AuditRun,
    text: Text,
    *,
    answer: str | int | None = None,
    foil: str | int | None = None,
    progress: Progress = silent,
) -> None:
    """Reads the text that is looked at. Which answer its errors matter to is asked for its first window alone."""
    looked_at = list(windows(model, [text], context=run.settings.context))
    for name, dictionary in run.dictionaries.items():
        progress(0, 0, f"{name}: what goes through the errors")
        ids, first = (looked_at[0].ids if looked_at else text), name == run.sae.name
        run.effects[name] = run_effect(
            model, ids, dictionary, answer=answer, foil=foil, outliers=run.settings.outliers, whole_curve=first
        )
    named = [replace(window, source=TEXT) for window in looked_at]

    def report(done: int, total: int, message: str = "", partial: Any = None) -> None:
        progress(0, 0, message)

    _take(model, run, named, True, "text", report)


def without_text(run: AuditRun) -> AuditRun:
    """The run as it was before a text was looked at."""
    keep = run.at(ALL).tolist()

    def kept(values: list[T]) -> list[T]:
        return list(compress(values, keep))

    return replace(
        run,
        sources=kept(run.sources),
        tokens=kept(run.tokens),
        inside=kept(run.inside),
        predicted=kept(run.predicted),
        sum=kept(run.sum),
        square=kept(run.square),
        sums=defaultdict(list, {key: kept(values) for key, values in run.sums.items()}),
        loss=defaultdict(list, {key: kept(values) for key, values in run.loss.items()}),
        fired={key: count for key, count in run.fired.items() if key[1] != TEXT},
        effects={},
    )


def _take(
    model: Session, run: AuditRun, part: list[Window], loss: bool, what: str, progress: Progress = silent
) -> None:
    """Reads windows and adds them to the sums."""

    def report(done: int, total: int, message: str = "", partial: Any = None) -> None:
        progress(int(run.at(ALL).sum()), len(run.measured), message, run)

    def told() -> Iterator[Batch]:
        for batch in batched(model, part, size=run.settings.batch):
            report(0, 0, f"{run.site}: reading the {what}")
            yield batch

    asked = run.site, run.dictionaries, run.fit.mean, loss, run.settings.outliers
    for batch, found in each_batch(model, told(), measure_batch, *asked, progress=report):
        _add(run, batch, found)


def _add(run: AuditRun, batch: Batch, found: Sums) -> None:
    """Adds the sums of a batch to the run's."""
    names = [window.source for window in batch.windows]
    run.sources += names
    run.tokens += found.tokens
    run.inside += batch.inside.sum(1).tolist()
    run.predicted += found.predicted
    run.sum += list(found.sum.numpy())
    run.square += found.square
    for key, values in found.sums.items():
        run.sums[key] += values
    for name, nats in found.loss.items():
        run.loss[name] += nats
    for key, count in found.fired.items():
        run.fired[key] = run.fired.get(key, 0) + count
    if TEXT not in names:
        run.activation += found.activation
