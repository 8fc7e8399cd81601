"""A slim copy of a corpus: chosen examples of every atom, to ship beside a dictionary. It opens as the whole one does.

It has the files of a whole one, with only those tokens and events that the examples show, and two more: which examples, and
the histograms.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from ... import frames
from ...errors import CorpusError
from ...progress import Progress
from . import folder as files
from .examples import Example, Pool, check, choose, edges_of
from .examples import pool as pool_of
from .tables import sort_events
from .view import View

BINS = 40
"""Bins of the histograms that a slim copy holds."""


def histogram(view: View, atom: int, bins: int) -> pl.DataFrame:
    """See `frames.ATOM_HISTOGRAM`."""
    if view.lists is not None:
        if BINS % bins:
            raise CorpusError(
                f"This slim copy holds histograms of {BINS} bins, or of whole groups of them, not of {bins}."
            )
        fine = view.histograms().filter(pl.col("atom") == atom)
        group = pl.Series(range(len(fine))) // (BINS // bins)
        return fine.group_by(group, maintain_order=True).agg(
            pl.col("atom", "low").first(), pl.col("high").last(), pl.col("count").sum()
        )[:, 1:]
    found = pool_of(view, atom)
    if not len(found.row):
        return frames.build(frames.ATOM_HISTOGRAM, {name: [] for name in frames.ATOM_HISTOGRAM})
    edges, (events, weights) = edges_of(found.maximum, bins), found.weights()
    place = np.searchsorted(edges, found.activation[events].astype(np.float64)) - 1
    counts = np.bincount(place, weights, bins)
    columns = {"atom": [atom] * bins, "low": edges[:-1], "high": edges[1:], "count": np.rint(counts)}
    return frames.build(frames.ATOM_HISTOGRAM, columns)


def refuse(view: View, what: str) -> None:
    """Raises CorpusError in a slim copy."""
    if view.lists is not None:
        raise CorpusError(
            f"This is a slim copy, which does not hold {what}. Open the whole corpus, or make it with iw.corpus."
        )


def stored(
    pool: Pool,
    kind: str,
    count: int,
    context: tuple[int, int],
    intervals: int,
    interval: int | None,
    seed: int,
) -> list[Example]:
    """`examples.choose`, out of a slim copy. Near-duplicates were left out by the context that it was saved with.

    Raises:
        CorpusError: it does not hold them.
    """
    check(kind, count, context, intervals, interval)
    held = pool.view.about["slim"]
    most = held["context"]
    same = kind == "top" or (seed == held["seed"] and (kind == "random" or intervals == held["intervals"]))
    if kind not in held["kinds"] or count > held["count"] or context[0] > most[0] or context[1] > most[1] or not same:
        raise CorpusError(
            f"This slim copy holds {held['count']} examples a list of the kinds {', '.join(held['kinds'])}, with {most[0]} tokens "
            f"before and {most[1]} after, {held['intervals']} intervals and seed {held['seed']}. Ask for that or less, or open "
            "the whole corpus."
        )
    rows = pool.view.lists.filter(  # type: ignore[union-attr]
        (pl.col("atom") == pool.atom) & (pl.col("kind") == kind) & (pl.col("rank") <= count)
    )
    if interval is not None:
        rows = rows.filter(pl.col("interval") == interval)
    return [Example(*row[1:]) for row in rows.iter_rows()]


def write(view: View, target: Path, wanted: dict[str, Any] | None, progress: Progress) -> None:
    """A copy in an empty folder: slim with the examples that are `wanted`, or whole.

    Raises:
        CorpusError: the corpus is not complete or slim itself, or the folder is not empty.
    """
    if not view.about["complete"]:
        raise CorpusError(
            "This corpus is not complete yet. Let iw.corpus come to its end first; it goes on where it was."
        )
    refuse(view, "what another copy needs")
    if target.exists() and any(target.iterdir()):
        raise CorpusError(f"{target} is not empty. Give an empty folder.")
    try:
        if wanted is None:
            shutil.copytree(view.folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock", "*.part"))
        else:
            _write_slim(view, target, wanted, progress)
    except OSError as error:
        raise CorpusError(f"{target} cannot be written to: {error}.") from error


def _write_slim(view: View, target: Path, wanted: dict[str, Any], progress: Progress) -> None:
    width, context = view.about["width"], tuple(wanted["context"])
    shown = np.zeros(len(view.ids), bool)
    chosen, events, histograms = [], [], []
    for atom in range(width):
        found = pool_of(view, atom)
        mine = [
            example
            for kind in wanted["kinds"]
            for example in choose(found, kind, wanted["count"], context, wanted["intervals"], None, wanted["seed"])
        ]
        chosen += [(atom, *example) for example in mine]
        rows = np.array([example.row for example in mine], np.int64)
        near = _near(found.row, *view.around(rows, *context))
        events.append((np.full(near.sum(), atom), found.row[near], found.activation[near]))
        for low, high in zip(*view.around(rows, *context), strict=True):
            shown[low:high] = True
        histograms.append(histogram(view, atom, BINS))
        progress(atom + 1, width, f"{atom + 1} of {width} atoms")
    place = np.cumsum(shown) - 1
    of, row, activation = (np.concatenate(part) for part in zip(*events, strict=True))
    arrays = sort_events(of, place[row], activation, 0, width)
    target.mkdir(parents=True, exist_ok=True)
    files.replace(files.sorted_events(target, 0), lambda file: save_file(arrays, file))
    lists = pl.DataFrame(chosen, schema=list(frames.CORPUS_LISTS), orient="row")
    lists = frames.build(frames.CORPUS_LISTS, {**lists.to_dict(), "row": place[lists["row"].cast(pl.Int64).to_numpy()]})
    kept = np.flatnonzero(shown)
    columns = {"text": view.text, "position": view.position, "token_id": view.ids, "counts": view.counts}
    texts = np.unique(view.text[kept]).tolist()
    words = np.unique(view.ids[kept]).tolist()
    whole = pl.read_parquet((view.folder / "texts.parquet").read_bytes())
    tables = {
        "examples": lists,
        "histograms": pl.concat(histograms),
        "atoms": view.atoms,
        "tokens": frames.build(frames.CORPUS_TOKENS, {name: values[kept] for name, values in columns.items()}),
        "texts": whole.filter(pl.col("text").is_in(texts)),
        "vocabulary": frames.build(
            frames.CORPUS_VOCABULARY, {"token_id": words, "token": [view.vocabulary[i] for i in words]}
        ),
    }
    for name, table in tables.items():
        table.write_parquet(target / f"{name}.parquet", compression_level=19)
    files.write_about(target, view.about | {"slim": wanted, "atoms_per_file": width})


def _near(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """[n] which of the ascending `rows` lie in one of the ranges low to high."""
    change = np.zeros(len(rows) + 1, np.int64)
    np.add.at(change, np.searchsorted(rows, low), 1)
    np.add.at(change, np.searchsorted(rows, high), -1)
    return np.cumsum(change[:-1]) > 0
