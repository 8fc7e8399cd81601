"""Writing a corpus: events as they come, in files by range of atoms; commits; and sorting at the end.

Memory holds what came since the last commit, the statistics of each atom, and at the end one file of events at a time.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors.numpy import save_file

from ... import frames
from ...errors import CorpusError
from . import folder as files
from .folder import EVENT, TOKEN, WINDOW
from .tables import atoms_frame, places, sort_events, texts_frame

COMMIT_SECONDS = 2.0
"""At most this much work is lost when the process is killed."""
_BUFFER = 2_000_000
"""Events held before they are written, whatever the time: 24 MB."""


class Store:
    """A corpus folder open for writing; as a context manager it keeps other processes out.

    Args:
        folder: made if it does not exist.
        about: what the corpus is of: `identity` of methods/corpus.py. A folder that is of something else is refused.
        text_of: exact text of a token.
    """

    def __init__(self, folder: Path, about: dict[str, Any], text_of: Callable[[int], str]) -> None:
        self.folder, self.text_of = folder, text_of
        self.about = {"format": files.FORMAT, "version": files.VERSION, **about, "complete": False}
        self.about["atoms_per_file"] = self.per_file = files.atoms_per_file(about["width"])
        self._lock = FileLock(folder / ".lock")
        self._vocabulary: dict[int, str] = {}

    def __enter__(self) -> Store:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._open()
        except Timeout:
            raise CorpusError(
                f"Another process is writing to {self.folder}. Wait for it, or give another folder."
            ) from None
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise CorpusError(f"{self.folder} cannot be written to: {error}. Give another folder.") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self.complete:
            (self.folder / ".lock").unlink(missing_ok=True)

    @property
    def complete(self) -> bool:
        return self.about["complete"]

    @property
    def read(self) -> tuple[int, str]:
        """How many batches are in the corpus, and their digest."""
        if self.complete:
            return self.about["batches"], self.about["texts_sha256"]
        return self.state.batches, self.state.digest

    @property
    def ended(self) -> bool:
        """Whether nothing more can be added."""
        return self.complete or self.state.ended

    @property
    def tokens(self) -> int:
        """Tokens that count."""
        return self.about["tokens"] if self.complete else self.state.tokens

    @property
    def full(self) -> bool:
        """Whether as many tokens are there as were asked for."""
        return self.about["asked"] is not None and self.tokens >= self.about["asked"]

    @property
    def due(self) -> bool:
        """Whether it is time for a commit."""
        return time.monotonic() - self._committed > COMMIT_SECONDS or self._held > _BUFFER

    def append(
        self,
        windows: np.ndarray,
        sources: list[str],
        ids: np.ndarray,
        counts: np.ndarray,
        token: np.ndarray,
        atom: np.ndarray,
        activation: np.ndarray,
    ) -> None:
        """One batch. `windows` [w] are WINDOW records, whose `source` is filled in here, and `sources` [w] their names;
        `ids` and `counts` [n] all their tokens; `token` [m] (index into ids), `atom` [m] and `activation` [m] the events."""
        state = self.state
        for name in sources:
            if name not in state.sources:
                state.sources.append(name)
        state.digest = digest(state.digest, windows, sources, ids)
        windows = windows.copy()
        windows["source"] = [state.sources.index(name) for name in sources]
        tokens, events = np.empty(len(ids), TOKEN), np.empty(len(token), EVENT)
        tokens["id"], tokens["counts"] = ids, counts
        events["atom"], events["token"], events["activation"] = atom, token + state.rows, activation
        if state.rows + len(ids) >= 2**31:
            raise CorpusError("A corpus holds at most 2,147,483,647 tokens. Make several of them.")
        statistics, width = state.statistics, self.about["width"]
        fired = np.bincount(atom, minlength=width)
        statistics["fired"] += fired
        statistics["stored"] += fired
        statistics["total"] += np.bincount(atom, activation.astype(np.float64), width)
        np.maximum.at(statistics["maximum"], atom, activation)
        self._pending.append((windows, tokens, events))
        self._held += len(events) + len(tokens)
        state.batches, state.rows, state.windows = (
            state.batches + 1,
            state.rows + len(ids),
            state.windows + len(windows),
        )
        state.tokens += int(counts.sum())

    def commit(self) -> None:
        """Puts everything so far into the folder. What a crash leaves is the last commit.

        Raises:
            CorpusError: the disk is full, or the folder is gone.
        """
        try:
            self._write()
        except OSError as error:
            raise CorpusError(
                f"{self.folder} cannot be written to: {error}. What was committed is kept; make room there and call again."
            ) from error

    def finish(self) -> None:
        """Sorts the events by atom and token, writes the tables, and takes the unfinished files away."""
        self.state.ended = True
        self.commit()
        try:
            self._finish()
        except OSError as error:
            raise CorpusError(
                f"{self.folder} cannot be written to: {error}. All is read and kept; make room there and call again."
            ) from error

    def _open(self) -> None:
        self._pending: list[tuple[np.ndarray, ...]] = []
        self._held = 0
        if (self.folder / "corpus.json").exists():
            found = files.read_about(self.folder)
            _check_same(self.folder, found, self.about)
            self.about = found
        elif extra := [path.name for path in self.folder.iterdir() if path.name != ".lock"]:
            raise CorpusError(
                f"{self.folder} is not empty ({extra[0]} lies there) and no corpus. Give an empty folder."
            )
        else:
            files.write_state(self.folder, files.fresh(self.about["width"]))
            files.write_about(self.folder, self.about)
        self.state = files.fresh(self.about["width"]) if self.complete else self._last()
        self._committed, self._began = -COMMIT_SECONDS, time.monotonic() - self.state.seconds
        if self.complete:
            shutil.rmtree(files.making(self.folder), ignore_errors=True)  # left by a crash at the very end
        else:
            self._cut_back()

    def _last(self) -> files.State:
        try:
            return files.read_state(self.folder, self.about["width"])
        except FileNotFoundError as error:
            raise files.damaged(files.making(self.folder), "it has no state") from error

    def _cut_back(self) -> None:
        """Takes away what was written after the last commit."""
        state, home = self.state, files.making(self.folder)
        sizes = {"tokens.raw": state.rows * TOKEN.itemsize, "windows.raw": state.windows * WINDOW.itemsize}
        for number, (generation, events) in enumerate(zip(state.generation, state.events, strict=True)):
            if not (state.ended and files.sorted_events(self.folder, number).exists()):
                sizes[files.raw_events(self.folder, number, generation).name] = events * EVENT.itemsize
        for file in home.glob("*.raw"):
            if file.name not in sizes:
                file.unlink()
        for name, size in sizes.items():
            found = (home / name).stat().st_size if (home / name).exists() else 0
            if found < size:
                raise files.damaged(home / name, f"it has {found} bytes of {size}")
            if found > size:
                with (home / name).open("rb+") as stream:
                    stream.truncate(size)
        ids = files.read_raw(home / "tokens.raw", TOKEN, state.rows)["id"]
        self._vocabulary = {i: self.text_of(i) for i in np.unique(ids).tolist()}

    def _write(self) -> None:
        state, home = self.state, files.making(self.folder)
        if self._pending:
            windows, tokens, events = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
            _append(home / "windows.raw", windows)
            _append(home / "tokens.raw", tokens)
            number = events["atom"] // self.per_file
            events = events[np.argsort(number, kind="stable")]
            ends = np.cumsum(np.bincount(number, minlength=len(state.events)))
            for file, part in enumerate(np.split(events, ends[:-1])):
                _append(files.raw_events(self.folder, file, state.generation[file]), part)
                state.events[file] += len(part)
            if new := set(np.unique(tokens["id"]).tolist()) - set(self._vocabulary):
                self._vocabulary |= {i: self.text_of(i) for i in new}
                self._write_vocabulary(home)
            self._pending, self._held = [], 0
        old = [self._thin(number) for number in self._overfull()]
        state.seconds = time.monotonic() - self._began
        files.write_state(self.folder, state)
        for useless in old:  # only now
            useless.unlink(missing_ok=True)
        self._committed = time.monotonic()

    def _overfull(self) -> list[int]:
        """Files with an atom that is beyond the bound; while the text goes on, far enough beyond for the work to pay."""
        most, statistics = self.about["most"], self.state.statistics
        atoms = statistics["fired"] > most if self.state.ended else statistics["stored"] > 2 * most
        numbers = np.unique(np.flatnonzero(atoms) // self.per_file).tolist()
        return [number for number in numbers if not files.sorted_events(self.folder, number).exists()]

    def _thin(self, number: int) -> Path:
        """Writes a file of events anew without those that are beyond the bound, and returns the old one."""
        state = self.state
        old = files.raw_events(self.folder, number, state.generation[number])
        events = self._bounded(files.read_raw(old, EVENT, state.events[number]))
        state.generation[number] += 1
        state.events[number] = len(events)
        new = files.raw_events(self.folder, number, state.generation[number])
        new.unlink(missing_ok=True)
        _append(new, events)
        return old

    def _bounded(self, events: np.ndarray) -> np.ndarray:
        """The events without those that are beyond the bound of their atom; `stored` follows."""
        most, statistics = self.about["most"], self.state.statistics
        events = events[np.argsort(events["atom"], kind="stable")]
        atoms, starts, sizes = np.unique(events["atom"], return_index=True, return_counts=True)
        keep = np.ones(len(events), bool)
        for atom, start, size in zip(atoms.tolist(), starts.tolist(), sizes.tolist(), strict=True):
            if statistics["fired"][atom] > most:
                part = events[start : start + size]
                chosen = files.bounded(part["activation"], self._keys[part["token"]], most)
                keep[start : start + size] = False
                keep[start + np.concatenate(chosen)] = True
                statistics["stored"][atom] = keep[start : start + size].sum()
        return events[keep]

    @property
    def _keys(self) -> np.ndarray:
        if getattr(self, "_cached", (None, -1))[1] != self.state.rows:
            windows = files.read_raw(files.making(self.folder) / "windows.raw", WINDOW, self.state.windows)
            self._cached = (files.keys(*places(windows)), self.state.rows)
        return self._cached[0]

    def _write_vocabulary(self, home: Path) -> None:
        rows = sorted(self._vocabulary.items())
        frame = frames.build(
            frames.CORPUS_VOCABULARY, {"token_id": [i for i, _ in rows], "token": [t for _, t in rows]}
        )
        files.replace(home / "vocabulary.parquet", frame.write_parquet)

    def _finish(self) -> None:
        state, home, folder = self.state, files.making(self.folder), self.folder
        windows = files.read_raw(home / "windows.raw", WINDOW, state.windows)
        tokens = files.read_raw(home / "tokens.raw", TOKEN, state.rows)
        order = np.argsort(self._keys, kind="stable")
        row = np.empty(len(order), np.int32)
        row[order] = np.arange(len(order), dtype=np.int32)
        for number, events in enumerate(state.events):
            target, source = (
                files.sorted_events(folder, number),
                files.raw_events(folder, number, state.generation[number]),
            )
            if not target.exists():
                part = files.read_raw(source, EVENT, events)
                arrays = sort_events(part["atom"], row[part["token"]], part["activation"], *self._range(number))
                files.replace(target, partial(save_file, arrays))
            source.unlink(missing_ok=True)
        text, position = places(windows)
        columns = {"text": text[order], "position": position[order], "token_id": tokens["id"][order]}
        frame = frames.build(frames.CORPUS_TOKENS, {**columns, "counts": tokens["counts"][order]})
        files.replace(folder / "tokens.parquet", frame.write_parquet)
        files.replace(folder / "texts.parquet", texts_frame(windows, state.sources).write_parquet)
        files.replace(folder / "atoms.parquet", atoms_frame(state).write_parquet)
        self._write_vocabulary(folder)
        self.about |= {
            "complete": True,
            "tokens": state.tokens,
            "texts": len(np.unique(windows["text"])),
            "texts_sha256": state.digest,
            "batches": state.batches,
            "sources": state.sources,
            "seconds": round(time.monotonic() - self._began, 3),
        }
        files.write_about(folder, self.about)
        shutil.rmtree(home, ignore_errors=True)

    def _range(self, number: int) -> tuple[int, int]:
        """First atom of a file, and how many."""
        first = number * self.per_file
        return first, min(self.per_file, self.about["width"] - first)


def digest(before: str, windows: np.ndarray, sources: list[str], ids: np.ndarray) -> str:
    """sha256 of all that was read, one batch longer."""
    cut = windows[["text", "start", "length"]].tolist()
    parts = f"{before} {cut} {sources} ".encode(), np.ascontiguousarray(ids, "<i4").tobytes()
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _append(file: Path, records: np.ndarray) -> None:
    with file.open("ab") as stream:
        stream.write(records.tobytes())


def _check_same(folder: Path, found: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raises CorpusError where a folder is of another model, dictionary or way of cutting."""
    if found.get("slim"):
        raise CorpusError(f"{folder} is a slim copy, which cannot be gone on with. Give another folder.")
    for name, digest_name, what in (("model", "weights_sha256", "model"), ("sae", "sae_sha256", "dictionary")):
        if found.get(digest_name) != ours[digest_name]:
            same = " with other weights" if found.get(name) == ours[name] else ""
            raise CorpusError(
                f"{folder} was made with the {what} {found.get(name)}; this is {ours[name]}{same}. Give another folder."
            )
    for name in ("site", "width", "context", "batch", "asked", "most"):
        if found.get(name) != ours[name]:
            raise CorpusError(
                f"{folder} was made with {name} = {found.get(name)}; this is {ours[name]}. Give the same, or another folder."
            )
