"""A corpus folder as it is at one moment: its tokens in the order of its documents, and the events of any atom.

Files may come from strangers: what does not fit together is refused with a sentence, and nothing in them names a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open

from ... import frames
from . import folder as files
from .folder import EVENT, TOKEN, WINDOW
from .tables import atoms_frame, places, read_table, texts_frame


class Events(NamedTuple):
    """What is stored of the events of one atom, by row."""

    row: np.ndarray
    """[n] rows of the tokens"""
    activation: np.ndarray
    """[n] float32"""


@dataclass(frozen=True, eq=False)
class View:
    """All but the events is in memory: about 20 bytes a token."""

    folder: Path
    about: dict[str, Any]
    atoms: pl.DataFrame
    """See `frames.CORPUS_ATOMS`."""
    tokens: int
    """Tokens that count."""
    ids: np.ndarray
    """[rows] vocabulary ids"""
    counts: np.ndarray
    """[rows] bool"""
    text: np.ndarray
    """[rows] number of the document"""
    position: np.ndarray
    """[rows] index in the document"""
    source: dict[int, str]
    vocabulary: dict[int, str]
    state: files.State | None = None
    """Of a corpus that is being made."""
    row: np.ndarray | None = None
    """[rows] row of each token in the order in which they were read, for a corpus that is being made."""
    lists: pl.DataFrame | None = None
    """The examples of a slim copy."""

    @cached_property
    def keys(self) -> np.ndarray:
        """[rows] see `folder.keys`"""
        return files.keys(self.text, self.position)

    @cached_property
    def _starts(self) -> np.ndarray:
        """Rows at which a stretch of a document begins, and the number of rows."""
        breaks = np.flatnonzero(np.diff(self.keys) != 1) + 1
        return np.concatenate([[0], breaks, [len(self.ids)]])

    def around(self, rows: np.ndarray, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
        """First row of the context of each of `rows` and the row after its last: within the document."""
        stretch = np.searchsorted(self._starts, rows, "right")
        return np.maximum(rows - before, self._starts[stretch - 1]), np.minimum(rows + after + 1, self._starts[stretch])

    def events(self, atom: int) -> Events:
        """The stored events of an atom.

        Raises:
            CorpusError: damaged files.
            FileNotFoundError: the corpus has gone on since this view of it.
        """
        number, inside = divmod(atom, self.about["atoms_per_file"])
        file = files.sorted_events(self.folder, number)
        if file.exists():
            with _opened(file) as found:
                start, end = found.offsets[inside : inside + 2].tolist()
                return self._checked(file, *found.part(start, end))
        part = self._raw(number)
        part = part[part["atom"] == atom]
        rows = self.row[part["token"]]  # type: ignore[index]
        order = np.argsort(rows)
        return Events(rows[order].astype(np.int64), part["activation"][order])

    def events_on(self, here: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atom and activation of all stored events on the rows where `here` [rows] is true, and [width] stored events of each atom.

        One pass over all events. Raises as `events`.
        """
        width, per_file = self.about["width"], self.about["atoms_per_file"]
        stored, atoms, activations = np.zeros(width, np.int64), [], []
        for number in range(-(-width // per_file)):
            file, first = files.sorted_events(self.folder, number), number * per_file
            if file.exists():
                with _opened(file) as found:
                    token, activation = found.part(0, int(found.offsets[-1]))
                    sizes = np.diff(found.offsets)
                hits = np.flatnonzero(_picked(here, token, file))
                atom = np.repeat(first + np.arange(len(sizes)), np.diff(np.searchsorted(hits, found.offsets)))
            else:
                part = self._raw(number)
                sizes = np.bincount(part["atom"] - first)
                hits = np.flatnonzero(here[self.row[part["token"]]])  # type: ignore[index]
                atom, activation = part["atom"][hits], part["activation"]
            stored[first : first + len(sizes)] = sizes
            atoms.append(atom)
            activations.append(activation[hits])
        return np.concatenate(atoms), np.concatenate(activations), stored

    def histograms(self) -> pl.DataFrame:
        """The histograms of a slim copy (see `frames.ATOM_HISTOGRAM`)."""
        return read_table(self.folder / "histograms.parquet", frames.ATOM_HISTOGRAM)

    def _raw(self, number: int) -> np.ndarray:
        if self.state is None:
            raise files.damaged(files.sorted_events(self.folder, number), "it is missing")
        file = files.raw_events(self.folder, number, int(self.state.generation[number]))
        return files.read_raw(file, EVENT, int(self.state.events[number]))

    def _checked(self, file: Path, token: np.ndarray, activation: np.ndarray) -> Events:
        if len(token) and (token[0] < 0 or token[-1] >= len(self.ids) or (np.diff(token) <= 0).any()):
            raise files.damaged(file, "its tokens are not in order, or do not exist")
        if not (np.isfinite(activation) & (activation > 0)).all():
            raise files.damaged(file, "it has activations that are not above 0")
        return Events(token.astype(np.int64), activation)


def view(folder: Path) -> View:
    """What is in the folder now.

    Raises:
        CorpusError: no corpus, or a damaged one.
        FileNotFoundError: it was finished while it was read.
    """
    about = files.read_about(folder)
    return _finished(folder, about) if about["complete"] else _unfinished(folder, about)


def _unfinished(folder: Path, about: dict[str, Any]) -> View:
    home, state = files.making(folder), files.read_state(folder, about["width"])
    windows = files.read_raw(home / "windows.raw", WINDOW, state.windows)
    tokens = files.read_raw(home / "tokens.raw", TOKEN, state.rows)
    text, position = places(windows)
    if len(text) != len(tokens):
        raise files.damaged(home / "windows.raw", "it does not fit the tokens")
    order = np.argsort(files.keys(text, position), kind="stable")
    row = np.empty(len(order), np.int64)
    row[order] = np.arange(len(order))
    texts = texts_frame(windows, state.sources)
    words = None
    if state.rows:
        (home / "vocabulary.parquet").stat()  # which raises if it is gone
        words = read_table(home / "vocabulary.parquet", frames.CORPUS_VOCABULARY)
    return View(
        folder,
        about | {"seconds": round(state.seconds, 3), "sources": state.sources, "texts": len(texts)},
        atoms_frame(state),
        state.tokens,
        tokens["id"][order],
        tokens["counts"][order],
        text[order],
        position[order],
        dict(texts.select("text", "source").iter_rows()),
        dict(words.iter_rows()) if words is not None else {},
        state,
        row,
    )


def _finished(folder: Path, about: dict[str, Any]) -> View:
    atoms = read_table(folder / "atoms.parquet", frames.CORPUS_ATOMS)
    tokens = read_table(folder / "tokens.parquet", frames.CORPUS_TOKENS)
    texts = read_table(folder / "texts.parquet", frames.CORPUS_TEXTS)
    words = read_table(folder / "vocabulary.parquet", frames.CORPUS_VOCABULARY)
    found = View(
        folder,
        about,
        atoms,
        about.get("tokens", 0),
        tokens["token_id"].to_numpy(),
        tokens["counts"].to_numpy(),
        tokens["text"].to_numpy(),
        tokens["position"].to_numpy(),
        dict(texts.select("text", "source").iter_rows()),
        dict(words.iter_rows()),
        lists=read_table(folder / "examples.parquet", frames.CORPUS_LISTS) if about.get("slim") else None,
    )
    if atoms["atom"].to_list() != list(range(about["width"])):
        raise files.damaged(folder / "atoms.parquet", f"it does not have the atoms 0 to {about['width'] - 1}")
    if type(found.tokens) is not int or (np.diff(found.keys) <= 0).any():
        raise files.damaged(folder / "tokens.parquet", "its tokens are not in the order of the documents")
    if not set(np.unique(found.ids).tolist()) <= set(found.vocabulary) or not set(
        np.unique(found.text).tolist()
    ) <= set(found.source):
        raise files.damaged(folder / "vocabulary.parquet", "or texts.parquet: tokens or documents are missing")
    if found.lists is not None and not found.lists["row"].is_between(0, len(found.ids) - 1).all():
        raise files.damaged(folder / "examples.parquet", "it names tokens that do not exist")
    return found


def _picked(here: np.ndarray, token: np.ndarray, file: Path) -> np.ndarray:
    """here[token], for tokens that a file names."""
    try:
        return here[token.view(np.uint32)]  # so that a negative one is out of bounds too
    except IndexError:
        raise files.damaged(file, "it names tokens that do not exist") from None


class _opened:
    """The arrays of a file of events, read piece by piece."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> Any:
        try:
            self._handle = safe_open(self._file, "numpy").__enter__()
            self.offsets = self._handle.get_tensor("offsets")
            self.token, self.activation = self._handle.get_slice("token"), self._handle.get_slice("activation")
            shapes = [self.token.get_shape(), self.activation.get_shape()]
            kinds = [self.token.get_dtype(), self.activation.get_dtype(), self.offsets.dtype]
        except (SafetensorError, OSError) as error:
            raise files.damaged(self._file, str(error)) from error
        size = [int(self.offsets[-1])] if self.offsets.ndim == 1 and len(self.offsets) else None
        if shapes != [size, size] or kinds != ["I32", "F32", np.int64]:
            raise files.damaged(self._file, "its arrays do not fit each other")
        if self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any():
            raise files.damaged(self._file, "its offsets are not in order")
        return self

    def part(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """(token, activation) of the events from `start` to before `end`."""
        if start == end:  # which safetensors does not read at the end of a tensor
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        return self.token[start:end], self.activation[start:end]

    def __exit__(self, *_: object) -> None:
        self._handle.__exit__(None, None, None)
