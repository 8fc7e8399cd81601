"""An audit as traits: which rows the table has, what they are called, and their numbers as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..widgets import wire

if TYPE_CHECKING:
    from ..methods.audit_run import AuditRun
    from ..session.session import Session

LABELS = {
    "explained_variance": ("explained variance", "share"),
    "loss_recovered_mean": ("loss recovered, against the mean", "share"),
    "loss_recovered": ("loss recovered, against zeros", "share"),
    "loss": ("loss, nats a token", "number"),
    "error_share": ("error share of effects on the answer", "share"),
    "atoms_alone": ("answer kept by atoms alone", "share"),
    "errors_alone": ("answer kept by errors alone", "share"),
    "active": ("active atoms (L0)", "count"),
    "cosine": ("cosine", "number"),
    "norm_ratio": ("norm ratio", "number"),
    "dead_share": ("dead atoms", "share"),
    "dense_share": ("atoms on at over 10 % of tokens", "share"),
    "density_low": ("density, 1 % of atoms below", "small"),
    "density_median": ("density, median atom", "small"),
    "density_high": ("density, 1 % of atoms above", "small"),
    "left_out": ("tokens left out", "share"),
}
"""Rows of the table in their order: what they are called, and how a number is written."""
COLUMNS = ("sae", "pca", "random", "identity", "model", "mean", "zero")
OTHERS = frozenset(COLUMNS[1:])


def quantities() -> list[dict[str, str]]:
    """The trait of that name."""
    from ..methods.audit import DEFINITIONS

    return [
        {"name": name, "label": label, "format": written, "definition": DEFINITIONS[name]}
        for name, (label, written) in LABELS.items()
    ]


def sources(frame: pl.DataFrame) -> list[str]:
    """All sources of a frame, "all" first, even before anything of it is measured; the text that is looked at last."""
    from ..methods.audit_fit import ALL, TEXT

    found = frame["source"].unique(maintain_order=True).to_list()
    return [ALL, *(name for name in found if name not in (ALL, TEXT)), *(name for name in found if name == TEXT)]


def numbers(parts: Sequence[pl.DataFrame], names: list[str]) -> dict[str, Any]:
    """`values` and `counts` of audits, one frame a dictionary."""
    shape = (len(parts), len(names), len(LABELS))
    values = np.full((*shape, len(COLUMNS), 3), np.nan)
    counts = np.full(shape, -1)
    rows = {name: at for at, name in enumerate(LABELS)}
    for d, frame in enumerate(parts):
        for row in frame.iter_rows(named=True):
            s, q = names.index(row["source"]), rows[row["quantity"]]
            c = COLUMNS.index(row["dictionary"] if row["dictionary"] in OTHERS else "sae")
            values[d, s, q, c] = [np.nan if row[end] is None else row[end] for end in ("value", "low", "high")]
            counts[d, s, q] = row["n"]
    return {"values": wire.float32(values), "counts": wire.int32(counts)}


def about(run: AuditRun) -> dict[str, Any]:
    """One entry of `dictionaries`."""
    from ..methods.audit_fit import ALL

    done = int(run.at(ALL).sum())
    return {
        "name": run.sae.name, "site": run.site, "width": run.sae.width, "k": run.fit.k, "done": done, "total": len(run.measured),
    }  # fmt: skip


def histograms(runs: Sequence[AuditRun], names: list[str]) -> dict[str, Any]:
    """`histogram` and its `edges`."""
    from ..methods.audit_run import EDGES

    counted = [[run.histogram(source) for source in names] for run in runs]
    return {"histogram": wire.int32(np.array(counted)), "edges": EDGES.tolist()}


def curve(model: Session, run: AuditRun) -> dict[str, Any]:
    """One entry of `curves`; empty without a text."""
    found = run.effects.get(run.sae.name)
    if found is None:
        return {}
    lines = {
        errors: [found.faithfulness(metric) for _, kept, metric in found.curve if kept == errors]
        for errors in (True, False)
    }
    shown = [value for line in lines.values() for value in line if value is not None]
    return {
        "answer": model.text_of(found.answer),
        "foil": "" if found.foil is None else model.text_of(found.foil),
        "model": found.model,
        "nothing": found.nothing,
        "share": found.share,
        "kept": [n for n, errors, _ in found.curve if errors],
        "with_errors": lines[True],
        "without_errors": lines[False],
        "low": min([0.0, *shown]),
        "high": max([1.0, *shown]),
    }


def split(wider: str, pieces: pl.DataFrame) -> dict[str, Any]:
    """What becomes of an atom in a wider dictionary, for `spread`."""
    rows = pieces.select("wider_atom", "cosine", "together").rows()
    return {"wider": wider, "rows": rows, "explained": pieces["explained"][-1], "n": pieces["n"][0]}


def spread(
    model: Session, name: str, atom: int, strength: float, effects: pl.DataFrame, summary: pl.DataFrame,
    contexts: Sequence[list[int]],
) -> dict[str, Any]:  # fmt: skip
    """The trait of that name, from the two frames."""
    mine, other = effects.filter(direction="atom"), effects.filter(direction="random 0")
    values, random = mine["effect"].to_list(), other["effect"].to_list()
    row = summary.row(0, named=True)
    gap = " " if model.texts.style == "words" else ""  # tokens that are whole words have no space of their own
    sd = row["sd"] or 0.0
    return {
        "dictionary": name,
        "atom": atom,
        "strength": strength,
        "token": mine["token"][0],
        "random_token": other["token"][0],
        "summary": summary.to_dicts(),
        "values": values,
        "random": random,
        "contexts": [gap.join(model.text_of(i) for i in contexts[at]) for at in mine["context"]],
        "low": row["mean"] - sd,
        "high": row["mean"] + sd,
        "from": min([0.0, *values, *random]),
        "to": max([0.0, *values, *random]),
    }
