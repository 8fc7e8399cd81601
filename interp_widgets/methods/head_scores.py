"""What each head does, in a few numbers.

Scores of a pattern, each a mean over the queries that it can be said of; query 0 sees only itself and is never counted:

- `induction`: weight on the tokens that follow an earlier copy of the query's token (the prefix-matching score of Olsson et al.,
  arXiv:2209.11895). Only keys before the query count, and only queries that have such a key.
- `previous_token`: weight on the token before (ibid.).
- `duplicate_token`: weight on earlier copies of the query's token (Wang et al., arXiv:2211.00593).
- `first_token`: weight on position 0, which many models use as a sink (Xiao et al., arXiv:2309.17453).
- `entropy`: -sum w ln w, in nats: 0 looks at one token, ln n at n tokens alike.

`effect` is no property of the pattern but an intervention: the head's output is set to zero at all positions, the rest of the
model runs on, and the effect is the metric without the head minus the metric with it. Every value is measured with a forward
pass of its own row; none is a linear estimate. Zero is an unusual output for a head (Wang et al. put its mean there instead).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import TextError
from ..progress import Progress, silent
from ..session.runner import Runner
from ..session.session import Session, Text
from .choices import layers_of
from .patterns import each_layer

SCORES = ("induction", "previous_token", "duplicate_token", "first_token", "entropy")
"""Scores that a pattern has by itself, in the order of `measure_heads`."""

MEMORY = 512_000_000
"""Bytes that a batch of ablated runs may take."""


@dataclass
class Effects:
    """What becomes of an answer without each head; filled layer by layer."""

    layers: list[int]
    answer: int
    foil: int | None
    baseline: float
    """logit(answer) - logit(foil) of the whole model; without a foil, the answer's log-probability."""
    effect: torch.Tensor
    """[layers, heads] float64: the same without the head, minus the baseline; NaN where not measured yet"""


