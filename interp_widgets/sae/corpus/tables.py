"""The tables of a corpus: made from what was counted, and read from files that may be damaged or from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from ... import frames
from ...errors import FrameError
from . import folder as files

KINDS = ("top", "random", "interval", "quantile")
"""Of examples."""


def atoms_frame(state: files.State) -> pl.DataFrame:
    """The statistics of every atom (see `frames.CORPUS_ATOMS`)."""
    found = {name: pl.Series(values) for name, values in state.statistics.items()}
    some = found["fired"] > 0
    columns = {
        "atom": np.arange(len(some)),
        "fired": found["fired"],
        "density": found["fired"] / state.tokens if state.tokens else [None] * len(some),
        "mean": pl.select(pl.when(some).then(found["total"] / found["fired"])).to_series(),
        "maximum": found["maximum"],
        "kept": pl.select(pl.when(some).then(found["stored"] / found["fired"]).otherwise(1.0)).to_series(),
    }
    return frames.build(frames.CORPUS_ATOMS, columns)


def texts_frame(windows: np.ndarray, sources: list[str]) -> pl.DataFrame:
    """The documents and their sources (see `frames.CORPUS_TEXTS`)."""
    text, first = np.unique(windows["text"], return_index=True)
    lengths = np.bincount(windows["text"], windows["length"], minlength=1)[text].astype(np.int32)
    names = [sources[source] for source in windows["source"][first]]
    return frames.build(frames.CORPUS_TEXTS, {"text": text, "source": names, "length": lengths})


def places(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(text, position) of every token of some windows."""
    length = windows["length"]
    inside = np.arange(length.sum(), dtype=np.int32) - np.repeat(np.cumsum(length) - length, length).astype(np.int32)
    return np.repeat(windows["text"], length), np.repeat(windows["start"], length) + inside


def sort_events(
    atom: np.ndarray, token: np.ndarray, activation: np.ndarray, first: int, count: int
) -> dict[str, np.ndarray]:
    """What a file of events holds: those of atom `first + i` are offsets[i] to offsets[i + 1], by token."""
    order = np.argsort((atom.astype(np.int64) << 32) | token)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(atom - first, minlength=count))]).astype(np.int64)
    return {"offsets": offsets, "token": token[order].astype(np.int32), "activation": activation[order]}


def read_table(file: Path, schema: frames.Schema) -> pl.DataFrame:
    """A Parquet file with the columns of `schema`.

    Raises:
        CorpusError: missing, damaged, or another table.
    """
    try:
        return frames.check(pl.read_parquet(file.read_bytes()), schema)
    except (OSError, pl.exceptions.PolarsError, FrameError) as error:
        raise files.damaged(file, str(error)) from error


def read_examples(path: str | Path) -> pl.DataFrame:
    """A table of examples that was written as Parquet (see `frames.ATOM_EXAMPLES`): by `Corpus.to_parquet`, or elsewhere.

    Raises:
        FrameError: no Parquet, other columns, or rows that do not fit together.
    """
    file = Path(path).expanduser()
    try:
        frame = pl.read_parquet(file.read_bytes())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FrameError(f"{file} cannot be read as Parquet: {error}.") from error
    try:
        return check_examples(frame)
    except FrameError as error:
        raise FrameError(f"{file}: {error}") from error


def check_examples(frame: pl.DataFrame) -> pl.DataFrame:
    """The same table, if its rows make sense and not only its columns.

    Raises:
        FrameError: other columns, lists of different lengths, or values that cannot be.
    """
    frames.check(frame, frames.ATOM_EXAMPLES)
    lengths, known = pl.col("tokens").list.len(), pl.col("activations").list.drop_nulls()
    ranges, bounds = pl.col("kind").is_in(["interval", "quantile"]), ("interval", "low", "high")
    rules = {
        "tokens, token_ids and activations are not of one length, or at is not a place in them": (
            (lengths == pl.col("token_ids").list.len())
            & (lengths == pl.col("activations").list.len())
            & (pl.col("at") >= 0)
            & (pl.col("at").cast(pl.Int64) < lengths.cast(pl.Int64))
        ),
        "a token or its id is null": (
            (pl.col("tokens").list.drop_nulls().list.len() == lengths)
            & (pl.col("token_ids").list.drop_nulls().list.len() == lengths)
        ),
        "an activation is not finite": (
            pl.col("activation").is_finite() & known.list.eval(pl.element().is_finite()).list.all()
        ),
        f"kind is none of {', '.join(KINDS)}": pl.col("kind").is_in(KINDS),
        "interval, low or high is null or not finite, or interval is negative": ~ranges
        | (
            pl.all_horizontal(pl.col(name).is_not_null() for name in bounds)
            & pl.col("low").is_finite()
            & pl.col("high").is_finite()
            & (pl.col("interval") >= 0)
        ),
        "atom is negative": pl.col("atom") >= 0,
    }
    for said, fits in rules.items():
        if wrong := frame.select((~fits.fill_null(False)).sum()).item():
            raise FrameError(f"In {wrong} rows of these examples {said}.")
    return frame
