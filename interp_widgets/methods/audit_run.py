"""What an audit gathers: sums over the tokens of each window, so that any share of the windows can be summed up and drawn anew.

The texts are cut into windows. A fifth of them is read first and only to fit what dictionaries are compared with (the mean, the
principal components, how many numbers a token gets); nothing is measured on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..errors import TextError
from ..progress import Progress, silent
from ..sae import baselines
from ..sae.dictionary import Dictionary
from ..session.harvest import Batch, Texts, Values, Window, batched, read_batch, windows
from ..session.session import Session, Text
from .error_effect import ErrorEffect, run_effect
from .splicing import read_clean, spliced_loss

ALL, TEXT = "all", "this text"
"""Names of the sources that every audit has: all texts together, and the one that is looked at."""
FIT = 5
"""One window of so many of each source is read for fitting alone."""
FIT_TOKENS = 8
"""Times the width: more tokens than that are not needed to fit principal components."""


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


@dataclass(eq=False)
class AuditRun:
    """The sums of one dictionary and of what it is compared with. `N` windows measured so far."""

    site: str
    sae: Dictionary
    fit: Fit
    total: int
    """Windows to measure."""
    outliers: bool = False
    """Whether tokens of outlying norm count."""
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

    def strength(self) -> np.ndarray:
        """[width]: mean activation of each atom where it fires, over all texts; NaN for atoms that never fire."""
        fired = self.density(ALL) * sum(n for n, s in zip(self.tokens, self.sources, strict=True) if s != TEXT)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.activation.numpy() / fired


def prepare(
    model: Session,
    texts: Texts,
    sae: Dictionary,
    *,
    others: bool,
    tokens: int,
    context: int | None,
    batch: int,
    outliers: bool,
    seed: int,
    progress: Progress = silent,
) -> tuple[AuditRun, list[Window]]:
    """Cuts the texts, fits what the dictionary is compared with, and says which windows to measure."""
    fitting, measured = _split(model, texts, tokens, FIT_TOKENS * sae.d_in, context)
    found, active, seen = [], 0, 0

    def keep(values: Values, counts: torch.Tensor) -> torch.Tensor:
        return next(iter(values.values()))[counts].float()

    for done, part in enumerate(batches := list(batched(model, fitting, size=batch))):
        progress(done, len(batches), "fitting the baselines")
        x = read_batch(model, part, [sae.site], keep, outliers=outliers).to(sae.W_enc)
        active, seen = active + int((sae.encode(x) > 0).sum()), seen + len(x)
        found.append(x.cpu())
    x = torch.cat(found)
    if len(x) < 2:
        raise TextError(
            "Nearly all tokens of these texts are left out as attention sinks or markers. Give longer texts."
        )
    k, mean = max(1, round(active / seen)), x.double().mean(0).float()
    made: dict[str, Dictionary] = {}
    if others:
        if k < min(x.shape):
            made["pca"] = baselines.pca(x, sae.site, components=k)
        made["random"] = baselines.random(model, sae.site, width=sae.width, k=k, seed=seed, center=mean)
        made["identity"] = baselines.identity(model, sae.site, k=k, center=mean)
    made = {name: dictionary.to(sae.W_enc.device) for name, dictionary in made.items() if name != sae.name}
    run = AuditRun(sae.site, sae, Fit(mean, k, len(x), made), len(measured), outliers)
    run.activation = torch.zeros(sae.width, dtype=torch.float64)
    return run, measured


def measure(
    model: Session,
    run: AuditRun,
    measured: Sequence[Window],
    text: Text | None,
    *,
    answer: str | int | None,
    foil: str | int | None,
    loss_tokens: int,
    batch: int,
    context: int | None,
    progress: Progress = silent,
) -> None:
    """Reads the windows and fills the run: the text that is looked at first, then those with a loss, then the others.

    Which answer the text's errors matter to is asked for its first window alone.
    """
    looked_at = [] if text is None else list(windows(model, [text], context=context))
    with_loss, without = _spread(measured, loss_tokens)
    if looked_at:
        for name, dictionary in run.dictionaries.items():
            progress(0, 0, f"{name}: effect of errors")
            ids, first = looked_at[0].ids, name == run.sae.name
            run.effects[name] = run_effect(
                model, ids, dictionary, answer=answer, foil=foil, outliers=run.outliers, whole_curve=first
            )
    parts = [
        *((part, TEXT, True) for part in batched(model, looked_at, size=batch)),
        *((part, None, True) for part in batched(model, with_loss, size=batch)),
        *((part, None, False) for part in batched(model, without, size=batch)),
    ]
    run.total = len(looked_at) + len(measured)
    for part, source, loss in parts:
        said = "reading the texts" if source is None else "reading the text"
        progress(len(run.sources), run.total, f"{run.site}: {said}", run if run.sources else None)
        _take(model, run, part, source, loss)
    progress(run.total, run.total, run.site)


def _take(model: Session, run: AuditRun, batch: Batch, source: str | None, loss: bool) -> None:
    """Adds a batch to the sums."""
    names = [source if source is not None else window.source for window in batch.windows]
    rows = len(names)
    if loss:
        reading = read_clean(model, batch, run.site, outliers=run.outliers)
        x, counts = reading.x, reading.counts
    else:
        x, counts = read_batch(
            model, batch, [run.site], lambda v, c: (next(iter(v.values())).float(), c), outliers=run.outliers
        )
    window = torch.arange(rows, device=counts.device)[:, None].expand_as(counts)[counts]
    flat = x[counts].to(run.sae.W_enc)
    rebuilt, put = {}, []

    def by_window(values: torch.Tensor) -> torch.Tensor:
        """Sums [rows, ...] over the counted tokens of each window."""
        zeros = torch.zeros(rows, *values.shape[1:], dtype=torch.float64, device=values.device)
        return zeros.index_add_(0, window.to(values.device), values.double()).cpu()

    for name, dictionary in run.dictionaries.items():
        a = dictionary.encode(flat)
        rebuilt[name] = dictionary.decode(a)
        _add(run, name, flat, a, rebuilt[name], by_window)
        on = a > 0
        for one in dict.fromkeys(names):
            mine = torch.tensor([each == one for each in names], device=window.device)[window].to(on.device)
            before = run.fired.get((name, one), torch.zeros(dictionary.width, dtype=torch.long))
            run.fired[name, one] = before + on[mine].sum(0).cpu()
        if name == run.sae.name and source is None:
            run.activation += a.double().sum(0).cpu()
    run.sources += names
    run.tokens += counts.sum(1).tolist()
    run.inside += batch.inside.sum(1).tolist()
    run.sum += list(by_window(flat).numpy())
    run.square += by_window(flat.pow(2).sum(1)).tolist()
    run.predicted += reading.predicted.tolist() if loss else [0] * rows
    labels = ["model", *rebuilt, "mean", "zero"]
    if not loss:
        for name in labels:
            run.loss[name] += [np.nan] * rows
        return
    for value in (*rebuilt.values(), run.fit.mean.to(flat).expand_as(flat), torch.zeros_like(flat)):
        put.append(x.clone().index_put_((counts.nonzero(as_tuple=True)), value.to(x)))
    found = [reading.loss, *spliced_loss(model, reading, run.site, put)]
    for name, nats in zip(labels, found, strict=True):
        run.loss[name] += nats.cpu().tolist()


def _add(
    run: AuditRun, name: str, x: torch.Tensor, a: torch.Tensor, x_hat: torch.Tensor,
    by_window: Callable[[torch.Tensor], torch.Tensor],
) -> None:  # fmt: skip
    size, mean = x.norm(dim=1).clamp(min=1e-30), run.fit.mean.to(x)
    for quantity, values in {
        "error": (x - x_hat).double().pow(2).sum(1),
        "cosine": torch.nn.functional.cosine_similarity(x - mean, x_hat - mean, dim=1),
        "norm_ratio": x_hat.norm(dim=1) / size,
        "active": (a > 0).sum(1),
    }.items():
        run.sums[name, quantity] += by_window(values).tolist()


def _split(
    model: Session, texts: Texts, tokens: int, most: int, context: int | None
) -> tuple[list[Window], list[Window]]:
    """Windows to fit on, at most `most` tokens of them, and windows to measure, until they have `tokens`."""
    fitting: list[Window] = []
    measured: list[Window] = []
    seen: dict[str, int] = defaultdict(int)
    fit_tokens = measured_tokens = 0
    for window in _checked(windows(model, texts, context=context)):
        seen[window.source] += 1
        if fit_tokens < most and seen[window.source] % FIT == 2:  # the second: a source of one window is still measured
            fitting.append(window)
            fit_tokens += len(window.ids)
            continue
        measured.append(window)
        measured_tokens += len(window.ids)
        if measured_tokens >= tokens and fitting:
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


def _spread(measured: Sequence[Window], tokens: int) -> tuple[list[Window], list[Window]]:
    """Windows on which the loss is measured too, evenly over all of them, and the others."""
    whole = sum(len(window.ids) for window in measured)
    share = min(1.0, tokens / whole)
    chosen = [int((i + 1) * share) > int(i * share) for i in range(len(measured))]
    if not any(chosen) and tokens:
        chosen[0] = True
    return tuple([w for w, c in zip(measured, chosen, strict=True) if c is wanted] for wanted in (True, False))  # type: ignore[return-value]
