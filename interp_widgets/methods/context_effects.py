"""Whether one direction does the same in every context: the effect of an atom on a logit, context by context.

If an atom stands for one thing wherever it fires (the strong form of the linear representation hypothesis, L. Smith 2024), adding
it should push the same way everywhere. So the same vector is added at the last token of many texts, or the atom's part there is
taken away, and the change of one token's logit is measured in each: its mean, its spread, and the share of contexts in which the
sign is another. Random directions of the same length stand beside it.

With no token given, each direction is measured on the token that it raises most on average in the even contexts, and only the odd
ones are reported: so neither the atom nor the random directions are flattered by the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from .. import frames
from ..errors import DictionaryError, TextError
from ..progress import Progress, silent
from ..sae.dictionary import Dictionary
from ..sae.fits import check_reconstructs
from ..session.harvest import Batch, Values, Window, batched, each_batch, markers, read_batch
from ..session.runner import Runner
from ..session.session import Session, Text
from .probes import wilson
from .splicing import go_on, resume

RANDOM = 4
BATCH = 8
HOW = ("add", "remove")


def effect_over_contexts(
    model: Session,
    contexts: Sequence[Text],
    *,
    sae: Dictionary,
    atom: int,
    answer: str | int | None = None,
    foil: str | int | None = None,
    strength: float | None = None,
    how: str = "add",
    random: int = RANDOM,
    seed: int = 0,
    progress: Progress = silent,
) -> pl.DataFrame:
    """The effect of an atom's direction on a logit in each of many contexts (see `frames.CONTEXT_EFFECTS`).

    Args:
        model: a session.
        contexts: texts; the change is made at the last token of each, and what follows is measured. Those that end in an attention
            sink are left out.
        sae, atom: the atom.
        answer: token whose logit is measured; default chosen on the even contexts, see above.
        foil: token whose logit is taken off; default the mean logit of the vocabulary.
        strength: activation that is added, default the mean activation of the atom at the last tokens at which it fires.
        how: "add" the direction in every context, or "remove" the atom's own part, in those contexts in which it fires.
        random: random directions to compare with, default 4, of the same length in each context.
        seed: of these.

    Raises:
        DictionaryError: an atom that does not exist, or one that fires in none of the contexts where that is needed.
        TextError: fewer than four contexts, or a bad answer or foil.
    """
    check_reconstructs(model, sae)
    sae.check_atom(atom)
    if how not in HOW:
        raise TextError(f"{how!r} is no way to change an activation; choose one of {', '.join(HOW)}.")
    tokens = [None if t is None else model.single_token(t, role) for t, role in ((answer, "answer"), (foil, "foil"))]
    at, activations = _activations(model, contexts, sae, atom, progress)
    firing = [i for i in at if activations[i] > 0]
    if not firing and (how == "remove" or strength is None):
        raise DictionaryError(
            f"Atom {atom} of {sae.name} fires at the last token of none of these contexts. Give other contexts, or add it with a "
            "strength of your own."
        )
    size = strength if strength is not None else sum(activations[i] for i in firing) / max(1, len(firing))
    used = firing if how == "remove" else at
    if len(used) < 4:
        raise TextError(f"Signs can be compared over 4 contexts or more; here are {len(used)} that can be used.")
    amounts = {i: -activations[i] if how == "remove" else size for i in used}
    directions = _directions(sae, atom, random, seed)
    batches = list(batched(model, [Window(model.encode(contexts[i]), i, 0, "") for i in used], size=BATCH))
    found = model.work(_context_effects, batches, sae, directions, amounts, tokens, f"atom {atom}", progress=progress)
    return _frame(model, used, found, activations)


def contexts_of(
    model: Session, windows: Sequence[Window], *, count: int = 48, length: int = 24, seed: int = 0
) -> list[list[int]]:
    """Token ids of up to `count` contexts: pieces of windows, spread evenly over them, at most `length` tokens, cut at random."""
    front, draw = len(markers(model)), torch.Generator().manual_seed(seed)
    size = length - front
    pieces = [
        window.ids[:front] + window.ids[start : start + size]
        for window in windows
        for start in range(front, len(window.ids), size)
    ]
    usable = [piece for piece in pieces if len(piece) >= front + 2]
    chosen = usable[:: max(1, len(usable) // count)][:count]
    return [piece[: int(torch.randint(front + 2, len(piece) + 1, (1,), generator=draw))] for piece in chosen]


def context_summary(effects: pl.DataFrame) -> pl.DataFrame:
    """Mean, spread and sign flips of each direction over its contexts (see `frames.CONTEXT_SUMMARY`)."""
    rows = []
    for (direction,), part in effects.group_by("direction", maintain_order=True):
        values = part["effect"].to_numpy()
        flips = int(((values > 0) != (values.mean() > 0)).sum())
        low, high = wilson(flips, len(values))
        sd = float(values.std(ddof=1)) if len(values) > 1 else None
        rows.append((direction, len(values), float(values.mean()), sd, flips / len(values), low, high))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(frames.CONTEXT_SUMMARY)}
    return frames.build(frames.CONTEXT_SUMMARY, columns)


def _directions(sae: Dictionary, atom: int, random: int, seed: int) -> torch.Tensor:
    """[1 + random, d]: the atom's direction, and random ones of its length."""
    mine = sae.direction(atom)
    drawn = torch.randn(random, sae.d_in, generator=torch.Generator().manual_seed(seed)).to(mine)
    return torch.cat([mine[None], torch.nn.functional.normalize(drawn, dim=1) * mine.norm()])


