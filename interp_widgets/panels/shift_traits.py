"""A SHIFT run as traits: the list of atoms, texts that they fire in, and the table of accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import torch

if TYPE_CHECKING:
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
"""Texts of each label shown of an atom."""


def listed(effects: pl.DataFrame, struck: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The trait of that name: the `most` atoms of largest effect, and those that are struck."""
    rows = effects.drop_nulls("atom").with_row_index("rank")
    kept = rows.filter((pl.col("rank") < most) | pl.col("node").is_in(list(struck)))
    return kept.select(
        "node", "site", "atom", "effect", "low", "high", pl.col("active_share").alias("active")
    ).to_dicts()


def texts(model: Session, split: Split, data: ShiftData, wanted: Sequence[int]) -> dict[str, Any]:
    """The traits `words` and `texts`."""
    known: dict[int, int] = {}
    shown = []
    for text in wanted:
        tokens = [known.setdefault(token, len(known)) for token in split.ids[text]]
        label, spurious = bool(split.label[text]), bool(split.spurious[text])
        shown.append({"tokens": tokens, "label": data.labels[label], "spurious": data.spurious[spurious]})
    return {"words": [model.text_of(token) for token in known], "texts": shown}


def strongest(activations: list[torch.Tensor], split: Split) -> list[list[int]]:
    """For each atom the texts shown of it, the strongest of each label first; `activations`: per text [atoms, tokens]."""
    means = torch.stack([a.nanmean(1) for a in activations])
    out: list[list[int]] = []
    for of in means.T.unbind():
        mine: list[int] = []
        for label in (False, True):
            members = (split.label[: len(of)] == label).nonzero().flatten()
            order = of[members].argsort(descending=True, stable=True)[:EACH]
            mine += [int(members[i]) for i in order if of[members[i]] > 0]
        out.append(sorted(mine, key=(-of).tolist().__getitem__))
    return out


def examples(
    activations: list[torch.Tensor], chosen: list[list[int]], names: Sequence[str], place: dict[int, int]
) -> dict[str, Any]:
    """The trait of that name; `place`: index in the trait `texts` of each text."""
    out = {}
    for atom, (name, mine) in enumerate(zip(names, chosen, strict=True)):
        rows = []
        for text in mine:
            a = activations[text][atom]
            at = [(i, round(float(v), 4)) for i, v in enumerate(a) if v > 0]
            rows.append([place[text], round(float(a.nanmean()), 4), at])
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
