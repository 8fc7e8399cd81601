"""What an audit does before it measures: cuts the texts, and fits what a dictionary is compared with.

A fifth of the windows is read for fitting alone (the mean, the principal components, how many numbers a token gets); nothing is
measured on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..errors import TextError
from ..progress import Progress, silent
from ..sae import baselines
from ..sae.baselines import pca as principal
from ..sae.dictionary import Dictionary
from ..session.harvest import Batch, Texts, Values, Window, batched, read_batch, windows
from ..session.runner import Runner
from ..session.session import Session

ALL, TEXT = "all", "this text"
"""Names of the sources that every audit has: all texts together, and the one that is looked at."""
FIT = 5
"""One window of so many of each source is read for fitting alone."""
FIT_TOKENS = 8
"""Times the width: more tokens than that are not needed to fit principal components."""

Split = tuple[list[Window], list[Window]]
"""Windows to fit on, and windows to measure."""


@dataclass(frozen=True)
class Settings:
    """What is measured and on how much, as in `audit`."""

    baselines: bool = True
    tokens: int = 16_384
    loss_tokens: int = 4_096
    context: int | None = None
    batch: int = 8
    outliers: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Fit:
    """What was fitted on windows that are not measured on."""

    mean: torch.Tensor
    """[d_in]"""
    k: int
    """Numbers a token: the mean number of active atoms of the dictionary, rounded."""
    tokens: int
    others: dict[str, Dictionary]
    """The dictionaries that nobody trained, by name."""


def fit(model: Session, sae: Dictionary, fitting: Sequence[Window], settings: Settings, progress: Progress) -> Fit:
    """Reads the windows for fitting.

    Raises:
        TextError: no two of their tokens count.
    """
    parts = list(batched(model, fitting, size=settings.batch))
    found = model.work(_fit_baselines, parts, sae, settings.baselines, settings.outliers, progress=progress)
    made: dict[str, Dictionary] = {} if found.pca is None else {"pca": found.pca}
    if settings.baselines:
        asked: dict[str, Any] = {"k": found.k, "center": found.mean}
        made["random"] = baselines.random(model, sae.site, width=sae.width, seed=settings.seed, **asked)
        made["identity"] = baselines.identity(model, sae.site, **asked)
    made = {name: dictionary.to(sae.W_enc.device) for name, dictionary in made.items() if name != sae.name}
    return Fit(found.mean, found.k, found.tokens, made)


class _Read(NamedTuple):
    """What the windows for fitting say; `mean`, `k` and `tokens` as in `Fit`."""

    mean: torch.Tensor
    k: int
    tokens: int
    pca: Dictionary | None
    """Of k components; None if it is not asked for, or would leave nothing out."""


def _fit_baselines(
    model: Runner, parts: list[Batch], sae: Dictionary, pca: bool, outliers: bool, progress: Progress = silent
) -> _Read:
    found, active = [], 0

    def keep(values: Values, counts: torch.Tensor) -> torch.Tensor:
        return values[sae.site][counts].float()

    for done, part in enumerate(parts):
        progress(done, len(parts), f"{sae.site}: fitting the baselines")
        x = read_batch(model, part, [sae.site], keep, outliers=outliers).to(sae.W_enc)
        active += int((sae.encode(x) > 0).sum())
        found.append(x.cpu())
    x = torch.cat(found)
    if len(x) < 2:
        raise TextError(
            "Nearly all tokens of these texts are left out as attention sinks or markers. Give longer texts."
        )
    k = max(1, round(active / len(x)))
    made = principal(x, sae.site, components=k) if pca and k < min(x.shape) else None
    return _Read(x.double().mean(0).float(), k, len(x), made)


def split(model: Session, texts: Texts, settings: Settings) -> Split:
    """Windows to fit on, some tokens for each dimension, and windows to measure, until they have `tokens`.

    Raises:
        TextError: fewer than two windows, or a source with a name that has a meaning here.
    """
    fitting: list[Window] = []
    measured: list[Window] = []
    seen: dict[str, int] = defaultdict(int)
    fit_tokens = measured_tokens = 0
    for window in _checked(windows(model, texts, context=settings.context)):
        seen[window.source] += 1
        if (
            fit_tokens < FIT_TOKENS * model.width and seen[window.source] % FIT == 2
        ):  # the second: a source of one window is still measured
            fitting.append(window)
            fit_tokens += len(window.ids)
            continue
        measured.append(window)
        measured_tokens += len(window.ids)
        if measured_tokens >= settings.tokens and fitting:
            break
    if not fitting or not measured:
        raise TextError(
            "An audit needs two windows of text or more: one to fit the baselines on, the others to measure."
        )
    return fitting, measured


def _checked(stream: Iterator[Window]) -> Iterator[Window]:
    for window in stream:
        if window.source in (ALL, TEXT):
            raise TextError(
                f"A source of texts cannot be called {window.source!r}, which has a meaning here. Rename it."
            )
        yield window


def spread(measured: Sequence[Window], tokens: int) -> tuple[list[Window], list[Window]]:
    """Windows on which the loss is measured too, evenly over all of them, and the others."""
    whole = sum(len(window.ids) for window in measured)
    share = min(1.0, tokens / whole)
    chosen = [int((i + 1) * share) > int(i * share) for i in range(len(measured))]
    if not any(chosen) and tokens:
        chosen[0] = True
    return tuple([w for w, c in zip(measured, chosen, strict=True) if c is wanted] for wanted in (True, False))  # type: ignore[return-value]
