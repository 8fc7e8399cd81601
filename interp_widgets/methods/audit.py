"""An audit of a dictionary: how much of the activation, and of the model, it keeps, beside dictionaries that nobody trained.

That a dictionary has readable atoms says little about how much it misses (L. Smith, "The strong feature hypothesis could be
wrong", 2024). So each number here has a definition, an interval where one can be had, and the same number for principal components,
random directions and plain coordinates of equal size: as many numbers a token as the dictionary has active atoms.

Loss recovered: Bricken et al. 2023 and Gao et al. (arXiv:2406.04093). The interval is a percentile bootstrap over windows
(Efron, 1979), which are taken as independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from .. import frames
from ..errors import DictionaryError
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_reconstructs
from ..session.harvest import Texts
from ..session.session import Session, Text
from .audit_fit import ALL, TEXT, Settings, split
from .audit_run import AuditRun, measure_text, measure_texts, start

SAMPLES = 1000
"""Draws of the bootstrap."""
UNDEFINED = 1e-3
"""Nats a token: where removing the activation costs less, no share of the cost is given."""

DEFINITIONS = {
    "explained_variance": "1 - sum |x - x_hat|^2 / sum |x - mean|^2 over the tokens, with the mean over the same tokens",
    "loss": "cross-entropy of the next token, nats, with x_hat in the place of x at every token that counts",
    "loss_recovered": "(loss with zeros - loss with x_hat) / (loss with zeros - loss of the model)",
    "loss_recovered_mean": "(loss with the mean - loss with x_hat) / (loss with the mean - loss of the model)",
    "left_out": "share of the tokens that are not counted: attention sinks and other outliers of the norm of x",
    "active": "atoms that are not zero at a token, mean over tokens (L0)",
    "cosine": "cosine of x - mean and x_hat - mean, mean over tokens, with the mean of the windows that are only fitted on",
    "norm_ratio": "|x_hat| / |x|, mean over tokens",
    "dead_share": "share of the atoms that fire at none of the tokens; with more tokens it falls",
    "error_share": "share of the errors in the summed size of the effects of all atoms and errors on the answer, to first order",
    "atoms_alone": "(answer with all atoms and no errors - with neither) / (answer of the model - with neither), by exact runs",
    "errors_alone": "(answer with the errors and no atoms - with neither) / (answer of the model - with neither), by exact runs",
    "density_low": "share of tokens at which an atom fires: 1 % of the atoms fire less often",
    "density_median": "share of tokens at which an atom fires: median over atoms",
    "density_high": "share of tokens at which an atom fires: 1 % of the atoms fire more often",
    "dense_share": "share of the atoms that fire at more than 10 % of the tokens",
}
"""What each quantity means."""
_DENSITIES = {"density_low": 0.01, "density_median": 0.5, "density_high": 0.99}


def audit(
    model: Session,
    texts: Texts,
    *,
    sae: Dictionary | Sequence[Dictionary],
    text: Text | None = None,
    answer: str | int | None = None,
    foil: str | int | None = None,
    baselines: bool = True,
    tokens: int = Settings.tokens,
    loss_tokens: int = Settings.loss_tokens,
    context: int | None = None,
    batch: int = Settings.batch,
    outliers: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """How much a dictionary keeps, by quantity, dictionary and source of text (see `frames.AUDIT`).

    Markers, attention sinks and other outliers of the norm are neither counted nor replaced. A fifth of the windows is only used to
    fit the baselines; sources take turns. Two windows of text are the least.

    Args:
        model: a session.
        texts: texts or lists of token ids, or named sources of them: `{"news": [...], "code": [...]}`.
        sae: a dictionary of this model, or several, one after the other (by layer, say).
        text: one text more, measured by itself as the source "this text". What goes through the errors is measured there too, on
            what follows the text's first window: see `error_effect`.
        answer, foil: the token whose logit that is, default the likeliest, and one whose logit is taken off, default the mean
            logit.
        baselines: whether to measure principal components, random directions and coordinates too, each with as many numbers a token
            as the dictionary has active atoms (rounded). All three are read from the mean.
        tokens: how many tokens to measure on at most, default 16,384.
        loss_tokens: on how many of these the loss is measured too, windows spread evenly over them, default 4096. It takes a pass
            through the rest of the model for each replacement.
        context: tokens of a window, markers included; default 128.
        batch: windows read at once, default 8.
        outliers: count and replace tokens of outlying norm too, all but those of a known attention sink. For dictionaries that were
            trained on them.
        seed: of the random directions and of the bootstrap.
        progress: see `progress.Progress`; `partial` is the `AuditRun` so far.

    Raises:
        TextError: fewer than two windows of text, or a text that the model cannot read.
        SiteError, DictionaryError: a dictionary that does not fit the model.
    """
    dictionaries = [sae] if isinstance(sae, Dictionary) else list(sae)
    settings = Settings(baselines, tokens, loss_tokens, context, batch, outliers, seed)
    if not dictionaries:
        raise DictionaryError("There is no dictionary to audit. Give one that iw.load_sae reads.")
    for each in dictionaries:
        check_reconstructs(model, each)
    cut, found = split(model, texts, settings), []
    for each in dictionaries:
        run = start(model, cut, each, settings, progress)
        if text is not None:
            measure_text(model, run, text, answer=answer, foil=foil, progress=progress)
        measure_texts(model, run, progress)
        found.append(audit_frame(run))
    return pl.concat(found)


def audit_frame(run: AuditRun, *, samples: int = SAMPLES) -> pl.DataFrame:
    """What a run says so far (see `frames.AUDIT`)."""
    rows: list[dict[str, Any]] = []
    for source in [ALL, *run.named, *([TEXT] if TEXT in run.sources else [])]:
        at = run.at(source)
        if at.any():
            rows += _Source(run, source, at, samples).rows()
    columns = {name: [row.get(name) for row in rows] for name in frames.AUDIT}
    return frames.build(frames.AUDIT, columns)


class _Source:
    """The rows of one source of text. A draw of the bootstrap says how often each window counts: `draws` [samples + 1, windows],
    the first row is the sample itself."""

    def __init__(self, run: AuditRun, name: str, at: np.ndarray, samples: int) -> None:
        self.run, self.name, self.at = run, name, at
        count = int(at.sum())
        drawn = np.random.default_rng(run.settings.seed).multinomial(
            count, np.full(count, 1 / count), samples if count > 1 else 0
        )
        self.draws = np.concatenate([np.ones((1, count)), drawn])
        self.tokens = self.draws @ np.array(run.tokens, float)[at]
        self.predicted = self.draws @ np.array(run.predicted, float)[at]

    def rows(self) -> list[dict[str, Any]]:
        inside = self.draws @ np.array(self.run.inside, float)[self.at]
        left_out = self._row(self.run.sae.name, "left_out", 1 - self.tokens / inside, int(inside[0]))
        effects = self._effects() if self.name == TEXT else []
        return [row for name in self.run.dictionaries for row in self._of(name)] + self._losses() + effects + [left_out]

    def _of(self, name: str) -> list[dict[str, Any]]:
        n = int(self.tokens[0])
        with np.errstate(invalid="ignore", divide="ignore"):
            out = [self._row(name, "explained_variance", 1 - self._sum(name, "error") / self._variance(), n)]
            for quantity in ("active", "cosine", "norm_ratio"):
                out.append(self._row(name, quantity, self._sum(name, quantity) / self.tokens, n))
        density = self.run.density(self.name, name)
        if n:
            out.append(self._row(name, "dead_share", np.array([(density == 0).mean()]), n))
            out += [self._row(name, q, np.quantile(density, [at]), n) for q, at in _DENSITIES.items()]
            out.append(self._row(name, "dense_share", np.array([(density > 0.1).mean()]), n))
        return out

    def _losses(self) -> list[dict[str, Any]]:
        n = int(self.predicted[0])
        if not n:
            return []
        with np.errstate(invalid="ignore", divide="ignore"):
            loss = {
                name: self.draws @ np.nan_to_num(np.array(of)[self.at]) / self.predicted
                for name, of in self.run.loss.items()
            }
            out = [self._row(name, "loss", nats, n) for name, nats in loss.items()]
            for quantity, against in (("loss_recovered", "zero"), ("loss_recovered_mean", "mean")):
                cost = loss[against] - loss["model"]
                for name in self.run.dictionaries:
                    share = np.where(np.abs(cost) > UNDEFINED, (loss[against] - loss[name]) / cost, np.nan)
                    out.append(self._row(name, quantity, share if abs(cost[0]) > UNDEFINED else share[:1], n))
        return out

    def _effects(self) -> list[dict[str, Any]]:
        rows = []
        for name, effect in self.run.effects.items():
            found = {
                "error_share": effect.share,
                "atoms_alone": effect.at(effect.nodes, False),
                "errors_alone": effect.at(0, True),
            }
            rows += [
                self._row(name, quantity, np.array([np.nan if value is None else value]), effect.counted)
                for quantity, value in found.items()
            ]
        return rows

    def _sum(self, name: str, quantity: str) -> np.ndarray:
        return self.draws @ np.array(self.run.sums[name, quantity])[self.at]

    def _variance(self) -> np.ndarray:
        """[draws]: sum |x - mean|^2"""
        mean = self.draws @ np.array(self.run.sum)[self.at]
        square = self.draws @ np.array(self.run.square)[self.at]
        return square - (mean**2).sum(1) / self.tokens

    def _row(self, name: str, quantity: str, values: np.ndarray, n: int) -> dict[str, Any]:
        """The first value, and where 95 % of the others lie."""
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (None, None)
        value = float(values[0]) if np.isfinite(values[0]) else None
        return {
            "site": self.run.site,
            "dictionary": name,
            "source": self.name,
            "quantity": quantity,
            "value": value,
            "low": low,
            "high": high,
            "n": n,
            "definition": DEFINITIONS[quantity],
        }
