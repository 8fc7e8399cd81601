"""What is to be patched, and the two baseline runs that a grid begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..session.runner import Runner
from ..session.session import Session
from ..session.stays import Stays
from .alignment import Pairs
from .choices import check_tokens
from .patching_run import PatchingRun
from .prediction import Prediction, predict
from .reading import Read, Row, Span

TOP_K = 5
"""Likeliest next tokens kept for each cell."""

Default = tuple[str, int]
"""Which prompt's prediction stands for a token that is not given, "source" or "prompt", and its rank there from 0."""


@dataclass(frozen=True)
class Plan:
    """What is to be patched, before anything is run."""

    read: Read
    ids: tuple[list[int], list[int]]
    """Of the source and the prompt."""
    pairs: Pairs
    rows: list[Row]
    columns: list[Span]
    tokens: tuple[int | None, int | None]
    """Answer and foil, None for what is predicted."""
    defaults: tuple[Default, Default]
    unaffected: list[int]
    direction: str
    method: str
    k: int
    """Tokens listed of each prediction."""
    width: int
    """How much is kept of normalised streams: all, or nothing where they would have to come from a server."""

    def open(self, begun: Begun, texts: Sequence[Any] = (None, None), dtype: str = "float32") -> PatchingRun:
        """An empty grid beside its baselines. `texts`: the tokens of source and prompt as frames, for people to read."""
        return PatchingRun(
            source=texts[0],
            prompt=texts[1],
            ids=self.ids,
            pairs=self.pairs,
            rows=self.rows,
            columns=self.columns,
            answer=begun.answer,
            foil=begun.foil,
            source_prediction=begun.source,
            prompt_prediction=begun.prompt,
            unaffected=self.unaffected,
            tolerance=1e-3 if dtype == "float32" else 0.25,
            cells=Prediction.empty((len(self.rows), len(self.columns)), self.k, self.width),
            read=self.read,
            reading=begun.reading.value,
            direction=self.direction,
            method=self.method,
        )


@dataclass(frozen=True)
class Begun:
    """The two baselines of a run."""

    answer: int
    foil: int
    source: Prediction
    """[1, ...]"""
    prompt: Prediction
    """[1, ...]"""
    reading: Stays
    """What was read, for work that goes on from it."""


def begin(model: Runner, plan: Plan) -> Begun:
    """Reads the prompts and measures them."""
    reading, ended = plan.read(model)
    outputs = {"source": ended, "prompt": reading.output}
    answer, foil = (
        int(outputs[which].logits.topk(rank + 1).indices[rank]) if token is None else token
        for token, (which, rank) in zip(plan.tokens, plan.defaults, strict=True)
    )
    source, prompt = (
        predict(output.logits[None], output.normed[None, : plan.width], answer, foil, plan.k)
        for output in outputs.values()
    )
    return Begun(answer, foil, source, prompt, Stays(reading))


def plan_run(
    model: Session,
    read: Read,
    ids: tuple[list[int], list[int]],
    pairs: Pairs,
    rows: list[Row],
    columns: list[Span],
    tokens: tuple[str | int | None, str | int | None],
    defaults: tuple[Default, Default],
    unaffected: list[int],
    direction: str = "denoise",
    method: str = "exact",
) -> Plan:
    """A plan whose tokens, answer and foil, are known to be tokens.

    Raises:
        TextError: one of them is none.
    """
    answer, foil = (
        None if token is None or token == "" else model.single_token(token, role)
        for token, role in zip(tokens, ("answer", "foil"), strict=True)
    )
    k, width = min(TOP_K, model.vocabulary_size), 0 if model.apart else model.width
    given = (answer, foil)
    return Plan(read, ids, pairs, rows, columns, given, defaults, unaffected, direction, method, k, width)


def open_run(model: Session, plan: Plan) -> PatchingRun:
    """The two baseline runs and an empty grid.

    Raises:
        TextError: answer and foil are one token.
    """
    begun = model.work(begin, plan)
    check_tokens(model, begun.answer, begun.foil)
    return plan.open(begun, [model.tokens(ids) for ids in plan.ids], model.dtype)