def _activations(
    model: Session, contexts: Sequence[Text], sae: Dictionary, atom: int, progress: Progress
) -> tuple[list[int], dict[int, float]]:
    """Contexts whose last token counts, and the atom's activation there."""
    if isinstance(contexts, str):
        raise TextError("Several contexts were expected, but this is one. Put it in a list: [text].")
    windows = [Window(model.encode(text), i, 0, "") for i, text in enumerate(contexts)]
    found: dict[int, float] = {}
    batches = list(batched(model, windows, size=BATCH))
    progress(0, len(batches), f"where atom {atom} fires")
    for done, (_, fires) in enumerate(each_batch(model, batches, _last_activations, sae, atom, progress=progress)):
        progress(done + 1, len(batches), f"where atom {atom} fires")
        found |= fires
    return sorted(found), found


def _last_activations(model: Runner, batch: Batch, sae: Dictionary, atom: int) -> dict[int, float]:
    """The atom's activation at the last token of each window where that token counts, by the window's text."""

    def last(values: Values, counts: torch.Tensor) -> dict[int, float]:
        x = values[sae.site].float()
        rows, end = torch.arange(len(x), device=x.device), batch.lengths.to(x.device) - 1
        a = sae.encode(x[rows, end])[:, atom].tolist()
        usable = counts[rows, end].tolist()
        return {w.text: a[i] for i, w in enumerate(batch.windows) if usable[i]}

    return read_batch(model, batch, [sae.site], last)


@dataclass(frozen=True)
class _Moved:
    """One direction's effects: on which token, and the metric in each context that is shown."""

    token: int
    shown: list[int]
    """Numbers among the contexts that were used."""
    before: list[float]
    effect: list[float]
    """after - before"""


def _context_effects(
    model: Runner,
    batches: list[Batch],
    sae: Dictionary,
    directions: torch.Tensor,
    amounts: dict[int, float],
    tokens: list[int | None],
    what: str,
    progress: Progress = silent,
) -> list[_Moved]:
    """The effects of each direction, on an answer and a foil, None where none is named."""
    clean: dict[int, torch.Tensor] = {}
    changed: dict[int, torch.Tensor] = {}
    for done, batch in enumerate(batches):
        progress(done, len(batches), f"{what} in {len(amounts)} contexts")
        before, after = _logits(model, batch, sae, directions, amounts)
        for row, window in enumerate(batch.windows):
            clean[window.text], changed[window.text] = before[row], after[:, row]
    progress(len(batches), len(batches), f"{what} in {len(amounts)} contexts")
    return _compared(torch.stack([clean[i] for i in amounts]), torch.stack([changed[i] for i in amounts], 1), *tokens)


def _logits(
    model: Runner, batch: Batch, sae: Dictionary, directions: torch.Tensor, amounts: dict[int, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Last logits as they are [W, vocabulary], and with each direction put in [D, W, vocabulary]; on the CPU."""
    site = sae.site
    base, name = resume(model, site).base, str(model.site(site))
    rows, end = torch.arange(len(batch.windows)), batch.lengths - 1

    def last(normed: torch.Tensor) -> torch.Tensor:
        times = len(normed) // len(rows)
        return model.head(normed[torch.arange(len(normed)), end.repeat(times)]).float().cpu()

    def then(values: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return values[name].float(), values[base].clone(), last(values["final_norm"])

    x, stream, before = model.run(batch.ids.tolist(), dict.fromkeys([name, base, "final_norm"]), then=then)
    added = torch.tensor([amounts[window.text] for window in batch.windows], device=x.device)[:, None]
    added = added * sae.scale(sae.flat(x[rows, end])).to(x)
    after = []
    for direction in directions.to(x):
        put = x.clone()
        put[rows, end] += added * direction
        after.append(go_on(model, batch.ids, site, put, stream, last))
    return before, torch.stack(after)


def _compared(before: torch.Tensor, after: torch.Tensor, answer: int | None, foil: int | None) -> list[_Moved]:
    """`before` [contexts, vocabulary], `after` [directions, contexts, vocabulary]"""
    shown = list(range(len(before))) if answer is not None else list(range(1, len(before), 2))

    def metric(logits: torch.Tensor, token: int) -> torch.Tensor:
        return logits[..., token] - (logits.mean(-1) if foil is None else logits[..., foil])

    found = []
    for moved in after:
        if answer is None:
            change = (moved - before)[0::2].mean(0)
            if foil is not None:
                change[foil] = -torch.inf
            token = int(change.argmax())
        else:
            token = answer
        first, second = metric(before, token), metric(moved, token)
        found.append(_Moved(token, shown, first[shown].tolist(), (second - first)[shown].tolist()))
    return found


def _frame(model: Session, used: list[int], found: list[_Moved], activations: dict[int, float]) -> pl.DataFrame:
    parts: list[dict[str, list[Any]]] = []
    for number, one in enumerate(found):
        count = len(one.shown)
        parts.append(
            {
                "context": [used[i] for i in one.shown],
                "direction": ["atom" if number == 0 else f"random {number - 1}"] * count,
                "token_id": [one.token] * count,
                "token": [model.text_of(one.token)] * count,
                "activation": [activations[used[i]] for i in one.shown],
                "metric": one.before,
                "effect": one.effect,
            }
        )
    columns = {name: [value for part in parts for value in part[name]] for name in frames.CONTEXT_EFFECTS}
    return frames.build(frames.CONTEXT_EFFECTS, columns)
