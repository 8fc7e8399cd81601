"""How much of an answer goes through a dictionary's atoms, and how much through what they miss.

At the dictionary's site x = b_dec + sum_i a_i d_i + e. Atoms (one node for each position and atom) and errors (one node for each
position) are taken as nodes of the computation (Marks et al., arXiv:2403.19647). To remove a node is to give it its value in
another text of the same length, or zero where there is none.

The effect of each node is estimated by integrated gradients along the line from all removed to none, at midpoints, so that the
effects add up to the whole change but for `residual`. The share of the errors is

    sum over positions |effect of e| / (the same + sum over positions and atoms |effect of a_i d_i|)

An error is one node however many directions it mixes, so effects that cancel inside it are not counted: the share is a lower one
than that of atoms would be. The other figures are exact runs: with all atoms and no errors, with the errors and no atoms, and with
the N atoms of largest effect, with and without errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import AlignmentError, TextError
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_reconstructs
from ..session.masking import sinks
from ..session.runner import Runner
from ..session.session import Session, Text
from .splicing import TOKENS_AT_ONCE, go_on, resume

STEPS = 10
EQUAL = 1e-6
"""Below this much of a change there is no share of it."""


@dataclass(frozen=True)
class Measured:
    """What removing atoms and errors does to one answer. All metrics are the same one."""

    answer: int
    model: float
    """the metric of the text as it is"""
    nothing: float
    """with atoms and errors removed"""
    share: float | None
    """share of the errors in the summed size of all effects; None where nothing has an effect"""
    residual: float
    """the whole change less the sum of the estimated effects"""
    nodes: int
    """positions x atoms whose value changes"""
    curve: list[tuple[int, bool, float]]
    """(atoms kept, errors kept, metric)"""
    counted: int
    """positions that are changed"""


@dataclass(frozen=True)
class ErrorEffect(Measured):
    """The same, and what it was measured of."""

    site: str
    dictionary: str
    tokens: pl.DataFrame
    foil: int | None

    def faithfulness(self, metric: float) -> float | None:
        """(metric - nothing) / (model - nothing)"""
        whole = self.model - self.nothing
        return (metric - self.nothing) / whole if abs(whole) > EQUAL else None

    def at(self, kept: int, errors: bool) -> float | None:
        """Faithfulness with so many atoms, with the errors or without."""
        return next((self.faithfulness(m) for n, e, m in self.curve if (n, e) == (kept, errors)), None)


def error_effect(
    model: Session,
    text: Text,
    *,
    sae: Dictionary,
    answer: str | int | None = None,
    foil: str | int | None = None,
    other: Text | None = None,
    outliers: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """How much of an answer the atoms of largest effect carry, with the errors and without (see `frames.FAITHFULNESS`).

    Args:
        model: a session.
        text: the prompt; what comes next is measured.
        sae: a dictionary of this model.
        answer: the token whose logit is measured; default the likeliest one.
        foil: a token whose logit is taken off; default the mean logit of the vocabulary.
        other: a prompt of the same length that gives removed nodes their values; default zero, which leaves the decoder's bias.
        outliers: change tokens of outlying norm too, all but a known attention sink.

    Raises:
        TextError: a bad prompt, answer or foil; or a prompt without a token that counts. AlignmentError: an `other` of another
        length. SiteError, DictionaryError: a dictionary that does not fit the model.
    """
    found = run_effect(model, text, sae, answer=answer, foil=foil, other=other, outliers=outliers, progress=progress)
    return effect_frame(found)


def run_effect(
    model: Session,
    text: Text,
    sae: Dictionary,
    *,
    answer: str | int | None = None,
    foil: str | int | None = None,
    other: Text | None = None,
    outliers: bool = False,
    whole_curve: bool = True,
    progress: Progress = silent,
) -> ErrorEffect:
    """The measurement behind `error_effect`; without `whole_curve` only its ends."""
    check_reconstructs(model, sae)
    ids, other_ids = model.encode(text), None if other is None else model.encode(other)
    if other_ids is not None and len(other_ids) != len(ids):
        raise AlignmentError(
            f"The texts have {len(ids)} and {len(other_ids)} tokens. Give two of equal length, so that each position has a value."
        )
    answer_id = None if answer is None else model.single_token(answer, "answer")
    foil_id = None if foil is None else model.single_token(foil, "foil")
    found = model.work(_error_effect, ids, other_ids, sae, answer_id, foil_id, outliers, whole_curve, progress=progress)
    return ErrorEffect(**vars(found), site=sae.site, dictionary=sae.name, tokens=model.tokens(ids), foil=foil_id)


def _error_effect(
    model: Runner,
    ids: list[int],
    other_ids: list[int] | None,
    sae: Dictionary,
    answer_id: int | None,
    foil_id: int | None,
    outliers: bool,
    whole_curve: bool,
    progress: Progress = silent,
) -> Measured:
    x, base, logits = _read(model, ids, sae.site)
    sae = sae if sae.W_enc.device == x.device else sae.to(x.device)
    at = _counted(model, ids, x, outliers)
    against = x
    if other_ids is not None:
        against, _, _ = _read(model, other_ids, sae.site)
        at &= _counted(model, other_ids, against, outliers)
    if not at.any():
        raise TextError("Every token of this text is left out as an attention sink or a marker. Give a longer text.")
    answer = int(logits.argmax()) if answer_id is None else answer_id
    mine = x[at]
    a, error = _parts(sae, mine)
    if other_ids is None:
        removed, da, de = sae.bias(mine).expand_as(mine), a, error
    else:
        removed = against[at]
        theirs, their_error = _parts(sae, removed)
        da, de = a - theirs, error - their_error

    def whole(changed: torch.Tensor) -> torch.Tensor:
        """[R, counted, d] -> [R, T, d]"""
        out = x.repeat(len(changed), 1, 1)
        out[:, at] = changed
        return out

    def measure(normed: torch.Tensor) -> torch.Tensor:
        """[R, T, width] -> [R]"""
        last = model.head(normed[:, -1]).float()
        return last[:, answer] - (last.mean(-1) if foil_id is None else last[:, foil_id])

    def run(changed: torch.Tensor) -> list[float]:
        step = max(1, TOKENS_AT_ONCE // len(ids))
        out: list[float] = []
        for begin in range(0, len(changed), step):
            progress(begin, len(changed), f"{sae.name}: removing atoms and errors")
            put = whole(changed[begin : begin + step])
            out += go_on(model, _rows(ids, len(put)), sae.site, put, base, measure).tolist()
        return out

    gradient = _gradient(model, ids, sae.site, removed, mine, whole, base, measure)
    effects = da * (gradient @ sae.W_dec.T)  # of putting back each atom at each position
    error_effects = (de * gradient).sum(-1)
    size = float(effects.abs().sum() + error_effects.abs().sum())
    order = effects.abs().flatten().argsort(descending=True, stable=True)
    nodes = int((da != 0).sum())
    kept = _numbers(nodes) if whole_curve else [0, nodes]
    changed, labels = [], []
    for count in kept:
        mask = torch.zeros(da.numel(), dtype=torch.bool, device=da.device)
        mask[order[:count]] = True
        part = removed + (da * mask.view_as(da)) @ sae.W_dec
        changed += [part, part + de]
        labels += [(count, False), (count, True)]
    metrics = run(torch.stack(changed))
    model_metric = run(mine[None])[0]
    return Measured(
        answer, model_metric, metrics[0],
        float(error_effects.abs().sum()) / size if size > EQUAL else None,
        model_metric - metrics[0] - float(effects.sum() + error_effects.sum()), nodes,
        [(*label, metric) for label, metric in zip(labels, metrics, strict=True)], int(at.sum()),
    )  # fmt: skip


def effect_frame(found: ErrorEffect) -> pl.DataFrame:
    """The curve of a measurement (see `frames.FAITHFULNESS`)."""
    columns = {
        "site": [found.site] * len(found.curve),
        "dictionary": [found.dictionary] * len(found.curve),
        "atoms": [kept for kept, _, _ in found.curve],
        "errors": [errors for _, errors, _ in found.curve],
        "metric": [metric for _, _, metric in found.curve],
        "faithfulness": [found.faithfulness(metric) for _, _, metric in found.curve],
    }
    return frames.build(frames.FAITHFULNESS, columns)


def _read(model: Runner, ids: list[int], site: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The activation at the site [T, d], the stream that a run goes on from [1, T, width], and the last logits [vocabulary]."""
    base, name = resume(model, site).base, str(model.site(site))

    def then(values: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return values[name][0].float(), values[base].clone(), model.head(values["final_norm"][:, -1])[0].float()

    return model.run([ids], dict.fromkeys([name, base, "final_norm"]), then=then)


def _parts(sae: Dictionary, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far each atom's direction goes in x [tokens, d_in], [tokens, width]: its activation, scaled where a norm is undone; and
    the error [tokens, d_in]."""
    a = sae.encode(x)
    return a * sae.scale(x), x - sae.decode(a, x)


def _counted(model: Runner, ids: list[int], x: torch.Tensor, outliers: bool) -> torch.Tensor:
    norms = x.norm(dim=-1)
    out = torch.ones(len(ids), dtype=torch.bool, device=x.device)
    out[sinks(model, ids, torch.ones_like(norms) if outliers else norms)] = False
    return out


def _gradient(
    model: Runner, ids: list[int], site: str, removed: torch.Tensor, mine: torch.Tensor, whole: Any, base: torch.Tensor,
    measure: Any,
) -> torch.Tensor:  # fmt: skip
    """[counted, d]: the gradient of the metric, mean over midpoints of the line from `removed` to `mine`."""
    total = torch.zeros_like(mine)
    for begin in range(0, STEPS, step := max(1, TOKENS_AT_ONCE // len(ids))):
        along = (torch.arange(begin, min(begin + step, STEPS), device=mine.device) + 0.5) / STEPS
        with torch.enable_grad():
            way = (removed + along[:, None, None] * (mine - removed)).detach().requires_grad_()
            put = whole(way)

        def slope(normed: torch.Tensor, way: torch.Tensor = way) -> torch.Tensor:
            return torch.autograd.grad(measure(normed).sum(), way)[0].detach()

        total += go_on(model, _rows(ids, len(way)), site, put, base, slope, grad=True).sum(0)
    return total / STEPS


def _rows(ids: list[int], count: int) -> torch.Tensor:
    return torch.tensor([ids] * count)


def _numbers(nodes: int) -> list[int]:
    """0, 1, 2, 4, ... and all."""
    out = [0]
    while out[-1] < nodes:
        out.append(min(nodes, max(1, 2 * out[-1])))
    return out
