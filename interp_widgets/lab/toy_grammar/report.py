"""What a trained toy-grammar can do, and what is inside it, as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from ...methods.probes import wilson
from ...sae.dictionary import Dictionary
from . import grammar, insides, measuring
from . import words as w


def held_out_sets(n: int) -> Iterator[tuple[str, str, list[str]]]:
    """(task, what, marked sentences): every held-out set, agreement by what stands before the verb, the calendar whole."""
    for task, kinds in grammar.HELD.items():
        for held in kinds:
            if task in insides.CYCLES:
                yield task, held, list(calendar_set(insides.CYCLES[task], held))
            elif task == "agreement":
                for kind in grammar.AGREEMENT_KINDS:
                    rng, make = Random(f"{measuring.SEED} {kind}"), partial(grammar.agreement, kind=kind)
                    yield task, kind, [grammar.draw(rng, make, held) for _ in range(n)]
            else:
                yield task, held, measuring.held_out_texts(task, held, n)


def calendar_set(cycle: tuple[str, ...], held: str) -> Iterator[str]:
    """Both wordings of all that is held out in this way."""
    for steps in range(1, len(w.NUMBERS)):
        for back in (False, True):
            for start in cycle:
                if grammar.calendar_held(cycle, steps, back, start) == held:
                    yield from grammar.calendar_texts(cycle, steps, back, start)


def behaviour(model: Any, n: int) -> pl.DataFrame:
    """Each held-out set: `answers`, how many of them are right, and the share with its 95 % interval (Wilson).

    `model` is what transformers calls one, not a session. For agreement see `measuring.rights`.
    """
    rows = []
    for task, what, texts in held_out_sets(n):
        right = [one for each in measuring.rights(model, texts) for one in each]
        rows.append((task, what, len(right), sum(right), sum(right) / len(right), *wilson(sum(right), len(right))))
    return pl.DataFrame(rows, schema=["task", "held_out", "answers", "right", "share", "low", "high"], orient="row")


def report(model: Any, dictionaries: Mapping[str, Dictionary], n: int) -> dict[str, pl.DataFrame]:
    """All tables of a session on the model, by name; `n`: held-out sentences a row of behaviour."""
    return {
        "behaviour": behaviour(model.torch_module, n),
        "circles": insides.circles(model),
        "giver_patching": insides.giver_patching(model, max(2, n // 16)),
        "giver_attention": insides.giver_attention(model, max(2, n // 16)),
        "dictionaries": insides.dictionary_quality(model, dictionaries, n),
        "concepts": insides.told(model, dictionaries, 2 * n),
    }


def write(tables: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """report.json and report.md."""
    rows = {name: table.to_dicts() for name, table in tables.items()}
    (folder / "report.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    text = "\n\n".join(f"{name}\n\n{markdown(table)}" for name, table in tables.items())
    (folder / "report.md").write_text(text + "\n", encoding="utf-8")


def side_by_side(behaviours: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row a held-out set; a column for each seed says which share of its answers is right."""
    sets = next(iter(behaviours.values())).select("task", "held_out", "answers")
    return sets.with_columns(table["share"].alias(name) for name, table in behaviours.items())


def markdown(table: pl.DataFrame) -> str:
    """A table with numbers to three places."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in table.rows()]
    lines = [table.columns, ["---"] * len(table.columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
