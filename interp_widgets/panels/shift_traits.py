"""A SHIFT run as traits: the list of atoms, texts that they fire in, and the table of accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

if TYPE_CHECKING:
    import torch

    from ..methods.shift_data import ShiftData, Split
    from ..session.session import Session

NAMES = {
    ("original", False): "original probe",
    ("struck", False): "struck out",
    ("struck", True): "struck out, probe retrained",
    ("random", False): "random atoms",
    ("random", True): "random atoms, retrained",
    ("by label", False): "atoms chosen by labels",
    ("by label", True): "atoms chosen by labels, retrained",
    ("neurons", False): "neurons chosen by labels",
    ("neurons", True): "neurons chosen by labels, retrained",
    ("balanced", True): "probe trained on balanced texts",
}
"""Rows of the table in their order: condition and whether the probe was retrained -> what it is called."""
EACH = 4
"""Texts of each label shown of an atom, and of those from elsewhere."""


def listed(effects: pl.DataFrame, struck: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The trait of that name: the `most` atoms of largest effect, and those that are struck."""
    rows = effects.drop_nulls("atom").with_row_index("rank")
    kept = rows.filter((pl.col("rank") < most) | pl.col("node").is_in(list(struck)))
    return kept.select(
        "node", "site", "atom", "effect", "low", "high", pl.col("active_share").alias("active")
    ).to_dicts()


class Labelled(NamedTuple):
    """A text that may be shown."""

    ids: list[int]
    label: str
    spurious: str


ELSEWHERE = "elsewhere"
"""The label of a text that was given beside the data."""


def labelled(split: Split, data: ShiftData, count: int, others: Sequence[list[int]]) -> list[Labelled]:
    """The first `count` texts of a split, and others."""
    rows = zip(split.ids[:count], split.label.tolist(), split.spurious.tolist(), strict=False)
    mine = [Labelled(ids, data.labels[label], data.spurious[spurious]) for ids, label, spurious in rows]
    return [*mine, *(Labelled(ids, ELSEWHERE, "") for ids in others)]


def texts(model: Session, there: Sequence[Labelled], wanted: Sequence[int]) -> dict[str, Any]:
    """The traits `words` and `texts`."""
    known: dict[int, int] = {}
    shown = []
    for text in wanted:
        ids, label, spurious = there[text]
        tokens = [known.setdefault(token, len(known)) for token in ids]
        shown.append({"tokens": tokens, "label": label, "spurious": spurious})
    return {"words": [model.text_of(token) for token in known], "texts": shown}


def strongest(activations: list[torch.Tensor], there: Sequence[Labelled]) -> list[list[int]]:
    """For each atom the texts shown of it, the strongest of each label first; `activations`: per text [atoms, tokens]."""
    import torch

    means = torch.stack([a.nanmean(1) for a in activations])
    out: list[list[int]] = []
    for of in list(means.T):
        order = sorted(range(len(of)), key=(-of).tolist().__getitem__)
        fires = [text for text in order if of[text] > 0]
        labels = dict.fromkeys(there[text].label for text in fires)
        last = sorted(labels, key=lambda label: label == ELSEWHERE)
        out.append([text for label in last for text in [t for t in fires if there[t].label == label][:EACH]])
    return out


def examples(
    activations: list[torch.Tensor], chosen: list[list[int]], names: Sequence[str], place: dict[int, int]
) -> dict[str, Any]:
    """The trait of that name; `place`: index in the trait `texts` of each text."""
    out: dict[str, Any] = {}
    for atom, (name, mine) in enumerate(zip(names, chosen, strict=True)):
        rows: list[tuple[int, float, list[tuple[int, float]]]] = []
        for text in mine:
            a = activations[text][atom]
            at = [(i, round(float(v), 4)) for i, v in enumerate(a) if v > 0]
            rows.append((place[text], round(float(a.nanmean()), 4), at))
        out[name] = {"maximum": max((v for row in rows for _, v in row[2]), default=0.0), "shown": rows}
    return out


def groups(data: ShiftData) -> list[tuple[str, str]]:
    """The trait of that name."""
    first = [("label", " or ".join(data.labels)), ("spurious", " or ".join(data.spurious)), ("worst", "worst group")]
    return [*first, *((name, name) for name, _, _ in data.groups())]


def table(frame: pl.DataFrame, columns: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The trait `accuracy`."""
    rows = []
    for (condition, retrained), name in NAMES.items():
        mine = frame.filter(condition=condition, retrained=retrained)
        if mine.is_empty() or (condition == "struck" and mine["nodes"][0] == 0):  # then it says what the first row says
            continue
        draws, cells = mine["draw"].n_unique(), []
        for group, _ in columns:
            of = mine.filter(group=group)
            ends = (of["accuracy"].min(), of["accuracy"].max()) if draws > 1 else (of["low"][0], of["high"][0])
            cells.append({"accuracy": of["accuracy"].mean(), "low": ends[0], "high": ends[1], "n": of["n"][0]})
        key = f"{condition}{' retrained' if retrained else ''}"
        rows.append({"condition": key, "name": name, "nodes": mine["nodes"][0], "draws": draws, "cells": cells})
    return rows
