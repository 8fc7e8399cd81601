"""The tables of a corpus: made from what was counted, and read from files that may be damaged or from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from ... import frames
from ...errors import FrameError
from . import folder as files


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
        FrameError: no Parquet, other columns, or contexts whose lists do not fit together.
    """
    file = Path(path).expanduser()
    try:
        frame = pl.read_parquet(file.read_bytes())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FrameError(f"{file} cannot be read as Parquet: {error}.") from error
    frame = frames.check(frame, frames.ATOM_EXAMPLES)
    lengths = pl.col("tokens").list.len()
    fits = (
        (lengths == pl.col("token_ids").list.len())
        & (lengths == pl.col("activations").list.len())
        & (pl.col("at") >= 0)
        & (pl.col("at").cast(pl.Int64) < lengths.cast(pl.Int64))
        & pl.col("activation").is_finite()
    )
    if wrong := frame.select((~fits).sum()).item():
        raise FrameError(
            f"{file}: in {wrong} rows tokens, token_ids and activations are not of one length, at is not a place in them, or the "
            "activation is not finite."
        )
    return frame
