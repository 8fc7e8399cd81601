"""How often the model is right on what was held out of its training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import torch

from . import grammar
from . import words as w
from .tokens import PAD, encode, ids

SEED = 20_261_122
"""Of the sentences that are measured; the same at every measurement."""


def held_out_texts(task: str, held: str, n: int) -> list[str]:
    """`n` sentences, drawn anew each with its combination held out."""
    rng = Random(f"{SEED} {task} {held}")
    return [grammar.draw(rng, grammar.TASKS[task], held) for _ in range(n)]


def accuracies(model: Any, n: int) -> dict[tuple[str, str], tuple[float, int]]:
    """(task, hold-out): (share of answers that are right, answers), on `n` sentences each."""
    out = {}
    for task, kinds in grammar.HELD.items():
        for held in kinds:
            right = [one for each in rights(model, held_out_texts(task, held, n)) for one in each]
            out[task, held] = sum(right) / len(right), len(right)
    return out


def rights(model: Any, texts: Iterable[str]) -> Iterator[list[bool]]:
    """For each marked text, whether each of its answers is right.

    An answer is right if it is the likeliest of all words. A verb is right if the verbs of its number are together likelier
    than those of the other: which verb comes is open, and often "that" is likelier than any.
    """
    forms = {number: torch.tensor([ids()[verb[number]] for verb in w.VERBS]) for number in (0, 1)}
    number_of = {int(one): number for number, those in forms.items() for one in those}
    for row, answers, logits in answer_logits(model, texts):
        right = []
        for answer in answers:
            at = logits[answer - 1]
            number = number_of.get(row[answer])
            if number is None:
                right.append(int(at.argmax()) == row[answer])
            else:
                right.append(bool(at[forms[number]].logsumexp(0) > at[forms[1 - number]].logsumexp(0)))
        yield right


@torch.no_grad()
def answer_logits(
    model: Any, texts: Iterable[str], size: int = 200
) -> Iterator[tuple[list[int], list[int], torch.Tensor]]:
    """(ids, where the answers are, logits [words, vocabulary]) of each marked text."""
    rows = [encode(text) for text in texts]
    model.eval()
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        width = max(len(row) for row, _ in some)
        batch = torch.tensor([row + [PAD] * (width - len(row)) for row, _ in some])
        for (row, answers), logits in zip(some, model(input_ids=batch, use_cache=False).logits.float(), strict=True):
            yield row, answers, logits