def head_scores(
    model: Session,
    text: Text,
    *,
    layers: Sequence[int] | None = None,
    answer: str | int | None = None,
    foil: str | int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Scores of every head, one row a head (see `frames.HEADS`, and this module's docstring for what each means).

    Args:
        model: a session.
        text: a text, or token ids.
        layers: which layers, default all.
        answer: a token (id, or text of one token) to measure the effect on, at the last position; default: no effect measured.
        foil: a second token; with it the effect is on logit(answer) - logit(foil), else on the answer's log-probability in nats.
        progress: see `progress.Progress`.

    Raises:
        TextError: an empty or too long text, or a bad answer or foil.
        SiteError: a layer that does not exist, or a model whose attention cannot be read.
    """
    ids, wanted = model.encode(text), layers_of(model, layers)
    if foil is not None and answer is None:
        raise TextError("A foil needs an answer to be compared with; give both, or neither.")
    asked = None if answer is None else _tokens(model, answer, foil)
    scores, effects = model.work(_scores_and_effects, ids, wanted, asked, progress=progress)
    return heads_frame(wanted, torch.stack(scores), None if effects is None else effects.effect)


def repeats(ids: Sequence[int]) -> int:
    """How many queries the induction score is a mean over: tokens with an earlier copy, and something between the two."""
    return sum(token in ids[: max(0, q - 1)] for q, token in enumerate(ids))


def measure_heads(pattern: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """The `SCORES` of each head of a layer, [scores, heads] float32, from its pattern [heads, tokens, tokens]; NaN: undefined."""
    weight = pattern.float()
    token = torch.as_tensor(ids, device=weight.device)
    at = torch.arange(len(ids), device=weight.device)
    query, key = at[:, None], at[None]
    copy = (token[:, None] == token) & (key < query)
    after = torch.zeros_like(copy)
    after[:, 1:] = copy[:, :-1]
    looks_at = [after & (key < query), key == query - 1, copy, (key == 0) & (query > 0)]
    entropy = -torch.special.xlogy(weight, weight).sum(-1)
    return torch.stack([*(_mean(weight, where) for where in looks_at), entropy[:, 1:].mean(-1)]).cpu()


def _mean(weight: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Weight on the keys `where` [queries, keys], mean over the queries that have one; NaN if none has."""
    return (weight * where).sum(-1)[:, where.any(-1)].mean(-1)


def measure_effects(
    model: Session,
    text: Text,
    layers: Sequence[int],
    answer: str | int | None,
    foil: str | int | None = None,
    *,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> Effects:
    """Ablate every head of some layers, the heads of a layer as rows of a batch that starts there.

    Without an answer, the model's own prediction is taken. `progress` gets the `Effects` so far as `partial`.
    """
    asked = _tokens(model, answer, foil)
    return model.work(_head_effects, model.encode(text), list(layers), *asked, memory=memory, progress=progress)


def _tokens(model: Session, answer: str | int | None, foil: str | int | None) -> tuple[int | None, int | None]:
    """The ids of answer and foil, None where none is named."""
    first = None if answer is None else model.single_token(answer, "answer")
    second = None if foil is None else model.single_token(foil, "foil")
    if first is not None and first == second:
        raise TextError(
            f"Answer and foil are both {model.text_of(first)!r}; the logit difference needs two different tokens."
        )
    return first, second


def _scores_and_effects(
    model: Runner,
    ids: list[int],
    layers: list[int],
    asked: tuple[int | None, int | None] | None,
    progress: Progress = silent,
) -> tuple[list[torch.Tensor], Effects | None]:
    """`measure_heads` of each layer, and the effects on an answer, if one is asked for."""
    scores = each_layer(model, ids, layers, lambda layer: measure_heads(layer.pattern, ids), progress=progress)
    return scores, None if asked is None else _head_effects(model, ids, layers, *asked, progress=progress)


def _head_effects(
    model: Runner,
    ids: list[int],
    wanted: list[int],
    answer: int | None,
    foil: int | None,
    *,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> Effects:
    progress(0, len(wanted) * model.num_heads, "heads")
    seen = model.run([ids], [*(f"resid_pre.{layer}" for layer in wanted), "logits"], logits_to_keep=1)
    logits = seen.pop("logits")[:, -1].float()
    found = int(logits.argmax()) if answer is None else answer
    if found == foil:
        raise TextError("The model predicts the foil itself; name an answer.")

    def measure(logits: torch.Tensor) -> torch.Tensor:
        logits = logits.cpu().double()
        return logits[:, found] - (logits.logsumexp(-1) if foil is None else logits[:, foil])

    baseline = float(measure(logits))
    effects = Effects(
        wanted, found, foil, baseline, torch.full((len(wanted), model.num_heads), torch.nan, dtype=torch.float64)
    )
    step = max(1, memory // (4 * (3 * model.num_heads * len(ids) ** 2 + 16 * len(ids) * model.width)))
    for row, layer in enumerate(wanted):
        for begin in range(0, model.num_heads, step):
            heads = list(range(begin, min(begin + step, model.num_heads)))
            progress(row * model.num_heads + begin, len(wanted) * model.num_heads, f"layer {layer}", effects)
            ablated = model.run(
                [ids] * len(heads),
                ["logits"],
                edit={f"head_out.{layer}": _without(heads)},
                then=lambda values: measure(values["logits"][:, -1].float()),
                start=(layer, seen[f"resid_pre.{layer}"].expand(len(heads), -1, -1)),
                logits_to_keep=1,
            )
            effects.effect[row, heads] = ablated - baseline
    progress(len(wanted) * model.num_heads, len(wanted) * model.num_heads, "", effects)
    return effects


def heads_frame(layers: Sequence[int], scores: torch.Tensor, effect: torch.Tensor | None = None) -> pl.DataFrame:
    """The frame of some layers: `scores` [layers, scores, heads], `effect` [layers, heads]; NaN becomes null."""
    count = scores.shape[-1]
    columns: dict[str, Any] = {
        "layer": [layer for layer in layers for _ in range(count)],
        "head": list(range(count)) * len(layers),
        **{name: _nullable(scores[:, i]) for i, name in enumerate(SCORES)},
        "effect": _nullable(torch.full_like(scores[:, 0], torch.nan) if effect is None else effect),
    }
    return frames.build(frames.HEADS, columns)


def _nullable(values: torch.Tensor) -> pl.Series:
    return pl.Series(values.flatten().tolist(), dtype=pl.Float64).fill_nan(None)


def _without(heads: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """An edit of `head_out` [rows, tokens, heads, head width]: row i loses the head `heads[i]`."""

    def remove(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[range(len(heads)), :, heads] = 0
        return x

    return remove
