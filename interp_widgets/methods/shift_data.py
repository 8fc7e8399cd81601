"""Labelled texts as SHIFT reads them: token ids, and two labels of which only one is meant."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import torch

from .. import frames
from ..errors import FrameError, TextError
from ..session.session import Session

LEAST = 4
"""Texts of each class that a probe is fitted on, at least."""


@dataclass(frozen=True, eq=False)
class Split:
    """Texts of one split. `N` texts."""

    texts: list[str]
    ids: list[list[int]]
    label: torch.Tensor
    """[N], bool: whether the text is of the second class"""
    spurious: torch.Tensor
    """[N], bool: whether it has the spurious value that goes with the second class in the ambiguous split"""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class ShiftData:
    """All splits, and what their labels are called."""

    splits: dict[str, Split]
    labels: tuple[str, str]
    spurious: tuple[str, str]
    """The values that go with the first and the second label in the ambiguous split."""

    def groups(self) -> list[tuple[str, bool, bool]]:
        """(name, label, spurious) of the four groups."""
        return [(f"{self.labels[y]}, {self.spurious[z]}", bool(y), bool(z)) for y in (0, 1) for z in (0, 1)]


def read_data(model: Session, data: pl.DataFrame, needed: tuple[str, ...]) -> ShiftData:
    """Texts and labels of a frame with the columns of `frames.SHIFT_TEXTS`, checked.

    Args:
        needed: splits that must be there.

    Raises:
        FrameError: other columns. TextError: labels that are not two, an ambiguous split in which they do not coincide, a missing
            split or group, or a text that the model cannot read.
    """
    if missing := [name for name in frames.SHIFT_TEXTS if name not in data.columns]:
        raise FrameError(
            f"The data have no column {', '.join(missing)}. They need split, document, label and spurious, one row a text; "
            "interp_widgets.lab.biographies makes such a frame."
        )
    data = frames.build(frames.SHIFT_TEXTS, {name: data[name] for name in frames.SHIFT_TEXTS})
    for split in needed:
        if split not in set(data["split"]):
            raise TextError(f"The data have no texts of the split {split!r}; they have {_list(data['split'])}.")
    labels = _two(data["label"], "label")
    _two(data["spurious"], "spurious")
    pairs = data.filter(split="ambiguous").select("label", "spurious").unique()
    partner = dict(pairs.iter_rows())
    if len(pairs) != 2 or len(partner) != 2 or len(set(partner.values())) != 2:
        raise TextError(
            "In the split 'ambiguous' each label must go with one spurious value of its own; there are the pairs "
            f"{', '.join(f'{a} with {b}' for a, b in sorted(pairs.iter_rows()))}."
        )
    spurious = (partner[labels[0]], partner[labels[1]])
    splits = {}
    for (name,), part in data.group_by("split", maintain_order=True):
        if min((part["label"] == label).sum() for label in labels) < LEAST:
            raise TextError(f"The split {name!r} needs {LEAST} texts or more of each label.")
        ids = [model.encode(text) for text in part["document"]]
        label, other = (
            torch.tensor((part[c] == v).to_list()) for c, v in (("label", labels[1]), ("spurious", spurious[1]))
        )
        splits[str(name)] = Split(part["document"].to_list(), ids, label, other)
    out = ShiftData(splits, labels, spurious)
    for split in set(needed) - {"ambiguous"}:
        for group, y, z in out.groups():
            if not bool(((out.splits[split].label == y) & (out.splits[split].spurious == z)).any()):
                raise TextError(f"The split {split!r} has no text of the group {group}; all four groups are needed.")
    return out


def _two(values: pl.Series, column: str) -> tuple[str, str]:
    found = sorted(set(values))
    if len(found) != 2:
        raise TextError(f"The column {column} needs two different values; it has {_list(values)}.")
    return found[0], found[1]


def _list(values: pl.Series) -> str:
    found = sorted(set(values))
    return ", ".join(found[:5]) + (", …" if len(found) > 5 else "") or "none"
