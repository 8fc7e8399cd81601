"""The prompts of a circuit, and what is measured of them.

A circuit is found on pairs: a clean prompt, whose answer the model knows, and a corrupt one of the same length that differs in what
the answer depends on. Prompts of one length make a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ...errors import AlignmentError, TextError
from ...session.masking import sink_mask
from ...session.runner import Runner
from ...session.session import Session, Text

Tokens = str | int | Sequence[str | int]
"""One token, or several whose mean logit counts."""


class Metric(Protocol):
    """A number for each run, which effects are effects on."""

    @property
    def reads(self) -> str:
        """The site whose activation it is made of."""

    def measure(self, model: Runner, value: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """[R]: of R runs with activation `value` [R, T, width]; run r is of prompt `rows[r]` of the batch. Inside a run only."""


@dataclass(frozen=True, eq=False)
class LogitDifference:
    """Mean logit of the answers less the mean logit of the foils, or of the whole vocabulary, at the last position."""

    ids: torch.Tensor
    """[n, m]: for each prompt its answers and foils, filled up with any id of weight 0"""
    weights: torch.Tensor
    """[n, m]: 1 / number of answers, -1 / number of foils"""
    against_all: bool
    """Whether the mean logit of the vocabulary is taken off."""
    reads: str = "final_norm"

    def measure(self, model: Runner, value: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        last = value[:, -1]
        ids, weights = (each.to(last.device)[rows.to(last.device)] for each in (self.ids, self.weights))
        found = (model.token_logits(last, ids).float() * weights).sum(-1)
        return found - model.head(last).float().mean(-1) if self.against_all else found


@dataclass(frozen=True, eq=False)
class Batch:
    """`n` prompts of `T` tokens each."""

    rows: torch.Tensor
    """[n]: which prompts of the set they are"""
    clean: torch.Tensor
    """[n, T]: token ids"""
    corrupt: torch.Tensor | None
    """[n, T]; None: nodes are set to zero"""
    counted: torch.Tensor
    """[n, T]: positions whose activations are nodes: all but markers and attention sinks, in both prompts"""
    metric: Metric

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, begin: int, end: int) -> Batch:
        """Some of its prompts."""
        of = torch.arange(len(self))[begin:end]
        corrupt = None if self.corrupt is None else self.corrupt[of]
        return Batch(self.rows[of], self.clean[of], corrupt, self.counted[of], MetricOf(self.metric, of))


@dataclass(frozen=True, eq=False)
class MetricOf:
    """A metric for some prompts of a batch."""

    metric: Metric
    of: torch.Tensor
    """[n]: which"""

    @property
    def reads(self) -> str:
        return self.metric.reads

    def measure(self, model: Runner, value: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return self.metric.measure(model, value, self.of.to(rows.device)[rows])


@dataclass(frozen=True, eq=False)
class Prompts:
    """A set of prompts, in batches of one length."""

    batches: list[Batch]
    tokens: list[str | None]
    """Per position the exact text of the clean token; None where prompts differ in it. Empty where they differ in length."""
    answers: list[list[int]]
    foils: list[list[int]]
    """Per prompt the token ids that are measured; no foils: the mean of the vocabulary."""

    @property
    def count(self) -> int:
        return sum(map(len, self.batches))

    def ids(self, row: int, side: str = "clean") -> list[int]:
        """The token ids of one prompt; `side` is clean or corrupt."""
        for batch in self.batches:
            tokens = batch.clean if side == "clean" else batch.corrupt
            if tokens is not None and row in batch.rows:
                ids: list[int] = tokens[batch.rows == row][0].tolist()
                return ids
        raise TextError(f"There is no {side} prompt {row}: there are {self.count} clean ones.")

    @property
    def length(self) -> int | None:
        """Tokens of each prompt; None where they differ."""
        return len(self.tokens) or None


def prompts_of(
    model: Session,
    clean: Text | Sequence[Text],
    corrupt: Text | Sequence[Text] | None = None,
    answer: Tokens | Sequence[Tokens] | None = None,
    foil: Tokens | Sequence[Tokens] | None = None,
) -> Prompts:
    """Prompts as token ids, checked.

    Args:
        model: a session.
        clean: a prompt, or a list of prompts; a prompt is a text or a list of ids.
        corrupt: as many, each as long as its clean one; None: there are none.
        answer, foil: a token for all prompts, or a list with an entry for each prompt; an entry may be a list of tokens, whose mean
            logit counts. With a single prompt a list is of tokens. Default: the likeliest token of the clean prompt, and of the
            corrupt one where that is another; without a foil the mean logit of the vocabulary is taken off.

    Raises:
        TextError: a bad prompt, answer or foil, or lists of different lengths. AlignmentError: a pair of different lengths.
    """
    cleans = [model.encode(text) for text in _several(clean)]
    corrupts = None if corrupt is None else [model.encode(text) for text in _several(corrupt)]
    if not cleans:
        raise TextError("There are no prompts. Give at least one.")
    if corrupts is not None and len(corrupts) != len(cleans):
        raise TextError(f"There are {len(cleans)} clean prompts and {len(corrupts)} corrupt ones. Give one for each.")
    for i, (one, other) in enumerate(zip(cleans, corrupts or cleans, strict=True)):
        if len(one) != len(other):
            raise AlignmentError(
                f"The prompts of pair {i} have {len(one)} and {len(other)} tokens. Give two of equal length, so that each position "
                "has a partner."
            )
    answers = _tokens(model, answer, len(cleans), "answer")
    foils = _tokens(model, foil, len(cleans), "foil")
    if answers is None or (foils is None and corrupts is not None):
        likeliest = [model.work(_likeliest, each) for each in (cleans, corrupts) if each is not None]
        answers = answers or [[token] for token in likeliest[0]]
        if foils is None and corrupts is not None:
            foils = [[token] for token in likeliest[1]]
            if any(a == b for a, b in zip(answers, foils, strict=True)):
                foils = None
    foils = foils or [[]] * len(cleans)
    by_length: dict[int, list[int]] = {}
    for i, ids in enumerate(cleans):
        by_length.setdefault(len(ids), []).append(i)
    parts = [
        (
            torch.tensor(rows),
            torch.tensor([cleans[i] for i in rows]),
            None if corrupts is None else torch.tensor([corrupts[i] for i in rows]),
            logit_difference([answers[i] for i in rows], [foils[i] for i in rows]),
        )
        for rows in by_length.values()
    ]
    counted = [model.work(_counted, one, other) for _, one, other, _ in parts]
    batches = [
        Batch(rows, one, other, at, metric) for (rows, one, other, metric), at in zip(parts, counted, strict=True)
    ]
    if not all(batch.counted.any() for batch in batches):
        raise TextError("Every token of a prompt is left out as an attention sink or a marker. Give a longer text.")
    tokens = _common(model, cleans) if len(by_length) == 1 else []
    return Prompts(batches, tokens, answers, foils)


def logit_difference(answers: Sequence[Sequence[int]], foils: Sequence[Sequence[int]]) -> LogitDifference:
    """The metric of prompts with these answers and foils; with no foils at all against the mean of the vocabulary."""
    size = max(len(a) + len(f) for a, f in zip(answers, foils, strict=True))
    ids, weights = torch.zeros(len(answers), size, dtype=torch.long), torch.zeros(len(answers), size)
    for row, (a, f) in enumerate(zip(answers, foils, strict=True)):
        ids[row, : len(a) + len(f)] = torch.tensor([*a, *f])
        weights[row, : len(a)] = 1 / len(a)
        weights[row, len(a) : len(a) + len(f)] = -1 / max(1, len(f))
    return LogitDifference(ids, weights, against_all=not any(foils))


def _several(prompts: Text | Sequence[Text]) -> list[Any]:
    """One prompt or several, as a list; a list of ids is one prompt."""
    if isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int)):
        return [prompts]
    return list(prompts)


def _tokens(model: Session, given: Any, count: int, role: str) -> list[list[int]] | None:
    """Per prompt the ids of its answers or foils; None: not given."""
    if given is None or given == "" or given == []:
        return None
    if isinstance(given, str | int):
        entries: list[Any] = [given] * count
    elif count == 1 and all(isinstance(each, str | int) for each in given):
        entries = [list(given)]
    else:
        entries = list(given)
    if len(entries) != count:
        raise TextError(f"There are {count} prompts and {len(entries)} {role}s. Give one for all, or one for each.")
    several = [[each] if isinstance(each, str | int) else list(each) for each in entries]
    if any(not each for each in several):
        raise TextError(f"A prompt has an empty list of {role}s. Give each at least one token.")
    return [[model.single_token(token, role) for token in each] for each in several]


def _likeliest(model: Runner, prompts: list[list[int]]) -> list[int]:
    """The token that each prompt predicts."""

    def then(values: dict[str, torch.Tensor]) -> int:
        return int(values["logits"][0, -1].argmax())

    return [model.run([ids], ["logits"], then=then, logits_to_keep=1) for ids in prompts]


def _counted(model: Runner, clean: torch.Tensor, corrupt: torch.Tensor | None) -> torch.Tensor:
    """[n, T]: positions that are no marker and no attention sink, in either prompt."""
    streams = [f"resid_post.{layer}" for layer in range(model.num_layers)]
    counted = torch.ones(clean.shape, dtype=torch.bool)
    for ids in (clean, corrupt):
        if ids is None:
            continue

        def then(values: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.stack([values[name].float().norm(dim=-1) for name in streams])

        norms = model.run(ids.tolist(), streams, then=then)
        counted &= ~sink_mask(model, ids.to(norms.device), norms).cpu()
    return counted


def _common(model: Session, prompts: list[list[int]]) -> list[str | None]:
    """Per position the token's text, None where prompts differ in it."""
    return [model.text_of(ids[0]) if len(set(ids)) == 1 else None for ids in zip(*prompts, strict=True)]
